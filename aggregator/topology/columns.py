"""Counts keyed by endpoint flow and detail, in numpy columns; time as slots that get coarser with age.

Everything merges by sum, OR, min or max, so rows may be merged in any order and any grouping. A flow row is
(flow, authority, from_ns, to_ns, counts[16], protocols); a request row is (flow, authority, from_ns, to_ns,
detail, names, count, sum_ns), all int64. `detail` and `names` pack a request's small keys, see below.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire

Ints = npt.NDArray[np.int64]

COUNTERS: tuple[str, ...] = tuple(name for name in wire.FLOW_TYPES if name not in ("bucket", "flow", "protocols"))
COUNTER = {name: at for at, name in enumerate(COUNTERS)}

# Which end owns a client row's numbers. OPEN: not known yet, decided by the row's own time when a snapshot is made.
OPEN, SERVER_OWNS, CLIENT_OWNS = 0, 1, 2

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
        """From a batch's columns, in our ids, with from_ns and to_ns. Whose numbers count is open yet."""
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
        counts=np.add.reduceat(rows.counts[order], starts, axis=0),
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
        count=np.add.reduceat(rows.count[order], starts),
        sum_ns=np.add.reduceat(rows.sum_ns[order], starts),
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


Settle = Callable[[Rows], Rows]


class HotRows:
    """The rows of the last `retention_ns`: as they came while young, then in slots of 10 s, then of 60 s.

    `settle` gives young rows their final authority, and pins the flows whose far address changes hands: after
    it rows of one flow may be merged over time without losing who they were about.
    """

    TIERS = ((10_000_000_000, 60_000_000_000), (60_000_000_000, 2**62))  # (width, kept up to this age), in ns
    YOUNG_NS = 12_000_000_000

    def __init__(self, retention_ns: int) -> None:
        self._retention_ns = retention_ns
        self._young: list[Rows] = []
        self._slots: list[dict[int, Rows]] = [{} for _ in self.TIERS]

    def add(self, rows: Rows) -> None:
        if len(rows):
            self._young.append(rows)

    def age(self, now_ns: int, settle: Settle) -> None:
        """Move what is old enough into slots, slots into coarser ones, and what is too old away."""
        self._age_young(now_ns - self.YOUNG_NS, settle)
        for tier, (_, kept_ns) in enumerate(self.TIERS[:-1]):
            width = self.TIERS[tier + 1][0]
            limit = (now_ns - kept_ns) // width * width
            for start in [start for start in self._slots[tier] if start < limit]:
                self._put(tier + 1, start // width * width, settle(self._slots[tier].pop(start)))
        for start in [start for start in self._slots[-1] if start + self.TIERS[-1][0] < now_ns - self._retention_ns]:
            del self._slots[-1][start]

    def since(self, from_ns: int) -> tuple[int, Rows]:
        """All rows of the slots that end after `from_ns`, unmerged, and when the oldest of these slots begins."""
        chosen: list[Rows] = []
        oldest_ns = from_ns
        for tier, (width, _) in enumerate(self.TIERS):
            for start, rows in self._slots[tier].items():
                if start + width > from_ns:
                    chosen.append(rows)
                    oldest_ns = min(oldest_ns, start)
        young = self._compact_young()
        flows = [rows.flows for rows in chosen] + [young.flows.take(young.flows.to_ns > from_ns)]
        requests = [rows.requests for rows in chosen] + [young.requests.take(young.requests.to_ns > from_ns)]
        return oldest_ns, Rows(concatenate(flows, FlowRows.empty()), concatenate(requests, RequestRows.empty()))

    def parts(self) -> tuple[Rows, list[dict[int, Rows]]]:
        """Everything that is held, for a checkpoint."""
        return self._compact_young(), self._slots

    def restore(self, young: Rows, slots: list[dict[int, Rows]]) -> None:
        self._young, self._slots = [young], slots

    def _compact_young(self) -> Rows:
        if len(self._young) > 1:
            flows = concatenate([rows.flows for rows in self._young], FlowRows.empty())
            requests = concatenate([rows.requests for rows in self._young], RequestRows.empty())
            self._young = [Rows(flows, requests)]
        return self._young[0] if self._young else Rows.empty()

    def _age_young(self, limit_ns: int, settle: Settle) -> None:
        young = self._compact_young()
        flows_old, requests_old = young.flows.to_ns < limit_ns, young.requests.to_ns < limit_ns
        if not flows_old.any() and not requests_old.any():
            return
        old = settle(Rows(young.flows.take(flows_old), young.requests.take(requests_old)))
        self._young = [Rows(young.flows.take(~flows_old), young.requests.take(~requests_old))]
        # Late rows go where slots of their age are, or a slot would be made that is already too old for its tier.
        width = self.TIERS[0][0]
        flow_slots, request_slots = (rows.middle_ns // width * width for rows in (old.flows, old.requests))
        for start in set(np.unique(flow_slots).tolist()) | set(np.unique(request_slots).tolist()):
            part = Rows(old.flows.take(flow_slots == start), old.requests.take(request_slots == start))
            self._put(0, start, part)

    def _put(self, tier: int, start: int, rows: Rows) -> None:
        held = self._slots[tier].get(start)
        self._slots[tier][start] = merge([held, rows] if held else [rows])
