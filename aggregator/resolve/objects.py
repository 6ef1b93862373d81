"""Objects of the Kubernetes API as plain values: of each kind what the graph asks for, and nothing else. Pure.

A reader takes what the API gave, whole or in part: what is missing is empty, what cannot be understood is left out.
"""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from aggregator.resolve.entrances.doors import Doors, doors_of
from aggregator.resolve.raw import Json, int_of, map_of, maps_of, strings_of, text_of, time_ns_of
from aggregator.resolve.scaling.containers import Fate, Grant, fates_of, grants_of, ids_of

# A kubelet's own name for a pod that it runs from a file: what its cgroup is called.
_STATIC_UID: Final = "kubernetes.io/config.hash"
# What pods, and what keeps a revision of theirs, are marked with.
TEMPLATE_HASHES: Final = ("pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash")
_READY: Final = ("Ready", "True")
# Why a container waits that is about to begin.
_BEGINNING: Final = frozenset({"ContainerCreating", "PodInitializing"})
_SLICE_OF: Final = "kubernetes.io/service-name"
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
TRANSPORTS: Final = {"TCP": 6, "UDP": 17, "SCTP": 132}


class Owner(NamedTuple):
    """The controller of an object, as its reference has it."""

    api_version: str
    kind: str
    name: str
    uid: str


class Meta(NamedTuple):
    """What every object has."""

    uid: str
    namespace: str
    name: str
    kind: str
    owner: Owner | None
    generation: int


class Image(NamedTuple):
    """What a container of a pod is to run; `digest` is what it does run, once it was begun."""

    container: str
    image: str
    digest: str


class Pod(NamedTuple):
    """`cgroup_uid` is how its cgroup is called: the kubelet's own name for a static one. `containers`: (id, name) of
    those that run and ran before. `waiting`: why a container of it cannot be begun."""

    uid: str
    namespace: str
    name: str
    owner: Owner | None
    cgroup_uid: str
    revision: str
    node: str
    phase: str
    host_network: bool
    addresses: tuple[bytes, ...]
    containers: tuple[tuple[str, str], ...]
    images: tuple[Image, ...] = ()
    created_ns: int = 0
    ready: bool = False
    leaving: bool = False
    waiting: str = ""
    grants: tuple[Grant, ...] = ()
    fates: tuple[Fate, ...] = ()
    doors: Doors = Doors()


class ServicePort(NamedTuple):
    """`node_port` is 0 where no node listens for it."""

    name: str
    port: int
    transport: int
    node_port: int


class Service(NamedTuple):
    """`addresses` are all that stand for it, none where it is headless; `external` those of them that are for others
    than pods. `balanced`: names and addresses of its load balancer. `keeps_callers`: who comes from outside is seen by
    its own address."""

    uid: str
    namespace: str
    name: str
    kind: str
    addresses: tuple[bytes, ...]
    ports: tuple[ServicePort, ...]
    external_name: str
    external: tuple[bytes, ...] = ()
    balanced: tuple[str, ...] = ()
    keeps_callers: bool = False


class SlicePort(NamedTuple):
    """The port of all addresses of a slice, by the name of the Service's port."""

    name: str
    port: int
    transport: int


class Slice(NamedTuple):
    """Some of the addresses behind the Service of that name, ready or not; `pods`: uids of those that have them."""

    uid: str
    namespace: str
    service: str
    ports: tuple[SlicePort, ...]
    addresses: tuple[bytes, ...]
    pods: tuple[str, ...] = ()


class Machine(NamedTuple):
    """A Node of the API: what this project calls a host. `pressures`: what its kubelet warns of, and "NotReady"."""

    uid: str
    name: str
    addresses: tuple[bytes, ...]
    pressures: tuple[str, ...] = ()
    kubelet_port: int = 0


def read_meta(raw: Json, kind: str) -> Meta:
    """Of any kind, also where only its metadata came."""
    meta = map_of(raw, "metadata")
    return Meta(
        text_of(meta, "uid"),
        text_of(meta, "namespace"),
        text_of(meta, "name"),
        kind,
        _owner(meta),
        int_of(meta, "generation"),
    )


def read_pod(raw: Json, kind: str = "Pod") -> Pod:
    meta, spec, status = map_of(raw, "metadata"), map_of(raw, "spec"), map_of(raw, "status")
    labels = map_of(meta, "labels")
    uid = text_of(meta, "uid")
    addresses = [text_of(one, "ip") for one in maps_of(status, "podIPs")] or [text_of(status, "podIP")]
    return Pod(
        uid,
        text_of(meta, "namespace"),
        text_of(meta, "name"),
        _owner(meta),
        text_of(map_of(meta, "annotations"), _STATIC_UID) or uid,
        next(filter(None, (text_of(labels, label) for label in TEMPLATE_HASHES)), ""),
        text_of(spec, "nodeName"),
        text_of(status, "phase"),
        spec.get("hostNetwork") is True,
        _addresses(addresses),
        ids_of(status),
        tuple(_images(spec, status)),
        time_ns_of(meta, "creationTimestamp"),
        _is_ready(status),
        bool(text_of(meta, "deletionTimestamp")),
        _waiting(status),
        grants_of(spec),
        fates_of(status),
        doors_of(meta, spec),
    )


