"""The rows of the last hour: as they came while young, in coarser slots of time as they age."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.steps import Step
from aggregator.topology.columns import FlowRows, Rows, is_open, joined, merge
from aggregator.topology.tallies import NEVER_NS

Bools = npt.NDArray[np.bool_]
# It begins and ends BESIDE.
Settle = Callable[[Rows], Generator[Step, None, Rows]]
Slots = list[dict[int, "Part"]]
_YOUNG: Final = -1  # the tier of what is in no slot
# Smaller parts are put together as they age.
_SMALL_PART_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows, none of which began before `begin_ns`; all of them ended in [oldest_ns, newest_ns]."""

    rows: Rows
    begin_ns: int
    oldest_ns: int
    newest_ns: int

    @classmethod
    def of(cls, rows: Rows) -> "Part":
        ends = [column for column in (rows.flows.to_ns, rows.requests.to_ns) if len(column)]
        oldest_ns = min((int(one.min()) for one in ends), default=NEVER_NS)
        begin_ns = rows.oldest_ns if len(rows) else NEVER_NS
        return cls(rows, begin_ns, oldest_ns, max((int(one.max()) for one in ends), default=0))


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of a window, and from when on they are: those in slots by tier, and young ones.

    `left_out` says which slots are not among them: as long as it is the same, the same rows are, whatever slots they
    have moved to, and those of the log that came later. None: it must be looked at anew each time.
    `log` has the last parts that were added, with numbers that grow by 1 up to `sealed`.
    """

    oldest_ns: int
    slots: list[list[Part]]
    young: list[Part]
    left_out: tuple[int, ...] | None
    sealed: int
    log: list[tuple[int, Rows]]

    def parts(self, after_ns: int = 0) -> list[Rows]:
        """Those that may have rows that ended later than that."""
        parts = [part for tier in self.slots for part in tier] + self.young
        return [part.rows for part in parts if part.newest_ns > after_ns]


class HotRows:
    """The rows of the last `retention_ns`: as they came while young, then in slots of 10 s, then of 60 s.

    `settle` gives young rows their authority where it is certain, and pins the flows whose far address changes
    hands: after it rows of one flow may be merged over time without losing who they were about.
    """

    TIERS = ((10_000_000_000, 60_000_000_000), (60_000_000_000, 2**62))  # (width, kept up to this age), in ns
    YOUNG_NS = 12_000_000_000

    def __init__(self, retention_ns: int) -> None:
        self._retention_ns = retention_ns
        self._fresh: list[Rows] = []
        self._sealed = self._logged_before = 0
        self._log: list[tuple[int, Rows]] = []
        self._young: list[Part] = []
        self._slots: list[dict[int, Part]] = [{} for _ in self.TIERS]

    def add(self, rows: Rows) -> None:
        if len(rows):
            self._fresh.append(rows)

    def age(self, now_ns: int, settle: Settle, settle_open: bool) -> Generator[Step, None, None]:
        """Move what is old enough into slots, slots into coarser ones, and what is too old away. `settle_open`: and
        settle once more what was left open. One at a time; begins and ends ALONE: until its end, all is as it was."""
        self._seal()
        self._log, self._logged_before = [one for one in self._log if one[0] > self._logged_before], self._sealed
        before, slots = list(self._young), [dict(some) for some in self._slots]
        yield Step.BESIDE
        if settle_open:
            yield from _settle_open(slots, settle)
        young, old = _by_age(before, now_ns - self.YOUNG_NS)
        yield from self._put_old(old, slots, now_ns, settle)
        for tier, (_, kept_ns) in enumerate(self.TIERS[:-1]):
            width = self.TIERS[tier + 1][0]
            limit = (now_ns - kept_ns) // width * width
            for start in [start for start in slots[tier] if start < limit]:
                rows = yield from settle(slots[tier].pop(start).rows)
                _put(slots[tier + 1], start // width * width, rows)
        for start in [start for start in slots[-1] if start + self.TIERS[-1][0] < now_ns - self._retention_ns]:
            del slots[-1][start]
        yield Step.ALONE
        self._young, self._slots = young + self._young[len(before) :], slots

    def oldest_end_ns(self, now_ns: int) -> int:
        """After `age`, no row that ended before then is held."""
        return now_ns - self._retention_ns - self.TIERS[-1][0]

    def flow_rows(self) -> Iterator[FlowRows]:
        """All that are held, those of the kind."""
        parts = [*self._young, *(part for slots in self._slots for part in slots.values())]
        for rows in (*self._fresh, *(part.rows for part in parts)):
            yield rows.flows

    def since(self, from_ns: int) -> Span:
        """All rows of the slots that end after `from_ns`.

        What was delivered late may be of a long time: where it begins, the window does, or a rate would show what was
        counted in more time than it is shared out over.
        """
        self._seal()
        chosen: list[list[Part]] = []
        left_out: list[int] = []
        oldest_ns = from_ns
        for tier, (width, _) in enumerate(self.TIERS):
            slots = {start: part for start, part in self._slots[tier].items() if start + width > from_ns}
            left_out += [start + tier for start in self._slots[tier] if start not in slots]
            chosen.append(list(slots.values()))
            oldest_ns = min(oldest_ns, *slots) if slots else oldest_ns
        is_whole = all(part.oldest_ns > from_ns for part in self._young)
        young = self._young if is_whole else [_after(from_ns, part) for part in self._young]
        oldest_ns = min([oldest_ns, *(part.begin_ns for part in (*young, *(one for some in chosen for one in some)))])
        log = list(self._log)
        return Span(oldest_ns, chosen, list(young), tuple(left_out) if is_whole else None, self._sealed, log)

    def came(self, after: int) -> tuple[int, list[Rows]]:
        """The number of the last part of the log, and those behind number `after` that are still held there: some
        seconds of them, at least."""
        self._seal()
        return self._sealed, [rows for number, rows in self._log if number > after]

    def _seal(self) -> None:
        """What came since the last look becomes one part."""
        if self._fresh:
            self._sealed += 1
            part = joined(self._fresh)
            self._fresh = []
            self._young.append(Part.of(part))
            self._log.append((self._sealed, part))

    def parts(self) -> list[tuple[int, int, Rows]]:
        """Everything that is held as (tier, start, rows), for a checkpoint: values, and `restore` takes them."""
        self._seal()
        slots = enumerate(self._slots)
        kept = [(tier, start, part.rows) for tier, some in slots for start, part in some.items()]
        return [*((_YOUNG, 0, part.rows) for part in self._young), *kept]

    def recent(self, parts: Sequence[tuple[int, int, Rows]], now_ns: int) -> Iterator[tuple[int, int, Rows]]:
        """Those that `age` would keep, of what `parts` gave."""
        oldest_ns = self.oldest_end_ns(now_ns)
        for tier, start, rows in parts:
            if tier == _YOUNG:
                flows, requests = (part.to_ns >= oldest_ns for part in (rows.flows, rows.requests))
                yield tier, start, Rows(rows.flows.take(flows), rows.requests.take(requests))
            elif start >= oldest_ns:
                yield tier, start, rows

    def restore(self, parts: Sequence[tuple[int, int, Rows]]) -> None:
        self._young = [Part.of(rows) for tier, _, rows in parts if tier == _YOUNG]
        for tier, start, rows in parts:
            if tier != _YOUNG:
                self._slots[tier][start] = Part.of(rows)

    def _put_old(self, rows: Rows, slots: Slots, now_ns: int, settle: Settle) -> Generator[Step, None, None]:
        # What no slot would be kept of makes none: an agent may tell of any number of times long ago.
        oldest_ns = self.oldest_end_ns(now_ns)
        flows, requests = (part.middle_ns > oldest_ns for part in (rows.flows, rows.requests))
        old = yield from settle(Rows(rows.flows.take(flows), rows.requests.take(requests)))
        # Late rows go where slots of their age are, or a slot would be made that is already too old for its tier.
        width = self.TIERS[0][0]
        flow_slots, request_slots = (part.middle_ns // width * width for part in (old.flows, old.requests))
        for start in set(np.unique(flow_slots).tolist()) | set(np.unique(request_slots).tolist()):
            part = Rows(old.flows.take(flow_slots == start), old.requests.take(request_slots == start))
            _put(slots[0], start, part)


def _put(slots: dict[int, Part], start: int, rows: Rows) -> None:
    held = slots.get(start)
    slots[start] = Part.of(merge([held.rows, rows] if held else [rows]))


def _settle_open(slots: Slots, settle: Settle) -> Generator[Step, None, None]:
    """Rows of one slot are of one time, those of many would not be."""
    for some in slots:
        for start, part in some.items():
            if is_open(part.rows.flows).any() or is_open(part.rows.requests).any():
                settled = yield from settle(part.rows)
                some[start] = Part.of(merge([settled]))


def _by_age(parts: Sequence[Part], limit_ns: int) -> tuple[list[Part], Rows]:
    """Those of rows that ended since then, and all rows that ended before."""
    small: list[Part] = []
    large: list[Part] = []
    old: list[Rows] = []
    for part in parts:
        ended = [rows.to_ns < limit_ns for rows in (part.rows.flows, part.rows.requests)]
        if part.oldest_ns < limit_ns:
            old.append(_chosen(part, *ended).rows)
        if part.newest_ns >= limit_ns:
            kept = _chosen(part, ~ended[0], ~ended[1])
            (small if len(kept.rows) < _SMALL_PART_ROWS else large).append(kept)
    young = [Part.of(joined([part.rows for part in small]))] if len(small) > 1 else small
    return [*large, *young], joined(old)


def _chosen(part: Part, flows: Bools, requests: Bools) -> Part:
    """The same one where all of its rows are."""
    if flows.all() and requests.all():
        return part
    return Part.of(Rows(part.rows.flows.take(flows), part.rows.requests.take(requests)))


def _after(from_ns: int, part: Part) -> Part:
    return _chosen(part, part.rows.flows.to_ns > from_ns, part.rows.requests.to_ns > from_ns)
