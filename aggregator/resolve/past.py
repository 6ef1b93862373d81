"""The past of one window, merged once for many snapshots: at a steady rate most rows say the same again.

Pure. Rows come in parts that do not change; what is certain about them stays so, until an address changes hands or
is found to be somebody's.
"""

from collections.abc import Callable, Sequence
from operator import is_
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.resolve.ends import Resolved
from aggregator.topology.columns import OPEN, FlowRows, RequestRows, Rows, joined, merge

Bools = npt.NDArray[np.bool_]
Settle = Callable[[Rows], Rows]
# Fewer rows than these cost less than merging them would.
_MOST_LOOSE: Final = 50_000


class Past:
    """Valid for one window. Used by one thread."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []
        self._rows = Rows.empty()
        self._open: list[Rows] = []
        self._target_host = np.empty(0, np.int64)
        self._moved = np.empty(0, np.bool_)

    def together(self, parts: Sequence[Rows], resolved: Resolved, settle: Settle) -> Rows:
        """All rows of the parts, most of them merged. `settle` gives rows the authority that is certain."""
        if not self._holds(parts, resolved):
            self._parts, self._rows, self._open = [], Rows.empty(), []
        loose = parts[len(self._parts) :]
        if sum(map(len, loose)) > max(_MOST_LOOSE, len(self._rows) // 4):
            self._merge(joined(loose), resolved, settle)
            self._parts, loose = list(parts), []
        self._target_host, self._moved = resolved.target_host, resolved.moved
        return joined([self._rows, *self._open, *loose])

    def _holds(self, parts: Sequence[Rows], resolved: Resolved) -> bool:
        known = len(self._target_host)
        return (
            len(parts) >= len(self._parts)
            and all(map(is_, self._parts, parts))
            and np.array_equal(self._target_host, resolved.target_host[:known])
            and np.array_equal(self._moved, resolved.moved[:known])
        )

    def _merge(self, rows: Rows, resolved: Resolved, settle: Settle) -> None:
        """Rows of addresses that changed hands are left as they are: only their own time tells whose they were."""
        stay = _each(rows, lambda part: ~resolved.moved[part.flow])
        settled = settle(_taken(rows, stay))
        certain = _each(settled, lambda part: (part.authority != OPEN) | (resolved.target_host[part.flow] < 0))
        self._rows = merge([self._rows, _taken(settled, certain)])
        others = [_taken(rows, (~stay[0], ~stay[1])), _taken(settled, (~certain[0], ~certain[1]))]
        self._open += [some for some in others if len(some)]


def _each(rows: Rows, chosen: Callable[[FlowRows | RequestRows], Bools]) -> tuple[Bools, Bools]:
    return chosen(rows.flows), chosen(rows.requests)


def _taken(rows: Rows, chosen: tuple[Bools, Bools]) -> Rows:
    if chosen[0].all() and chosen[1].all():
        return rows
    return Rows(rows.flows.take(chosen[0]), rows.requests.take(chosen[1]))
