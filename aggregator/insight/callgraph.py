"""Who calls whom, and with which share of its calls, as arrays: made once a Case, walked in milliseconds. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1.topology_pb2 import Edge

from aggregator.insight.edges import DNS, is_counted_by_requests, uses

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_SMALLEST: Final = np.finfo(np.float64).tiny


# A search goes on below these shares only where an answer needs more callers than those above.
_FLOORS: Final = (*(2.0**-power for power in range(4, 40, 4)), 0.0)


@dataclass(frozen=True, slots=True)
class Reach:
    """What can reach one node, `start`, indexed as the graph's `ids`.

    `hops`: edges of the shortest path, -1 where there is none. `shares`: the largest product of shares along any
    path, true where it is `floor` or more. `steps`: the next node on the path of that share, -1 at its end.
    """

    start: int
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
        lengths = self.degrees.take(nodes)
        ends = lengths.cumsum()
        positions = np.arange(int(ends[-1]) if ends.size else 0)
        positions += (self.starts.take(nodes) - ends + lengths).repeat(lengths)
        return positions, lengths

    def neighbours(self, nodes: Integers) -> Integers:
        """The other end of each edge of these nodes."""
        return self.others.take(self.at(nodes)[0])


@dataclass(frozen=True, slots=True)
class _Uses:
    """A row an edge between two nodes. `lookups`: whether it is one; `ways`: whether others are reached by way of its
    server; `estimated`: clients some of whose calls could only be counted as connections."""

    clients: Integers
    servers: Integers
    counts: Floats
    lookups: Flags
    ways: Flags
    estimated: frozenset[int]


class CallGraph:
    """Edges by server, each weighed by the share that it is of its client's calls.

    A lookup of a name is no alternative to a call, so DNS queries are shares among themselves.
    """

    def __init__(self, ids: Iterable[str], edges: Iterable[Edge]) -> None:
        # In order, so that what is sorted by anything else stays sorted by id where that is equal.
        self.ids: Sequence[str] = sorted(ids)
        self.index = {node_id: number for number, node_id in enumerate(self.ids)}
        seen = _seen(self.index, edges)
        self.is_estimated = seen.estimated
        clients, servers, weights = _weights(seen, len(self.ids))
        self._into, order = _adjacency(servers, clients, len(self.ids))
        self._out_of, _ = _adjacency(clients, servers, len(self.ids))
        self._calls = self._out_of.degrees > 0
        self._weights = weights[order]

    def reach(self, node_id: str, is_enough: Callable[[Floats, float], bool] = lambda _shares, _floor: False) -> Reach:
        """`is_enough(shares, floor)` is asked whether those of `floor` or more, which are true, are all that matter;
        all others are smaller."""
        start = self.index[node_id]
        return Reach(start, self._hops(start), *self._shares(start, is_enough))

    def _hops(self, start: int) -> Integers:
        """Breadth first, a round a hop: from those that were found last, or from those that were not found yet,
        whichever have fewer edges."""
        hops = np.full(len(self.ids), -1, np.int64)
        hops[start] = distance = 0
        frontier, unknown = np.array([start], np.int64), self._calls.copy()
        unknown[start] = False
        edges_left = len(self._weights) - int(self._out_of.degrees[start])
        while frontier.size and edges_left:
            if self._into.degrees.take(frontier).sum() <= edges_left:
                frontier = self._callers(frontier, unknown)
            else:
                frontier = self._that_call(unknown.nonzero()[0], hops == distance)
            distance += 1
            hops[frontier] = distance
            unknown[frontier] = False
            edges_left -= int(self._out_of.degrees.take(frontier).sum())
        return hops

    def _callers(self, servers: Integers, among: Flags) -> Integers:
        found = np.zeros(len(among), np.bool_)
        found[self._into.neighbours(servers)] = True
        found &= among
        return found.nonzero()[0]

    def _that_call(self, clients: Integers, servers: Flags) -> Integers:
        """Those of `clients`, each of which calls some node, that call one of `servers`."""
        positions, lengths = self._out_of.at(clients)
        calls = servers.take(self._out_of.others.take(positions))
        return clients[np.logical_or.reduceat(calls, lengths.cumsum() - lengths)]

    def _shares(self, start: int, is_enough: Callable[[Floats, float], bool]) -> tuple[Floats, Integers, float]:
        """Best first, by classes of shares: weights are 1 at most, so what is below a floor never lifts what is above.
        A round relaxes the callers of all that improved in the last one."""
        shares, steps = np.zeros(len(self.ids)), np.full(len(self.ids), -1, np.int64)
        waits = np.zeros(len(self.ids), np.bool_)
        shares[start], waits[start] = 1.0, True
        for floor in _FLOORS:
            while (frontier := (waits & (shares >= floor)).nonzero()[0]).size:
                waits[frontier] = False
                waits[self._relax(frontier, shares, steps)] = True
            if not waits.any() or is_enough(shares, floor):
                break
        return shares, steps, floor if waits.any() else 0.0

    def _relax(self, servers: Integers, shares: Floats, steps: Integers) -> Integers:
        """Passes shares on to the callers of `servers`; those that got a larger one."""
        # `take` and `nonzero` are several times faster than an index of flags.
        positions, lengths = self._into.at(servers)
        callers = self._into.others.take(positions)
        offered = self._weights.take(positions)
        offered *= shares.take(servers).repeat(lengths)
        # However small a share gets on a long way, its caller is one.
        np.maximum(offered, _SMALLEST, out=offered)
        better = (offered > shares.take(callers)).nonzero()[0]
        callers, offered = callers.take(better), offered.take(better)
        np.maximum.at(shares, callers, offered)
        best = (offered == shares.take(callers)).nonzero()[0]
        steps[callers.take(best)] = servers.repeat(lengths).take(better.take(best))
        return callers


def _adjacency(of: Integers, others: Integers, size: int) -> tuple[_Adjacency, Integers]:
    """With the order in which the edges are in it."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(size + 1))
    return _Adjacency(starts, others[order], np.diff(starts)), order


