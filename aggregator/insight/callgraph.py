"""Who calls whom, and with which share of its calls, as arrays: made once a Case, walked in milliseconds. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1.topology_pb2 import Edge

from aggregator.insight.edges import DNS, is_counted_by_requests, uses

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_SMALLEST: Final = np.finfo(np.float64).tiny


# A search goes on below these shares only where an answer needs more callers than those above.
_FLOORS: Final = (*(2.0**-power for power in range(4, 40, 4)), 0.0)


@dataclass(frozen=True, slots=True)
class Reach:
    """What can reach one node, indexed as the graph's `ids`.

    `hops`: edges of the shortest path, -1 where there is none. `shares`: the largest product of shares along any
    path, true where it is `floor` or more. `steps`: the next node on the path of that share, -1 at its end.
    """

    hops: Integers
    shares: Floats
    steps: Integers
    floor: float


@dataclass(frozen=True, slots=True)
class _Adjacency:
    """Edges by one of their ends: those of node n begin at starts[n]; `others` are their other ends, `degrees` how
    many each node has."""

    starts: Integers
    others: Integers
    degrees: Integers

    def at(self, nodes: Integers) -> tuple[Integers, Integers]:
        """(position of each edge of these nodes, how many each node has)."""
        begins, lengths = self.starts[nodes], self.degrees[nodes]
        ends = np.cumsum(lengths)
        positions = np.arange(int(ends[-1]) if ends.size else 0) + np.repeat(begins - ends + lengths, lengths)
        return positions, lengths

    def has_any(self, nodes: Integers, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """For each of these nodes, all of which have edges, whether the other end of one is wanted."""
        found = np.zeros(len(nodes), np.bool_)
        at, ends = self.starts[nodes], self.starts[nodes + 1]
        left = np.arange(len(nodes))
        # One edge of each in turn: most need few.
        while left.size:
            found[left] = wanted[self.others[at[left]]]
            at[left] += 1
            left = left[~found[left] & (at[left] < ends[left])]
        return found


class CallGraph:
    """Edges by server, each weighed by the share that it is of its client's calls.

    A lookup of a name is no alternative to a call, so DNS queries are shares among themselves.
    """

    def __init__(self, ids: Iterable[str], edges: Iterable[Edge]) -> None:
        # In order, so that what is sorted by anything else stays sorted by id where that is equal.
        self.ids: Sequence[str] = sorted(ids)
        self.index = {node_id: number for number, node_id in enumerate(self.ids)}
        weights, self.is_estimated = _weights(self.index, edges)
        clients = np.fromiter((client for client, _ in weights), np.int64, len(weights))
        servers = np.fromiter((server for _, server in weights), np.int64, len(weights))
        self._into, order = _adjacency(servers, clients, len(self.ids))
        self._out_of, _ = _adjacency(clients, servers, len(self.ids))
        self._callers = np.flatnonzero(self._out_of.degrees > 0)
        self._weights = np.fromiter(weights.values(), np.float64, len(weights))[order]

    def reach(self, node_id: str, is_enough: Callable[[Floats, float], bool] = lambda _shares, _floor: False) -> Reach:
        """`is_enough(shares, floor)` is asked whether those of `floor` or more, which are true, are all that matter;
        all others are smaller."""
        start = self.index[node_id]
        return Reach(self._hops(start), *self._shares(start, is_enough))

    def _hops(self, start: int) -> Integers:
        """Breadth first, a round a hop: from those that were found last, or to those that were not found yet,
        whichever has fewer edges."""
        hops = np.full(len(self.ids), -1, np.int64)
        hops[start] = distance = 0
        frontier, unknown = np.array([start], np.int64), self._callers
        degrees_in, degrees_out = self._into.degrees, self._out_of.degrees
        while frontier.size and (unknown := unknown[hops[unknown] < 0]).size:
            if degrees_in[frontier].sum() <= degrees_out[unknown].sum():
                callers = self._into.others[self._into.at(frontier)[0]]
                found = np.zeros(len(hops), np.bool_)
                found[callers] = True
                frontier = unknown[found[unknown]]
            else:
                frontier = unknown[self._out_of.has_any(unknown, hops == distance)]
            distance += 1
            hops[frontier] = distance
        return hops

    def _shares(self, start: int, is_enough: Callable[[Floats, float], bool]) -> tuple[Floats, Integers, float]:
        """Best first, by classes of shares: weights are 1 at most, so what is below a floor never lifts what is above.
        A round relaxes the callers of all that improved in the last one."""
        shares, steps = np.zeros(len(self.ids)), np.full(len(self.ids), -1, np.int64)
        waits = np.zeros(len(self.ids), np.bool_)
        shares[start], waits[start] = 1.0, True
        for floor in _FLOORS:
            while (frontier := np.flatnonzero(waits & (shares >= floor))).size:
                waits[frontier] = False
                waits[self._relax(frontier, shares, steps)] = True
            if not waits.any() or is_enough(shares, floor):
                break
        return shares, steps, floor if waits.any() else 0.0

    def _relax(self, servers: Integers, shares: Floats, steps: Integers) -> Integers:
        """Passes shares on to the callers of `servers`; those that got a larger one."""
        positions, lengths = self._into.at(servers)
        callers = self._into.others[positions]
        # However small a share gets on a long way, its caller is one.
        offered = np.maximum(self._weights[positions] * np.repeat(shares[servers], lengths), _SMALLEST)
        better = np.flatnonzero(offered > shares[callers])
        callers, offered = callers[better], offered[better]
        np.maximum.at(shares, callers, offered)
        best = offered == shares[callers]
        steps[callers[best]] = np.repeat(servers, lengths)[better[best]]
        return callers


def _adjacency(of: Integers, others: Integers, size: int) -> tuple[_Adjacency, Integers]:
    """With the order in which the edges are in it."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(size + 1))
    return _Adjacency(starts, others[order], np.diff(starts)), order


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
        if not edge.way:  # those who are behind it have the same calls
            totals[source, is_lookup] += count
        if not is_lookup and not is_counted_by_requests(edge):
            estimated.add(source)
    weights: dict[tuple[int, int], float] = {}
    for (source, target, is_lookup), count in counts.items():
        share = min(count / max(totals[source, is_lookup], 1), 1.0)
        weights[source, target] = max(share, weights.get((source, target), 0.0))
    return weights, frozenset(estimated)
