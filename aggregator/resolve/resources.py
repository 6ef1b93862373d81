"""What is watched of the Kubernetes API: one row a resource. Pure.

To watch one more: its row here, and its reader in objects.py if its metadata is not enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aggregator.resolve.deployed.specs import Generation, Spec, read_generation, read_spec
from aggregator.resolve.deployed.warnings import Warned, read_warning
from aggregator.resolve.entrances.waysin import (
    Gateway,
    Ingress,
    Route,
    WayIn,
    read_gateway,
    read_ingress,
    read_route,
)
from aggregator.resolve.objects import (
    Machine,
    Meta,
    Pod,
    Service,
    Slice,
    read_machine,
    read_meta,
    read_pod,
    read_service,
    read_slice,
)
from aggregator.resolve.raw import Json
from aggregator.resolve.scaling.autoscalers import Autoscaler, read_autoscaler

Object: TypeAlias = Meta | Spec | Generation | Pod | Service | Slice | Machine | Warned | Autoscaler | WayIn


@dataclass(frozen=True, slots=True)
class Resource:
    """`path` lists all of them, of all namespaces, but those that `selector` leaves out by their fields; `whole`: their
    metadata alone is not enough. `name` is the one that rights are given by. `optional`: not
    every cluster has such objects."""

    name: str
    path: str
    kind: str
    read: Callable[[Json, str], Object] = read_meta
    kind_of_objects: type[Object] = Meta
    whole: bool = False
    version: str = "v1"
    selector: str = ""
    optional: bool = False

    @property
    def owns(self) -> bool:
        """Whether pods, or what owns them, may be its objects'."""
        return self.kind_of_objects in (Meta, Spec, Generation)

    @property
    def owner_kind(self) -> tuple[str, str]:
        """As references to one have it."""
        return self.version, self.kind

    def object_of(self, raw: Json) -> Object | None:
        """None for one that nobody could tell from another."""
        found = self.read(raw, self.kind)
        return found if found.uid else None


def _apps(
    plural: str, kind: str, read: Callable[[Json, str], Object], objects: type[Object], whole: bool = True
) -> Resource:
    return Resource(f"{plural}.apps", f"/apis/apps/v1/{plural}", kind, read, objects, whole, "apps/v1")


_NETWORKING, _GATEWAY = "networking.k8s.io", "gateway.networking.k8s.io"


def _way_in(group: str, plural: str, kind: str, read: Callable[[Json, str], Object], objects: type[Object]) -> Resource:
    name, path = f"{plural}.{group}", f"/apis/{group}/v1/{plural}"
    return Resource(name, path, kind, read, objects, whole=True, version=f"{group}/v1", optional=group == _GATEWAY)


WAYS_IN: Final = (
    _way_in(_NETWORKING, "ingresses", "Ingress", read_ingress, Ingress),
    _way_in(_GATEWAY, "gateways", "Gateway", read_gateway, Gateway),
    _way_in(_GATEWAY, "httproutes", "HTTPRoute", read_route, Route),
)
RESOURCES: Final = (
    Resource("pods", "/api/v1/pods", "Pod", read_pod, Pod, whole=True),
    _apps("replicasets", "ReplicaSet", read_generation, Generation, whole=False),
    _apps("controllerrevisions", "ControllerRevision", read_generation, Generation),
    _apps("deployments", "Deployment", read_spec, Spec),
    _apps("statefulsets", "StatefulSet", read_spec, Spec),
    _apps("daemonsets", "DaemonSet", read_spec, Spec),
    Resource("jobs.batch", "/apis/batch/v1/jobs", "Job", version="batch/v1"),
    Resource("cronjobs.batch", "/apis/batch/v1/cronjobs", "CronJob", version="batch/v1"),
    Resource("services", "/api/v1/services", "Service", read_service, Service, whole=True),
    Resource(
        "endpointslices.discovery.k8s.io",
        "/apis/discovery.k8s.io/v1/endpointslices",
        "EndpointSlice",
        read_slice,
        Slice,
        whole=True,
        version="discovery.k8s.io/v1",
    ),
    Resource(
        "horizontalpodautoscalers.autoscaling",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        read_autoscaler,
        Autoscaler,
        whole=True,
        version="autoscaling/v2",
    ),
    Resource("nodes", "/api/v1/nodes", "Node", read_machine, Machine, whole=True),
    Resource("namespaces", "/api/v1/namespaces", "Namespace"),
    Resource("events", "/api/v1/events", "Event", read_warning, Warned, whole=True, selector="type=Warning"),
    *WAYS_IN,
)
# Kinds that own pods, or own what does, and are always watched.
OWNERS: Final = frozenset(one.owner_kind for one in RESOURCES if one.owns)


def custom(api_version: str, kind: str, plural: str) -> Resource:
    """One that an owner's reference named."""
    group, _, _ = api_version.rpartition("/")
    place = f"/apis/{api_version}" if group else f"/api/{api_version}"
    name = f"{plural}.{group}" if group else plural
    return Resource(name, f"{place}/{plural}", kind, version=api_version)
