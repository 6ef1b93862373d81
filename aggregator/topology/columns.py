"""Counts keyed by endpoint flow and detail, in numpy columns.

Everything merges by sum, OR, min or max, so rows may be merged in any order and any grouping; the times of flow rows
are those of the rows in which something lived, where there are such. A flow row is
(flow, authority, from_ns, to_ns, counts[16], protocols); a request row is (flow, authority, from_ns, to_ns,
detail, names, count, sum_ns), all int64. `detail` and `names` pack a request's small keys, see below.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire

from aggregator.topology.tallies import NEVER_NS, added

Ints = npt.NDArray[np.int64]

COUNTERS: tuple[str, ...] = tuple(name for name in wire.FLOW_TYPES if name not in ("bucket", "flow", "protocols"))
COUNTER = {name: at for at, name in enumerate(COUNTERS)}

# Whether the far end's agent tells of a row's time too. OPEN: not known yet, decided when a snapshot is made.
OPEN, FAR_END_TELLS, FAR_END_SILENT = 0, 1, 2
# Of most of a row, where the far end's agent came or went within the row.
MOSTLY_TELLS, MOSTLY_SILENT = 3, 4
# Open, of a row that begins before what the far end's agent has told ends: it stays apart from rows that begin later.
ENDING = 5

# Request keys: name -> (shift, bits). The first six share `detail`, the last two share `names`.
DETAIL_BITS = {
    "protocol": (0, 6),
    "operation": (6, 6),
    "outcome": (12, 4),
    "latency_bucket": (16, 12),
    "code": (28, 16),
    "kind": (44, 16),
}
NAME_BITS = {"name": (31, 31), "host": (0, 31)}

# A connection that ends, a segment that is sent again and what is measured of them show nobody alive.
_ALIVE = "connections adopted bytes_sent bytes_received refused timeout reset unreachable other".split()

_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class _Rows:
    flow: Ints
    authority: Ints
    from_ns: Ints
    to_ns: Ints

    def __len__(self) -> int:
        return len(self.flow)

    def take(self, chosen: npt.NDArray[np.bool_] | Ints | slice) -> Self:
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def middle_ns(self) -> Ints:
        return self.from_ns + (self.to_ns - self.from_ns) // 2


@dataclass(frozen=True, slots=True)
class FlowRows(_Rows):
    counts: Ints
    protocols: Ints

    @classmethod
    def empty(cls) -> "FlowRows":
        none = np.empty(0, np.int64)
        return cls(none, none, none, none, np.empty((0, len(COUNTERS)), np.int64), none)


@dataclass(frozen=True, slots=True)
class RequestRows(_Rows):
    detail: Ints
    names: Ints
    count: Ints
    sum_ns: Ints

    @classmethod
    def empty(cls) -> "RequestRows":
        return cls(*(np.empty(0, np.int64) for _ in range(8)))

    def key(self, name: str) -> Ints:
        """One of the packed keys of every row."""
        column = self.detail if name in DETAIL_BITS else self.names
        shift, bits = (DETAIL_BITS | NAME_BITS)[name]
        return (column >> shift) & ((1 << bits) - 1)


@dataclass(frozen=True, slots=True)
class Rows:
    flows: FlowRows
    requests: RequestRows

    @classmethod
    def of(cls, flows: Mapping[str, Ints], requests: Mapping[str, Ints]) -> "Rows":
        """From a batch's columns, in our ids, with from_ns and to_ns. Whether the far end tells of them is open yet."""
        return cls(
            FlowRows(
                flow=flows["flow"],
                authority=np.full(len(flows["flow"]), OPEN, np.int64),
                from_ns=flows["from_ns"],
                to_ns=flows["to_ns"],
                counts=np.stack([flows[name] for name in COUNTERS], axis=1),
                protocols=flows["protocols"],
            ),
            RequestRows(
                flow=requests["flow"],
                authority=np.full(len(requests["flow"]), OPEN, np.int64),
                from_ns=requests["from_ns"],
                to_ns=requests["to_ns"],
                detail=_packed(requests, DETAIL_BITS),
                names=_packed(requests, NAME_BITS),
                count=requests["count"],
                sum_ns=requests["sum_ns"],
            ),
        )

    @classmethod
    def empty(cls) -> "Rows":
        return cls(FlowRows.empty(), RequestRows.empty())

    def __len__(self) -> int:
        return len(self.flows) + len(self.requests)

    def renumbered(self, flows: Ints, names: Ints) -> "Rows":
        """`flows` and `names`: ids of now, by those of before."""
        texts = {name: names[self.requests.key(name)] for name in NAME_BITS} if len(self.requests) else {}
        packed = _packed({"flow": self.requests.flow, **texts}, NAME_BITS) if texts else self.requests.names
        return Rows(
            replace(self.flows, flow=flows[self.flows.flow]),
            replace(self.requests, flow=flows[self.requests.flow], names=packed),
        )

    @property
    def oldest_ns(self) -> int:
        """Where the first of them begins. There must be one."""
        return min(int(rows.from_ns.min()) for rows in (self.flows, self.requests) if len(rows))


