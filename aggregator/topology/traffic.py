"""What of a graph is no background: probes, scrapes and Plumbline's own are left out. Pure."""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

from plumbline.v1 import topology_pb2 as pb


@dataclass(frozen=True, slots=True)
class Traffic:
    """`edges`: the table itself where none is background. `ends`: the nodes that they are between."""

    edges: Mapping[str, pb.Edge]
    ends: Set[str]

    @classmethod
    def of(cls, edges: Mapping[str, pb.Edge]) -> "Traffic":
        traffic = _of(edges)
        return cls(traffic if len(traffic) < len(edges) else edges, _ends(traffic.values()))

    def later(
        self, before: Mapping[str, pb.Edge], edges: Mapping[str, pb.Edge], new: Mapping[str, pb.Edge], gone: Set[str]
    ) -> "Traffic":
        """Of `edges`, which are those of `before`, of which this is, without `gone` and with `new`."""
        traffic = _of(new)
        was_background = self.edges is not before and new.keys() & (before.keys() - self.edges.keys())
        # What is gone may leave an end to others, or alone.
        if gone - new.keys() or len(traffic) < len(new) or was_background:
            return Traffic.of(edges)
        together = edges if self.edges is before else {**self.edges, **traffic}
        return Traffic(together, self.ends | _ends(traffic.values()))

    def hidden_of(self, edges: Mapping[str, pb.Edge]) -> Set[str]:
        """Nodes that take part in the background of these edges, and in nothing else. Who is only looked after is there
        all the same, and so is who looks at its figures."""
        if self.edges is edges:
            return frozenset()
        background = [edges[key] for key in edges.keys() - self.edges.keys()]
        return _ends(background) - self.ends - _shown(background)


def _of(edges: Mapping[str, pb.Edge]) -> dict[str, pb.Edge]:
    return {key: edge for key, edge in edges.items() if getattr(edge, "class") == pb.EDGE_CLASS_TRAFFIC}


def _ends(edges: Collection[pb.Edge]) -> Set[str]:
    return {edge.source for edge in edges} | {edge.target for edge in edges}


def _shown(background: Collection[pb.Edge]) -> Set[str]:
    kinds = {pb.EDGE_CLASS_PROBE: ("target",), pb.EDGE_CLASS_SCRAPE: ("source", "target")}
    return {getattr(edge, end) for edge in background for end in kinds.get(getattr(edge, "class"), ())}
