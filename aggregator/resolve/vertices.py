"""What the graph's nodes are called, and all ends that were ever named. Pure."""

from typing import Final

from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End, Endpoint, HostKey, Way
from aggregator.resolve.services import ServiceKey
from aggregator.resolve.workloads import PodName

# Neither is an address, or a name that DNS could tell.
OUTSIDE: Final = "(outside)"
OTHER: Final = "(other)"
NO_NAME: Final = -1
_UNIT_SUFFIXES: Final = (".service", ".scope", ".slice")


class Ends:
    """Ends by a dense id. `vertices`: for each the first one with its node id; containers of a pod are one node.

    Those that are there stay as they are.
    """

    def __init__(self) -> None:
        self.values: list[End] = []
        self.vertices: list[int] = []
        self._ids: dict[End, int] = {}
        self._vertex_of: dict[str, int] = {}

    def id_of(self, end: End) -> int:
        known = self._ids.get(end)
        if known is None:
            known = self._ids[end] = len(self.values)
            self.values.append(end)
            self.vertices.append(self._vertex_of.setdefault(end.id, known))
        return known


class Ways:
    """By which names clients ask, by a dense id; NO_NAME for none. Those that are there stay as they are."""

    def __init__(self) -> None:
        self.values: list[tuple[Way, ...]] = []
        self._ids: dict[tuple[Way, ...], int] = {}

    def of(self, ways: tuple[Way, ...]) -> int:
        if not ways:
            return NO_NAME
        known = self._ids.get(ways)
        if known is None:
            known = self._ids[ways] = len(self.values)
            self.values.append(ways)
        return known


def one_of_many(port: int, cluster: str) -> End:
    """A peer without an address stands for many: with a port, a server's clients outside; else what found no room."""
    if port:
        return End(OUTSIDE, pb.NODE_KIND_EXTERNAL, OUTSIDE, cluster)
    return End(OTHER, pb.NODE_KIND_UNRESOLVED, OTHER, cluster)


def named_end(value: Endpoint, endpoint: int, host: HostKey, cluster: str, pod: PodName | None = None) -> End:
    """The vertex of one of our endpoints, as DESIGN's node ids have it. `pod`: what its pod is part of, if that is
    known."""
    if pod is not None:
        node_id = prefixed(host, pod.workload, cluster)
        kind = pb.NODE_KIND_WORKLOAD
        return End(node_id, kind, pod.name, host.cluster, endpoint, host=value.host, namespace=pod.namespace)
    if value.kind == flow.ENDPOINT_KIND_POD:
        kind, name = pb.NODE_KIND_POD, f"pod-{value.pod_uid}"
    elif value.kind == flow.ENDPOINT_KIND_UNIT:
        kind, name = pb.NODE_KIND_UNIT, _without_suffix(value.unit)
    elif value.kind == flow.ENDPOINT_KIND_CONTAINER:
        kind, name = pb.NODE_KIND_WORKLOAD, _short(value.container_id)
    else:
        kind, name = pb.NODE_KIND_PROCESS, value.command or "(unknown)"
    return End(prefixed(host, f"{host.name}/{name}", cluster), kind, name, host.cluster, endpoint, host=value.host)


def service_end(key: ServiceKey, cluster: str) -> End:
    """A Service that nobody of ours stands behind."""
    node_id = f"{key.namespace}/service/{key.name}"
    return End(node_id, pb.NODE_KIND_SERVICE, key.name, cluster, namespace=key.namespace)


def _short(container_id: str) -> str:
    """Of a runtime's 64 digits as many as people are used to; a container that has a name keeps it."""
    return container_id[:12] if len(container_id) == 64 else container_id


def _without_suffix(unit: str) -> str:
    for suffix in _UNIT_SUFFIXES:
        if unit.endswith(suffix) and len(unit) > len(suffix):
            return unit[: -len(suffix)]
    return unit


def prefixed(host: HostKey, node_id: str, cluster: str) -> str:
    return node_id if host.cluster == cluster else f"{host.cluster}:{node_id}"