def _seen(index: dict[str, int], edges: Iterable[Edge]) -> _Uses:
    sources, targets, counts, lookups, ways, estimated = [], [], [], [], [], set()
    for edge in edges:
        source, target = index.get(edge.source), index.get(edge.target)
        if source is None or target is None or source == target:
            continue
        is_lookup = edge.protocol == DNS
        sources.append(source)
        targets.append(target)
        counts.append(uses(edge))
        lookups.append(is_lookup)
        ways.append(edge.way)
        if not is_lookup and not is_counted_by_requests(edge):
            estimated.add(source)
    return _Uses(
        np.array(sources, np.int64),
        np.array(targets, np.int64),
        np.array(counts, np.float64),
        np.array(lookups, np.bool_),
        np.array(ways, np.bool_),
        frozenset(estimated),
    )


def _weights(seen: _Uses, size: int) -> tuple[Integers, Integers, Floats]:
    """Each (client, server) once, with the share."""
    # A client is two: one that calls, and one that looks up.
    doers = seen.clients + size * seen.lookups
    # Those who are behind a way have the same calls.
    totals = np.bincount(doers, np.where(seen.ways, 0, seen.counts), 2 * size)
    pairs, positions = np.unique(doers * size + seen.servers, return_inverse=True)
    counts = np.bincount(positions, seen.counts, len(pairs))
    doers, servers = np.divmod(pairs, size)
    shares = np.minimum(counts / np.maximum(totals[doers], 1), 1)
    pairs, positions = np.unique(doers % size * size + servers, return_inverse=True)
    weights = np.zeros(len(pairs))
    np.maximum.at(weights, positions, shares)
    return *np.divmod(pairs, size), weights
