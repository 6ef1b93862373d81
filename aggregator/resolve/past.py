"""The past of one window, merged once for many snapshots: at a steady rate most rows say the same again.

Pure. What is certain about rows stays so, until an address changes hands or is found to be somebody's; which rows
are meant stays so until a slot leaves the window.
"""

from collections.abc import Callable
from operator import is_
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.resolve.resolved import Resolved
from aggregator.topology.columns import FlowRows, RequestRows, Rows, is_open, joined, merge
from aggregator.topology.hot import Part, Span

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Settle = Callable[[Rows], Rows]
# Fewer rows than these cost less than merging them would.
_MOST_LOOSE: Final = 50_000


class Past:
    """Of one window. Used by one thread."""

    def __init__(self) -> None:
        self._rows = Rows.empty()
        self._others = Rows.empty()  # what is not certain
        self._merged: dict[int, tuple[list[Part], Ints, Rows]] = {}  # by tier
        self._sealed = -1
        self._left_out: tuple[int, ...] | None = None
        self._far_host = np.empty(0, np.int64)
        self._moved = np.empty(0, np.bool_)

    def together(self, span: Span, resolved: Resolved, settle: Settle) -> Rows:
        """All rows of the span, most of them merged. `settle` gives rows the authority that is certain."""
        if span.left_out is None:
            return joined(self._parts(span, resolved.moved))
        loose = self._news(span, resolved)
        if loose is None:
            self._rows, self._others, loose = Rows.empty(), Rows.empty(), self._parts(span, resolved.moved)
        if sum(map(len, loose)) > max(_MOST_LOOSE, len(self._rows) // 4):
            self._merge(joined([self._others, *loose]), resolved, settle)
            loose = []
            self._sealed, self._left_out = span.sealed, span.left_out
        elif self._left_out != span.left_out:
            self._sealed = -1  # so few rows that nothing is worth keeping
        self._far_host, self._moved = resolved.far_host, resolved.moved
        return joined([self._rows, self._others, *loose])

    def _parts(self, span: Span, moved: Bools) -> list[Rows]:
        """Slots are asked for far more often than they change. Rows of addresses that changed hands keep their own
        times."""
        apart = np.flatnonzero(moved)
        for tier, parts in enumerate(span.slots):
            before = self._merged.get(tier)
            same = before is not None and len(before[0]) == len(parts) and all(map(is_, before[0], parts))
            if before is None or not same or not np.array_equal(before[1], apart):
                self._merged[tier] = (parts, apart, _merged([part.rows for part in parts], moved))
        return [*(rows for _, _, rows in self._merged.values()), *(part.rows for part in span.young)]

    def _news(self, span: Span, resolved: Resolved) -> list[Rows] | None:
        """What was added since the last merge; None when that cannot be told, or what was merged does not hold."""
        known = len(self._far_host)
        news = [rows for number, rows in span.log if number > self._sealed]
        holds = (
            self._sealed >= 0
            and self._left_out == span.left_out
            and len(news) == span.sealed - self._sealed
            and np.array_equal(self._far_host, resolved.far_host[:known])
            and np.array_equal(self._moved, resolved.moved[:known])
        )
        return news if holds else None

    def _merge(self, rows: Rows, resolved: Resolved, settle: Settle) -> None:
        """Rows of addresses that changed hands are left as they are: only their own time tells whose they were."""
        stay = _each(rows, lambda part: ~resolved.moved[part.flow])
        settled = settle(_taken(rows, stay))
        certain = _each(settled, lambda part: ~is_open(part) | (resolved.far_host[part.flow] < 0))
        self._rows = merge([self._rows, _taken(settled, certain)])
        self._others = joined([_taken(rows, (~stay[0], ~stay[1])), _taken(settled, (~certain[0], ~certain[1]))])


def _merged(parts: list[Rows], moved: Bools) -> Rows:
    if not moved.any():
        return merge(parts)
    rows = joined(parts)
    apart = _each(rows, lambda part: moved[part.flow])
    return joined([merge([_taken(rows, (~apart[0], ~apart[1]))]), _taken(rows, apart)])


def _each(rows: Rows, chosen: Callable[[FlowRows | RequestRows], Bools]) -> tuple[Bools, Bools]:
    return chosen(rows.flows), chosen(rows.requests)


def _taken(rows: Rows, chosen: tuple[Bools, Bools]) -> Rows:
    if chosen[0].all() and chosen[1].all():
        return rows
    return Rows(rows.flows.take(chosen[0]), rows.requests.take(chosen[1]))
