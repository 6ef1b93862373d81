"""The rows of the last hour: as they came while young, in coarser slots of time as they age."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import is_

import numpy as np

from aggregator.topology.columns import OPEN, Rows, joined, merge

Settle = Callable[[Rows], Rows]


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of a window, in parts, and from when on they are.

    `left_out` says which slots are not among them: as long as it is the same, the same rows are, whatever slots they
    have moved to, and those of the log that came later. None: it must be looked at anew each time.
    `log` has the last parts that were added, with numbers that grow by 1 up to `sealed`.
    """

    oldest_ns: int
    parts: list[Rows]
    left_out: tuple[int, ...] | None
    sealed: int
    log: list[tuple[int, Rows]]


class HotRows:
    """The rows of the last `retention_ns`: as they came while young, then in slots of 10 s, then of 60 s.

    `settle` gives young rows their authority where it is certain, and pins the flows whose far address changes
    hands: after it rows of one flow may be merged over time without losing who they were about.
    """

    TIERS = ((10_000_000_000, 60_000_000_000), (60_000_000_000, 2**62))  # (width, kept up to this age), in ns
    YOUNG_NS = 12_000_000_000
    _KEPT_MERGES = 4

    def __init__(self, retention_ns: int) -> None:
        self._retention_ns = retention_ns
        self._fresh: list[Rows] = []
        self._sealed = self._logged_before = 0
        self._log: list[tuple[int, Rows]] = []
        self._young: list[Rows] = []
        self._slots: list[dict[int, Rows]] = [{} for _ in self.TIERS]
        # For each tier, the slots of some windows and what they are together.
        self._merges: list[list[tuple[list[Rows], Rows]]] = [[] for _ in self.TIERS]

    def add(self, rows: Rows) -> None:
        if len(rows):
            self._fresh.append(rows)

    def age(self, now_ns: int, settle: Settle) -> None:
        """Move what is old enough into slots, slots into coarser ones, and what is too old away."""
        self._seal()
        self._log, self._logged_before = [one for one in self._log if one[0] > self._logged_before], self._sealed
        self._age_young(now_ns, settle)
        for tier, (_, kept_ns) in enumerate(self.TIERS[:-1]):
            width = self.TIERS[tier + 1][0]
            limit = (now_ns - kept_ns) // width * width
            for start in [start for start in self._slots[tier] if start < limit]:
                self._put(tier + 1, start // width * width, settle(self._slots[tier].pop(start)))
        for start in [start for start in self._slots[-1] if start + self.TIERS[-1][0] < now_ns - self._retention_ns]:
            del self._slots[-1][start]

    def oldest_end_ns(self, now_ns: int) -> int:
        """After `age`, no row that ended before then is held."""
        return now_ns - self._retention_ns - self.TIERS[-1][0]

    def settle_open(self, settle: Settle) -> None:
        """Once more what `settle` left open: rows of one slot are of one time, those of many would not be."""
        for slots in self._slots:
            for start, rows in slots.items():
                if (rows.flows.authority == OPEN).any() or (rows.requests.authority == OPEN).any():
                    slots[start] = merge([settle(rows)])

    def since(self, from_ns: int) -> Span:
        """All rows of the slots that end after `from_ns`."""
        self._seal()
        chosen: list[Rows] = []
        left_out: list[int] = []
        oldest_ns = from_ns
        for tier, (width, _) in enumerate(self.TIERS):
            slots = {start: rows for start, rows in self._slots[tier].items() if start + width > from_ns}
            left_out += [start + tier for start in self._slots[tier] if start not in slots]
            if slots:
                chosen.append(self._merged_slots(tier, list(slots.values())))
                oldest_ns = min(oldest_ns, *slots)
        young = [_after(from_ns, rows) for rows in self._young]
        is_whole = all(map(is_, young, self._young))
        return Span(oldest_ns, [*chosen, *young], tuple(left_out) if is_whole else None, self._sealed, self._log)

    def _seal(self) -> None:
        """What came since the last look becomes one part."""
        if self._fresh:
            self._sealed += 1
            part = joined(self._fresh)
            self._fresh = []
            self._young.append(part)
            self._log.append((self._sealed, part))

    def _merged_slots(self, tier: int, slots: list[Rows]) -> Rows:
        """Slots are asked for far more often than they change."""
        for known in self._merges[tier]:
            if len(known[0]) == len(slots) and all(map(is_, known[0], slots)):
                return known[1]
        self._merges[tier] = [(slots, merge(slots)), *self._merges[tier][: self._KEPT_MERGES - 1]]
        return self._merges[tier][0][1]

    def parts(self) -> tuple[Rows, list[dict[int, Rows]]]:
        """Everything that is held, for a checkpoint."""
        return self._compact_young(), self._slots

    def restore(self, young: Rows, slots: list[dict[int, Rows]]) -> None:
        self._young, self._slots = [young], slots

    def _compact_young(self) -> Rows:
        self._seal()
        self._young = [joined(self._young)]
        return self._young[0]

    def _age_young(self, now_ns: int, settle: Settle) -> None:
        young, limit_ns = self._compact_young(), now_ns - self.YOUNG_NS
        flows_old, requests_old = young.flows.to_ns < limit_ns, young.requests.to_ns < limit_ns
        if not flows_old.any() and not requests_old.any():
            return
        # What no slot would be kept of makes none: an agent may tell of any number of times long ago.
        flows_kept, requests_kept = (
            old & (rows.middle_ns > self.oldest_end_ns(now_ns))
            for old, rows in ((flows_old, young.flows), (requests_old, young.requests))
        )
        old = settle(Rows(young.flows.take(flows_kept), young.requests.take(requests_kept)))
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


def _after(from_ns: int, rows: Rows) -> Rows:
    """The same rows where all are."""
    flows, requests = rows.flows.to_ns > from_ns, rows.requests.to_ns > from_ns
    return rows if flows.all() and requests.all() else Rows(rows.flows.take(flows), rows.requests.take(requests))
