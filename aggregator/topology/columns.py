"""Counts keyed by endpoint flow and detail, in numpy columns.

Everything merges by sum, OR, min or max, so rows may be merged in any order and any grouping. A flow row is
(flow, authority, from_ns, to_ns, counts[16], protocols); a request row is (flow, authority, from_ns, to_ns,
detail, names, count, sum_ns), all int64. `detail` and `names` pack a request's small keys, see below.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire

from aggregator.topology.tallies import added

Ints = npt.NDArray[np.int64]

COUNTERS: tuple[str, ...] = tuple(name for name in wire.FLOW_TYPES if name not in ("bucket", "flow", "protocols"))
COUNTER = {name: at for at, name in enumerate(COUNTERS)}

# Whether the far end's agent tells of a row's time too. OPEN: not known yet, decided when a snapshot is made.
OPEN, FAR_END_TELLS, FAR_END_SILENT = 0, 1, 2

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

_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class _Rows:
    flow: Ints
    authority: Ints
    from_ns: Ints
    to_ns: Ints

    def __len__(self) -> int:
        return len(self.flow)

    def take(self, chosen: npt.NDArray[np.bool_] | Ints) -> Self:
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
    return FlowRows(
        flow=rows.flow[first],
        authority=rows.authority[first],
        from_ns=np.minimum.reduceat(rows.from_ns[order], starts),
        to_ns=np.maximum.reduceat(rows.to_ns[order], starts),
        counts=added(rows.counts[order], starts),
        protocols=np.bitwise_or.reduceat(rows.protocols[order], starts),
    )


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
