"""When something was seen: spans of time, for those few flows whose own address is one that changed hands. Pure.

Who has rows at an address at a time has that address then; no claim is needed to know it, and none is as exact.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.topology.columns import COUNTER, FlowRows

Bools: TypeAlias = npt.NDArray[np.bool_]
# A packet is on its way for a while, and two clocks differ after they were compared: by seconds, where agents and
# aggregator had to wait for a processor. Too much only means that holders are believed more than claims.
SLACK_NS: Final = 5_000_000_000
_MOST_SPANS: Final = 4096
_ADOPTING: Final = COUNTER["adopted"]
_OPENING: Final = [COUNTER["connections"], _ADOPTING]


class _Spans:
    """Joined and in order when somebody asks."""

    __slots__ = ("_begins", "_ends", "_new")

    def __init__(self) -> None:
        self._new: list[tuple[int, int]] = []
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, begin_ns: int, end_ns: int) -> None:
        self._new.append((begin_ns, end_ns))
        if len(self._new) > _MOST_SPANS:
            self._join()

    def meet(self, from_ns: int, to_ns: int) -> bool:
        if self._new:
            self._join()
        at = bisect_right(self._begins, to_ns) - 1
        return at >= 0 and self._ends[at] >= from_ns

    def _join(self) -> None:
        begins: list[int] = []
        ends: list[int] = []
        for begin_ns, end_ns in sorted([*zip(self._begins, self._ends, strict=True), *self._new]):
            if ends and begin_ns <= ends[-1]:
                ends[-1] = max(ends[-1], end_ns)
            else:
                begins.append(begin_ns)
                ends.append(end_ns)
        # Of too many, the oldest go: no row of theirs is kept for long.
        self._begins, self._ends, self._new = begins[-_MOST_SPANS:], ends[-_MOST_SPANS:], []


class Presence:
    """Spans by key; a flow may be part of several. `held`: all rows there are, for keys that are new."""

    def __init__(self, held: Callable[[], Iterable[FlowRows]]) -> None:
        self._held = held
        self._keys: dict[int, tuple[int, ...]] = {}
        self._seen: dict[int, _Spans] = {}
        self._opened: dict[int, _Spans] = {}
        self._adopted: dict[int, _Spans] = {}
        self._table = np.zeros(0, np.bool_)

    def watch(self, keys: Mapping[int, tuple[int, ...]]) -> None:
        """From now on these flows, for these keys, and no others."""
        wanted = {key for some in keys.values() for key in some}
        # A key of which a flow is new is read anew as a whole.
        changed = {key for flow, some in keys.items() if self._keys.get(flow) != some for key in some}
        self._seen, self._opened, self._adopted = (
            {key: _Spans() if key in changed else spans[key] for key in wanted}
            for spans in (self._seen, self._opened, self._adopted)
        )
        self._keys = dict(keys)
        self._table = _table(list(keys))
        if changed:
            table = _table([flow for flow, some in keys.items() if not changed.isdisjoint(some)])
            for rows in self._held():
                self._note(rows, changed, table)

    def note(self, rows: FlowRows) -> None:
        """New rows, each once, after they are among those that are held."""
        if self._keys:
            self._note(rows, self._seen.keys(), self._table)

    def seen(self, key: int, from_ns: int, to_ns: int) -> bool:
        """Whether it had a row near that time."""
        return key in self._seen and self._seen[key].meet(from_ns - SLACK_NS, to_ns + SLACK_NS)

    def opened(self, key: int, from_ns: int, to_ns: int) -> bool:
        """Whether a connection of it began then."""
        return key in self._opened and self._opened[key].meet(from_ns, to_ns)

    def is_new(self, key: int, time_ns: int) -> bool:
        """Whether it had no row that began before then."""
        return key in self._seen and not self._seen[key].meet(0, time_ns - 1)

    def began_anew(self, key: int, from_ns: int, to_ns: int) -> bool:
        """Whether a connection of it began near that time, and none was found open then."""
        from_ns, to_ns = from_ns - SLACK_NS, to_ns + SLACK_NS
        return self.opened(key, from_ns, to_ns) and not self._adopted[key].meet(from_ns, to_ns)

    def _note(self, rows: FlowRows, wanted: Iterable[int], table: Bools) -> None:
        """`table`: flows that are part of one of these keys."""
        only = frozenset(wanted)
        for at in np.flatnonzero(_are_in(rows.flow, table)).tolist():
            begin_ns, end_ns = int(rows.from_ns[at]), int(rows.to_ns[at])
            opening, adopting = bool(rows.counts[at, _OPENING].any()), bool(rows.counts[at, _ADOPTING])
            for key in only.intersection(self._keys[int(rows.flow[at])]):
                self._seen[key].add(begin_ns, end_ns)
                if opening:
                    self._opened[key].add(begin_ns, end_ns)
                if adopting:
                    self._adopted[key].add(begin_ns, end_ns)


def _table(flows: list[int]) -> Bools:
    """By flow id; what is not in it is none of these."""
    table = np.zeros(max(flows, default=-1) + 1, np.bool_)
    table[flows] = True
    return table


def _are_in(flows: npt.NDArray[np.int64], table: Bools) -> Bools:
    found = np.zeros(len(flows), np.bool_)
    known = flows < len(table)
    found[known] = table[flows[known]]
    return found
