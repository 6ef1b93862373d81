"""The newest graph of a window, and which rows it was drawn from: so that what is new can be drawn into it. Pure."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.columns import Rows
from aggregator.topology.edge import Drawn
from aggregator.topology.regions import NO_REGION, Regions
from aggregator.topology.snapshot import Graph

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# So many are drawn at once, so that nobody waits for long.
MOST_FLOWS: Final = 400


class Sheet:
    """`sealed`: the last part of the log that is in it. `resolved`: what its ends were taken from."""

    def __init__(self, regions: Regions, sealed: int, resolved: object) -> None:
        self.graph: Graph
        self.sealed = sealed
        self.resolved = resolved
        self._regions = regions
        self._seen = np.empty(0, np.bool_)  # flows that have rows in the window
        self._spoken = self._drawn_speaking = np.empty(0, np.int64)  # bits of protocols
        self._drawn_in = np.empty(0, np.int64)
        self._edges: defaultdict[int, set[str]] = defaultdict(set)

    @classmethod
    def of(cls, graph: Graph, drawn: Sequence[Drawn], rows: Rows, basis: tuple[Regions, Ints, int, object]) -> "Sheet":
        """`rows`: all of the window, of which all edges were drawn."""
        regions, protocols, sealed, resolved = basis
        sheet = cls(regions, sealed, resolved)
        sheet.see(rows, regions, protocols)
        sheet.draw(graph, np.unique(sheet._regions.of_flow), drawn)
        return sheet

    def see(self, rows: Rows, regions: Regions, protocols: Ints) -> None:
        """That these are there too; where all flows belong by now, and what each has ever spoken."""
        more = len(regions.of_flow) - len(self._seen)
        self._seen = np.concatenate([self._seen, np.zeros(more, np.bool_)])
        self._drawn_in = np.concatenate([self._drawn_in, np.full(more, NO_REGION, np.int64)])
        self._spoken, self._drawn_speaking = (
            np.concatenate([bits, np.zeros(more, np.int64)]) for bits in (self._spoken, self._drawn_speaking)
        )
        self._seen[rows.flows.flow] = self._seen[rows.requests.flow] = True
        self._spoken |= protocols[: len(self._spoken)]
        np.bitwise_or.at(self._spoken, rows.requests.flow, 1 << rows.requests.key("protocol"))
        self._regions = regions

    def pending(self) -> Ints:
        """Regions that flows have come to or gone from since they were drawn, or where they speak something new; of
        the first flows, if there are many."""
        now = np.where(self._seen, self._regions.of_flow, NO_REGION)
        speaks = self._seen & ((self._spoken & ~self._drawn_speaking) != 0)
        moved = np.flatnonzero((now != self._drawn_in) | (speaks & (now != NO_REGION)))[:MOST_FLOWS]
        regions: Ints = np.unique(np.concatenate([now[moved], self._drawn_in[moved]]))
        shown: Ints = regions[regions != NO_REGION]
        return shown

    def flows_in(self, regions: Ints) -> Bools:
        return self._seen & np.isin(self._regions.of_flow, regions)

    def draw(self, graph: Graph, regions: Ints, drawn: Sequence[Drawn]) -> None:
        """`graph` has what is now in these regions."""
        self.graph = graph
        left = np.where(np.isin(self._drawn_in, regions), NO_REGION, self._drawn_in)
        here = self.flows_in(regions)
        self._drawn_in = np.where(here, self._regions.of_flow, left)
        self._drawn_speaking = np.where(here, self._spoken, self._drawn_speaking)
        for region in regions.tolist():
            self._edges.pop(region, None)
        for edge in drawn:
            self._edges[self._regions.of_edge(edge.ends, edge.port)].add(edge.id)

    def edges_in(self, regions: Ints) -> set[str]:
        """Those that were drawn there."""
        return {edge for region in regions.tolist() for edge in self._edges.get(region, ())}


def with_news(
    before: Graph,
    window: pb.TimeWindow,
    gone: set[str],
    edges: Mapping[str, pb.Edge],
    nodes: Mapping[str, pb.Node],
    listening: Container[str],
) -> Graph:
    """`gone` are edges that were there, `nodes` the ends of the `edges` of now. A node that a gone edge leaves alone
    goes with it, unless it is listening, or is known to run."""
    together = {key: edge for key, edge in before.edges.items() if key not in gone} if gone else dict(before.edges)
    lost = {end for key in gone for end in (before.edges[key].source, before.edges[key].target)}
    together |= edges
    known = {**before.nodes, **nodes}
    for key in lost - {end for edge in together.values() for end in (edge.source, edge.target)} if lost else ():
        if key in known and key not in listening and not known[key].HasField("resources"):
            del known[key]
    traffic = before.traffic.later(before.edges, together, edges, gone)
    return Graph(before.cluster, window, known, together, before.hosts, traffic=traffic)
