"""Blast radius: who depends on a node, directly or through others, and with which share of its calls."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from aggregator.insight.callgraph import CallGraph, Floats, Integers, Reach
from aggregator.insight.case import MOST_ROWS, Answer, Case, Json, Verdict

_DIGITS: Final = 6


def impact(case: Case, subject: str) -> Answer:
    """docs/impact.md defines `share`. Raises CannotAnswer when nothing of that name was seen."""
    node = case.find(subject)
    reach = case.calls.reach(node.id, are_enough)
    affected = list(_rows(case, reach, _worst_first(reach)))
    verdict = Verdict.DONE if affected or case.watch.share else Verdict.NOT_ENOUGH_SEEN
    counts = {"affected": int(np.count_nonzero(reach.hops > 0))}
    return case.answer({"node": node.id, "affected": affected}, verdict, counts)


def are_enough(shares: Floats, floor: float) -> bool:
    """Whether nothing below the floor can be among the rows: as shown, it is smaller than the last of them."""
    above = shares[shares >= floor]
    # One of them is the node itself.
    if len(above) <= MOST_ROWS:
        return False
    last = np.partition(above, len(above) - MOST_ROWS - 1)[len(above) - MOST_ROWS - 1]
    return bool(np.round(last, _DIGITS) > np.round(floor, _DIGITS))


def _worst_first(reach: Reach) -> Integers:
    """By share as it is shown, then by distance, then by id."""
    callers = np.flatnonzero((reach.hops > 0) & (reach.shares >= reach.floor))
    shown = np.rint(np.round(reach.shares[callers], _DIGITS) * 10**_DIGITS).astype(np.int64)
    size = len(reach.hops)
    # All three in one number: a few of very many are found without sorting the rest.
    keys = ((10**_DIGITS - shown) * size + reach.hops[callers]) * size + callers
    if len(keys) > MOST_ROWS:
        keys = np.partition(keys, MOST_ROWS)[:MOST_ROWS]
    return np.sort(keys) % size


def _rows(case: Case, reach: Reach, callers: Integers) -> Iterator[Json]:
    ids, owners, paths = case.calls.ids, case.owners, _Paths(case.calls, reach.steps)
    columns = (callers, reach.steps[callers], reach.hops[callers], np.round(reach.shares[callers], _DIGITS))
    for number, step, distance, share in zip(*(column.tolist() for column in columns), strict=True):
        path, share_of = paths.of(number, step)
        node_id = ids[number]
        yield {
            "id": node_id,
            "distance": distance,
            "share": share,
            "share_of": share_of,
            "path": path,
            "owner": owners.get(node_id),
        }


class _Paths:
    """From a node to the one that was asked about. Most of one row's path is another row's."""

    def __init__(self, graph: CallGraph, steps: Integers) -> None:
        self._ids = graph.ids
        self._is_estimated = graph.is_estimated
        self._step = steps.item
        # What is asked about calls nobody on the way.
        self._known: dict[int, tuple[list[str], str]] = {-1: ([], "requests")}

    def of(self, number: int, step: int) -> tuple[list[str], str]:
        """The ids, and what the share is one of; `step` is the next node."""
        known = self._known.get(number)
        if known is None:
            after, share_of = self._known.get(step) or self._of_all(step)
            if after and number in self._is_estimated:
                share_of = "connections"
            known = self._known[number] = [self._ids[number], *after], share_of
        return known

    def _of_all(self, number: int) -> tuple[list[str], str]:
        """With all that is not known on the way: ways are longer than calls may be deep."""
        new = []
        while number not in self._known:
            new.append(number)
            number = int(self._step(number))
        for one in reversed(new):
            self.of(one, number)
            number = one
        return self._known[number]
