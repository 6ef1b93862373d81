"""What the graph's nodes are called, and all ends that were ever named. Pure."""

from typing import Final

from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End, Endpoint, HostKey

_UNIT_SUFFIXES: Final = (".service", ".scope", ".slice")


class Ends:
    """Ends by a dense id. `vertices`: for each the first one with its node id; containers of a pod are one node."""

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


def named_end(value: Endpoint, endpoint: int, host: HostKey, cluster: str) -> End:
    """The vertex of one of our endpoints, as DESIGN's node ids have it."""
    if value.kind == flow.ENDPOINT_KIND_POD:
        kind, name = pb.NODE_KIND_POD, f"pod-{value.pod_uid}"
    elif value.kind == flow.ENDPOINT_KIND_UNIT:
        kind, name = pb.NODE_KIND_UNIT, _without_suffix(value.unit)
    elif value.kind == flow.ENDPOINT_KIND_CONTAINER:
        kind, name = pb.NODE_KIND_WORKLOAD, value.container_id[:12]
    else:
        kind, name = pb.NODE_KIND_PROCESS, value.command or "(unknown)"
    return End(prefixed(host, f"{host.name}/{name}", cluster), kind, name, host.cluster, endpoint)


def _without_suffix(unit: str) -> str:
    for suffix in _UNIT_SUFFIXES:
        if unit.endswith(suffix) and len(unit) > len(suffix):
            return unit[: -len(suffix)]
    return unit


def prefixed(host: HostKey, node_id: str, cluster: str) -> str:
    return node_id if host.cluster == cluster else f"{host.cluster}:{node_id}"
