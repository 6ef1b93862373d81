"""Who calls whom, and with which share of its calls, as arrays: made once a Case, walked in milliseconds. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from plumbline.v1.topology_pb2 import Edge

from aggregator.insight.edges import DNS, is_counted_by_requests, uses

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reach:
    """What can reach one node, indexed as the graph's `ids`.

    `shares`: the largest product of shares along any path, 0 where there is none. `hops`: edges of the shortest
    path, -1 where there is none. `steps`: the next node on the path of the largest share, -1 at its end.
    """

    shares: Floats
    hops: Integers
    steps: Integers


class CallGraph:
    """Edges by server, each weighed by the share that it is of its client's calls.

    A lookup of a name is no alternative to a call, so DNS queries are shares among themselves.
    """

    def __init__(self, ids: Iterable[str], edges: Iterable[Edge]) -> None:
        # In order, so that what is sorted by anything else stays sorted by id where that is equal.
        self.ids: Sequence[str] = sorted(ids)
        self.index = {node_id: number for number, node_id in enumerate(self.ids)}
        weights, self.is_estimated = _weights(self.index, edges)
        sources = np.fromiter((source for source, _ in weights), np.int64, len(weights))
        targets = np.fromiter((target for _, target in weights), np.int64, len(weights))
        order = np.argsort(targets, kind="stable")
        self._sources = sources[order]
        self._weights = np.fromiter(weights.values(), np.float64, len(weights))[order]
        self._starts = np.searchsorted(targets[order], np.arange(len(self.ids) + 1))

    def reach(self, node_id: str) -> Reach:
        """Breadth first and best first at once: a round relaxes the callers of all that improved in the last one."""
        count = len(self.ids)
        shares, hops = np.zeros(count), np.full(count, -1, np.int64)
        steps = np.full(count, -1, np.int64)
        frontier = np.array([self.index[node_id]], np.int64)
        shares[frontier], hops[frontier] = 1.0, 0
        distance = 0
        while frontier.size:
            distance += 1
            callers, servers, offered = self._calls_into(frontier, shares)
            better = offered > shares[callers]
            callers, servers, offered = callers[better], servers[better], offered[better]
            np.maximum.at(shares, callers, offered)
            best = offered == shares[callers]
            steps[callers[best]] = servers[best]
            is_next = np.zeros(count, np.bool_)
            is_next[callers] = True
            frontier = np.flatnonzero(is_next)
            hops[frontier[hops[frontier] < 0]] = distance
        return Reach(shares, hops, steps)

    def _calls_into(self, servers: Integers, shares: Floats) -> tuple[Integers, Integers, Floats]:
        """All edges into `servers`: their clients, their servers, and the share that each would pass on."""
        begins = self._starts[servers]
        lengths = self._starts[servers + 1] - begins
        before = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        positions = np.arange(lengths.sum()) + np.repeat(begins - before, lengths)
        called = np.repeat(servers, lengths)
        # However small a share gets on a long way, its caller is one.
        offered = np.maximum(self._weights[positions] * shares[called], np.finfo(np.float64).tiny)
        return self._sources[positions], called, offered


def _weights(index: dict[str, int], edges: Iterable[Edge]) -> tuple[dict[tuple[int, int], float], frozenset[int]]:
    """(client, server) -> share, and the clients some of whose calls could only be counted as connections."""
    counts: dict[tuple[int, int, bool], int] = defaultdict(int)
    totals: dict[tuple[int, bool], int] = defaultdict(int)
    estimated = set()
    for edge in edges:
        source, target = index.get(edge.source), index.get(edge.target)
        if source is None or target is None or source == target:
            continue
        is_lookup, count = edge.protocol == DNS, uses(edge)
        counts[source, target, is_lookup] += count
        totals[source, is_lookup] += count
        if not is_lookup and not is_counted_by_requests(edge):
            estimated.add(source)
    weights: dict[tuple[int, int], float] = {}
    for (source, target, is_lookup), count in counts.items():
        share = count / totals[source, is_lookup]
        weights[source, target] = max(share, weights.get((source, target), 0.0))
    return weights, frozenset(estimated)