def is_open(rows: FlowRows | RequestRows) -> npt.NDArray[np.bool_]:
    """Whose authority is not known yet."""
    return np.isin(rows.authority, (OPEN, ENDING))


def _packed(columns: Mapping[str, Ints], bits: Mapping[str, tuple[int, int]]) -> Ints:
    packed = np.zeros(len(columns["flow"]), np.int64)
    for name, (shift, _) in bits.items():
        packed |= columns[name] << shift
    return packed


def group(keys: Sequence[Ints]) -> tuple[Ints, Ints]:
    """(order, starts): rows in `order` lie group by group, a group beginning at each of `starts`. Exact."""
    size = len(keys[0])
    if size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    mixed = keys[0].astype(np.uint64) * np.uint64(_ODD[0])
    for at, key in enumerate(keys[1:], 1):
        mixed ^= mixed >> np.uint64(29)
        mixed += key.astype(np.uint64)
        mixed *= np.uint64(_ODD[at % len(_ODD)])
    mixed ^= mixed >> np.uint64(32)
    order = np.argsort(mixed).astype(np.int64, copy=False)
    same_hash = mixed[order[1:]] == mixed[order[:-1]]
    same = np.ones(size - 1, np.bool_)
    for key in keys:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    if not np.array_equal(same, same_hash):  # two keys with one hash
        order = np.lexsort(tuple(keys)).astype(np.int64, copy=False)
        same = np.ones(size - 1, np.bool_)
        for key in keys:
            same &= key[order][1:] == key[order][:-1]
    return order, np.concatenate(([0], np.flatnonzero(~same) + 1)).astype(np.int64)


def merge_flows(parts: Sequence[FlowRows]) -> FlowRows:
    """Rows with one (flow, authority) become one."""
    rows = concatenate(parts, FlowRows.empty())
    order, starts = group((rows.flow, rows.authority))
    if len(starts) == len(rows):
        return rows
    first = order[starts]
    from_ns, to_ns = _times(rows.take(order), starts)
    return FlowRows(
        flow=rows.flow[first],
        authority=rows.authority[first],
        from_ns=from_ns,
        to_ns=to_ns,
        counts=added(rows.counts[order], starts),
        protocols=np.bitwise_or.reduceat(rows.protocols[order], starts),
    )


def _times(rows: FlowRows, starts: Ints) -> tuple[Ints, Ints]:
    """Of each group the time of what lives, or of all where nothing does."""
    alive = is_alive(rows)
    if not alive.all():
        none = ~np.logical_or.reduceat(alive, starts)
        alive |= np.repeat(none, np.diff(np.append(starts, len(rows))))
    from_ns, to_ns = np.where(alive, rows.from_ns, NEVER_NS), np.where(alive, rows.to_ns, -1)
    return np.minimum.reduceat(from_ns, starts), np.maximum.reduceat(to_ns, starts)


def is_alive(rows: FlowRows) -> npt.NDArray[np.bool_]:
    """Whether anybody opened, tried to open, or said anything: else a row tells only how something ended."""
    any_ = np.zeros(len(rows), np.int64)
    for name in _ALIVE:
        any_ |= rows.counts[:, COUNTER[name]]
    alive: npt.NDArray[np.bool_] = any_ != 0
    return alive


def merge_requests(parts: Sequence[RequestRows]) -> RequestRows:
    """Rows with one (flow, authority, detail, names) become one."""
    rows = concatenate(parts, RequestRows.empty())
    order, starts = group((rows.flow, rows.authority, rows.detail, rows.names))
    if len(starts) == len(rows):
        return rows
    first = order[starts]
    return RequestRows(
        flow=rows.flow[first],
        authority=rows.authority[first],
        from_ns=np.minimum.reduceat(rows.from_ns[order], starts),
        to_ns=np.maximum.reduceat(rows.to_ns[order], starts),
        detail=rows.detail[first],
        names=rows.names[first],
        count=added(rows.count[order], starts),
        sum_ns=added(rows.sum_ns[order], starts),
    )


def merge(parts: Iterable[Rows]) -> Rows:
    listed = list(parts)
    return Rows(merge_flows([part.flows for part in listed]), merge_requests([part.requests for part in listed]))


R = TypeVar("R", bound=_Rows)


def concatenate(parts: Sequence[R], empty: R) -> R:
    filled = [part for part in parts if len(part)]
    if len(filled) <= 1:
        return filled[0] if filled else empty
    return type(empty)(*(np.concatenate([getattr(part, field.name) for part in filled]) for field in fields(empty)))


def joined(parts: Sequence[Rows]) -> Rows:
    """One after the other, unmerged."""
    return Rows(
        concatenate([part.flows for part in parts], FlowRows.empty()),
        concatenate([part.requests for part in parts], RequestRows.empty()),
    )


def pieces(rows: Rows, most: int) -> Iterator[Rows]:
    """All of them, at most so many flows' and so many requests' at a time."""
    for at in range(0, max(len(rows.flows), len(rows.requests)), most):
        some = np.s_[at : at + most]
        yield Rows(rows.flows.take(some), rows.requests.take(some))
