"""How much of each edge is of which revision of the pods at either end, for all edges at once. Pure.

Rows know the pod at their own end; the one at the far end by its address, where that tells. Where it does not, the far
end's own rows say how much was of which revision, as far as that is certain. The rest is of none.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import CLIENT, SERVER
from aggregator.topology.columns import COUNTER, FlowRows
from aggregator.topology.flows import Flows, Revisions
from aggregator.topology.placing import Edges
from aggregator.topology.requests import Counted
from aggregator.topology.tallies import MOST, has, largest_first, numbered, total

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Fields: TypeAlias = dict[str, Any]

# Of one end of an edge, beside what is of none.
MOST_REVISIONS: Final = 8
OTHER: Final = "(other)"
_NONE: Final = 0
_NUMBERS: Final = ("requests", "errors", "connections")
_CONNECTIONS: Final = COUNTER["connections"]


@dataclass(frozen=True, slots=True)
class _Told:
    """What each flow told of each edge, one after the other: by number, how much of it is the edge's own, and how much
    counts nowhere."""

    flow: Ints
    edge: Ints
    counted: Sequence[Ints]
    beside: Sequence[Ints]

    def take(self, chosen: Ints) -> "_Told":
        counted, beside = ([one[chosen] for one in some] for some in (self.counted, self.beside))
        return _Told(self.flow[chosen], self.edge[chosen], counted, beside)


@dataclass(frozen=True, slots=True)
class _Groups:
    """By edge and revision at one end, the sum of each number."""

    edge: Ints
    revision: Ints
    sums: Sequence[Ints]


def by_revision(rows: FlowRows, requests: Counted, edges: Edges, flows: Flows, revisions: Revisions) -> list[object]:
    """By edge, fields of its rows: those of who asked, then those of who answered; the most used first, then what is of
    none."""
    found: list[list[Fields]] = [[] for _ in range(len(edges))]
    told, names = _told(rows, requests, edges, len(flows.target)), list(revisions.names)
    has_any = has(revisions.nodes, len(flows.vertices))
    for end, role, nodes in (
        (pb.EDGE_END_SOURCE, CLIENT, edges.source),
        (pb.EDGE_END_TARGET, SERVER, edges.target),
    ):
        shown = told.take(np.flatnonzero(has_any[nodes][told.edge]))
        own = flows.facts.role[shown.flow] == role
        endpoint = np.where(own, flows.facts.endpoint[shown.flow], flows.met[shown.flow])
        _put(found, end, _grouped(shown, own, revisions.of_endpoint[endpoint], len(edges)), names)
    return [*found]


def trim(fields: Fields) -> None:
    """Of an edge from which a part was taken: what is left is of one revision only where there was but one."""
    ends: defaultdict[int, list[Fields]] = defaultdict(list)
    for one in fields.get("revisions", ()):
        ends[one["end"]].append(one)
    whole, kept = {name: fields[name] for name in _NUMBERS}, []
    for end, some in ends.items():
        if {name: sum(one[name] for one in some) for name in _NUMBERS} == whole:
            kept += some
        else:
            kept.append({"end": end, "revision": some[0]["revision"] if len(some) == 1 else "", **whole})
    if kept:
        fields["revisions"] = kept


def _told(rows: FlowRows, requests: Counted, edges: Edges, flows: int) -> _Told:
    """Sums first: a flow has many rows, and hardly ever of two edges."""
    opened = np.flatnonzero(rows.counts[:, _CONNECTIONS])
    own = edges.flows
    flow = np.concatenate([requests.flow, rows.flow[opened]])
    edge = np.concatenate([requests.edge, own.edge[opened]])
    of_flow = np.full(flows, -1, np.int64)
    of_flow[flow] = edge
    at = flow.copy()
    others = np.flatnonzero(of_flow[flow] != edge)
    pairs, at[others] = np.unique(edge[others] * flows + flow[others], return_inverse=True)
    at[others] += flows
    asked, connected = np.split(at, [len(requests.flow)])
    failed = np.flatnonzero(requests.fails)
    numbers = (
        (asked, requests.count, requests.counts),
        (asked[failed], requests.count[failed], requests.counts[failed]),
        (connected, rows.counts[opened, _CONNECTIONS], own.counts[opened]),
    )
    size = flows + len(pairs)
    told = _Told(
        np.concatenate([np.arange(flows), pairs % flows]),
        np.concatenate([of_flow, pairs // flows]),
        [_sums(values, where, np.flatnonzero(counts), size) for where, values, counts in numbers],
        [_sums(values, where, np.flatnonzero(~counts), size) for where, values, counts in numbers],
    )
    return told.take(np.flatnonzero(has(at, size)))


def _sums(values: Ints, at: Ints, chosen: Ints, size: int) -> Ints:
    return total(values[chosen], at[chosen], size)


def _grouped(told: _Told, own: Bools, revision: Ints, edges: int) -> _Groups:
    """`own`: whether the end that is looked at tells it."""
    counts = _any(told.counted)
    lacking = has(told.edge[counts & (revision == _NONE)], edges)
    chosen = np.flatnonzero(counts | lacking[told.edge])
    told, own, revision = told.take(chosen), own[chosen], revision[chosen]
    width = int(revision.max(initial=0)) + 1
    groups, at = np.unique(told.edge * width + revision, return_inverse=True)
    edge, revision = groups // width, groups % width
    sums = [total(values, at, len(groups)) for values in told.counted]
    if lacking.any():
        for number, known in enumerate(sums):
            beside = total(told.beside[number][own], at[own], len(groups))
            far = total(told.counted[number][~own], at[~own], len(groups))
            sums[number] = _shared_out(known, np.maximum(beside - far, 0), edge, revision == _NONE)
    return _Groups(edge, revision, sums)


def _shared_out(known: Ints, own: Ints, edge: Ints, is_none: Bools) -> Ints:
    """What is of none is of whom the end itself says. `own`: its words, without what is known of these already by the
    address that the other end saw."""
    of_edge, edges = numbered(edge)
    own = np.where(is_none, 0, own)
    missing = total(np.where(is_none, known, 0), of_edge, len(edges))
    # If they say more than is missing, any of them may be what was not missing.
    too_many = np.maximum(total(own, of_edge, len(edges)) - missing, 0)
    found = np.maximum(own - too_many[of_edge], 0)
    shared: Ints = known + found - np.where(is_none, total(found, of_edge, len(edges))[of_edge], 0)
    return shared


def _put(found: Sequence[list[Fields]], end: int, groups: _Groups, names: Sequence[str]) -> None:
    used = np.flatnonzero(_any(groups.sums))
    edge, revision, sums = groups.edge[used], groups.revision[used], [some[used] for some in groups.sums]
    order, rank = _in_order(edge, revision, sums, names)
    is_beyond = (rank >= MOST_REVISIONS) & (revision[order] != _NONE)
    shown, beyond = order[np.flatnonzero(~is_beyond)], order[np.flatnonzero(is_beyond)]
    columns = [some[shown].tolist() for some in sums]
    for at, name, requests, errors, connections in zip(
        edge[shown].tolist(), revision[shown].tolist(), *columns, strict=True
    ):
        found[at].append(
            {
                "end": end,
                "revision": names[name],
                "requests": requests,
                "errors": errors,
                "connections": connections,
            }
        )
    of_rest, rest = numbered(edge[beyond])
    others = [total(some[beyond], of_rest, len(rest)).tolist() for some in sums]
    for at, *numbers in zip(rest.tolist(), *others, strict=True):
        found[at].append({"end": end, "revision": OTHER, **dict(zip(_NUMBERS, numbers, strict=True))})


def _in_order(edge: Ints, revision: Ints, sums: Sequence[Ints], names: Sequence[str]) -> tuple[Ints, Ints]:
    """See `largest_first`; `edge` ascends. Most edges have but one, and cost nothing."""
    order, rank = np.arange(len(edge)), np.zeros(len(edge), np.int64)
    is_same = edge[1:] == edge[:-1]
    several = np.flatnonzero(np.append(is_same, False) | np.append(False, is_same)) if len(edge) else order
    if len(several):
        what, (asked, _, opened) = revision[several], [some[several] for some in sums]
        weights = np.where(what == _NONE, -1, np.minimum(asked, MOST))
        among, rank[several] = largest_first(edge[several], weights, -opened, _by_name(what, names))
        order[several] = several[among]
    return order, rank


def _by_name(revision: Ints, names: Sequence[str]) -> Ints:
    """Numbers in the order of the names: ids are in the order in which they were learned."""
    of_row, present = numbered(revision)
    place = np.empty(len(present), np.int64)
    by_name = sorted((names[one], at) for at, one in enumerate(present.tolist()))
    place[[at for _, at in by_name]] = np.arange(len(present))
    return place[of_row]


def _any(numbers: Sequence[Ints]) -> Bools:
    requests, errors, connections = numbers
    found: Bools = (requests | errors | connections) != 0
    return found
