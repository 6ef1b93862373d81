"""By which names and addresses clients asked for a server, for all edges at once. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.records import CLIENT, Way
from aggregator.topology.columns import COUNTER, FlowRows
from aggregator.topology.flows import Flows
from aggregator.topology.placing import Edges
from aggregator.topology.tallies import MOST

Bools = npt.NDArray[np.bool_]
# Connections by client's node and position in `ways`.
Asked: TypeAlias = Mapping[tuple[int, int], int]

_CONNECTIONS: Final = COUNTER["connections"]


@dataclass(slots=True)
class _Names:
    """Of one edge: connections by name, and those names that say at most how many."""

    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    shared: set[str] = field(default_factory=set)

    def add(self, ways: Sequence[Way], connections: int, may_be_others: bool = False) -> None:
        for way in ways:
            self.counts[way.name] += connections
            if way.shared or may_be_others:
                self.shared.add(way.name)

    def fields(self) -> list[dict[str, object]]:
        return [
            {"name": name, "connections": min(count, MOST), "shared": name in self.shared}
            for name, count in sorted(self.counts.items())
        ]


def asked_of_many(rows: FlowRows, flows: Flows) -> Asked:
    """What clients asked of Services that several nodes are behind, as they count themselves: which of these answered,
    their servers' rows tell. `rows`: also those that are not shown."""
    if not flows.asked_by:
        return {}
    meant = (flows.facts.role == CLIENT) & (flows.via >= 0) & (flows.target < 0)
    at = np.flatnonzero(meant[rows.flow] & (rows.counts[:, _CONNECTIONS] > 0))
    ids = rows.flow[at]
    found: defaultdict[tuple[int, int], int] = defaultdict(int)
    sources = np.array(flows.vertices, np.int64)[flows.source[ids]].tolist()
    for source, via, count in zip(
        sources, flows.via[ids].tolist(), rows.counts[at, _CONNECTIONS].tolist(), strict=True
    ):
        found[source, via] += count
    return found


def vias(rows: FlowRows, edges: Edges, flows: Flows, asked: Asked, connections: Sequence[int]) -> list[object]:
    """`connections` of each edge. What several nodes may have answered: the servers' connections tell; by which of
    several names, nobody can."""
    found: defaultdict[int, _Names] = defaultdict(_Names)
    mine = np.flatnonzero((edges.flows.role == CLIENT) & (flows.via[rows.flow] >= 0))
    counted = rows.counts[mine, _CONNECTIONS].tolist()
    known: defaultdict[int, int] = defaultdict(int)
    for at, one, count in zip(
        edges.flows.edge[mine].tolist(), flows.via[rows.flow[mine]].tolist(), counted, strict=True
    ):
        found[at].add(flows.ways[one], count)
        known[at] += count
    for at, ways in _of_many(edges, flows) if flows.asked_by else ():
        rest, source = connections[at] - known[at], int(edges.source[at])
        if rest <= 0:
            continue
        for one in ways:
            count = rest if len(ways) == 1 else asked.get((source, one), 0)
            found[at].add(flows.ways[one], count, may_be_others=len(ways) > 1)
    return [found[at].fields() if at in found else [] for at in range(len(edges))]


def _of_many(edges: Edges, flows: Flows) -> list[tuple[int, frozenset[int]]]:
    """Edges that may be by these ways."""
    each = enumerate(zip(edges.source.tolist(), edges.target.tolist(), edges.port.tolist(), strict=True))
    return [(at, ways) for at, way in each if (ways := flows.asked_by.get(way))]
