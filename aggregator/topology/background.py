"""Which edges are no use of a node: probes of its kubelet, monitors that read it, and Plumbline's own. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End

_USUAL_PATHS: Final = frozenset(["/metrics"])
_FROM_OUTSIDE: Final = frozenset([pb.NODE_KIND_EXTERNAL, pb.NODE_KIND_UNRESOLVED, pb.NODE_KIND_THIRD_PARTY])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cluster's API tells of who may come to nodes, which are named by their ids. `keepers`: addresses and
    ports of kubelets; `asked`: nodes with the ports that those call, as specs say; `metrics`: paths that monitors are
    told to read there; `exposures`: of all workloads that are known; `our_own`: Plumbline's."""

    keepers: frozenset[tuple[bytes, int]] = frozenset()
    asked: frozenset[tuple[str, int]] = frozenset()
    metrics: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exposures: Mapping[str, pb.Exposure] = field(default_factory=dict)
    our_own: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Background:
    """`own`: whether an end is Plumbline's; `keepers`: ids of nodes that are kubelets."""

    own: Callable[[End], bool]
    keepers: frozenset[str]
    around: Surroundings

    def class_of(self, source: End, target: str, fields: Mapping[str, Any]) -> pb.EdgeClass:
        """Of an edge that is not our own; `fields` are its message's."""
        if source.id in self.keepers and (target, fields["port"]) in self.around.asked:
            return pb.EDGE_CLASS_PROBE
        if self._is_read(source, target, fields["routes"]):
            return pb.EDGE_CLASS_SCRAPE
        return pb.EDGE_CLASS_TRAFFIC

    def _is_read(self, source: End, target: str, routes: Sequence[Mapping[str, object]]) -> bool:
        """Whether all that one of ours ever asks there is what there is to be read."""
        if not routes or source.kind in _FROM_OUTSIDE:
            return False
        paths = _USUAL_PATHS | self.around.metrics.get(target, frozenset())
        return all(route["method"] == "GET" and route["route"] in paths for route in routes)