def read_service(raw: Json, kind: str = "Service") -> Service:
    meta, spec = map_of(raw, "metadata"), map_of(raw, "spec")
    balancer = maps_of(map_of(map_of(raw, "status"), "loadBalancer"), "ingress")
    own = strings_of(spec, "clusterIPs") or [text_of(spec, "clusterIP")]
    external = [*strings_of(spec, "externalIPs"), *(text_of(one, "ip") for one in balancer)]
    ports = (
        ServicePort(text_of(one, "name"), int_of(one, "port"), _transport(one), int_of(one, "nodePort"))
        for one in maps_of(spec, "ports")
    )
    return Service(
        text_of(meta, "uid"),
        text_of(meta, "namespace"),
        text_of(meta, "name"),
        text_of(spec, "type"),
        _addresses([*own, *external]),
        tuple(ports),
        text_of(spec, "externalName"),
        _addresses(external),
        tuple(text for one in balancer if (text := text_of(one, "hostname") or text_of(one, "ip"))),
        text_of(spec, "externalTrafficPolicy") == "Local",
    )


def read_slice(raw: Json, kind: str = "EndpointSlice") -> Slice:
    meta = map_of(raw, "metadata")
    ports = (SlicePort(text_of(one, "name"), int_of(one, "port"), _transport(one)) for one in maps_of(raw, "ports"))
    return Slice(
        text_of(meta, "uid"),
        text_of(meta, "namespace"),
        text_of(map_of(meta, "labels"), _SLICE_OF),
        tuple(ports),
        _addresses([text for one in maps_of(raw, "endpoints") for text in strings_of(one, "addresses")]),
        tuple(uid for one in maps_of(raw, "endpoints") if (uid := text_of(map_of(one, "targetRef"), "uid"))),
    )


def read_machine(raw: Json, kind: str = "Node") -> Machine:
    meta, status = map_of(raw, "metadata"), map_of(raw, "status")
    addresses = [text_of(one, "address") for one in maps_of(status, "addresses")]
    kubelet = map_of(map_of(status, "daemonEndpoints"), "kubeletEndpoint")
    return Machine(
        text_of(meta, "uid"),
        text_of(meta, "name"),
        _addresses(addresses),
        tuple(_pressures(status)),
        int_of(kubelet, "Port"),
    )


def address_of(text: str) -> bytes | None:
    """16 bytes, or None for what is no address: "None", a name, nothing."""
    try:
        return IPv6Address(text).packed if ":" in text else _MAPPED + IPv4Address(text).packed
    except ValueError:
        return None


def _addresses(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(one for text in texts if (one := address_of(text)) is not None))


def _owner(meta: Json) -> Owner | None:
    """Others may have an object too, but one alone makes it be there."""
    for one in maps_of(meta, "ownerReferences"):
        if one.get("controller") is True and text_of(one, "uid"):
            return Owner(text_of(one, "apiVersion"), text_of(one, "kind"), text_of(one, "name"), text_of(one, "uid"))
    return None


def _images(spec: Json, status: Json) -> Iterator[Image]:
    ids = {text_of(one, "name"): text_of(one, "imageID") for one in maps_of(status, "containerStatuses")}
    for one in maps_of(spec, "containers"):
        name = text_of(one, "name")
        yield _image(name, text_of(one, "image"), ids.get(name, "").rpartition("@")[2])


@lru_cache(maxsize=8192)
def _image(container: str, image: str, digest: str) -> Image:
    """One for all pods that have it."""
    return Image(container, image, digest)


def _is_ready(status: Json) -> bool:
    return any((text_of(one, "type"), text_of(one, "status")) == _READY for one in maps_of(status, "conditions"))


def _pressures(status: Json) -> Iterator[str]:
    for one in maps_of(status, "conditions"):
        kind, is_so = text_of(one, "type"), text_of(one, "status")
        if kind.endswith("Pressure") and is_so == "True":
            yield kind
        elif kind == "Ready" and is_so != "True":
            yield "NotReady"


def _waiting(status: Json) -> str:
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in maps_of(status, field):
            reason = text_of(map_of(map_of(one, "state"), "waiting"), "reason")
            if reason and reason not in _BEGINNING:
                return reason
    return ""


def _transport(port: Json) -> int:
    return TRANSPORTS.get(text_of(port, "protocol") or "TCP", 0)
