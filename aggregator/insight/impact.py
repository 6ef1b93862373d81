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
    above = np.flatnonzero(shares >= floor)
    # One of them is the node itself.
    if len(above) <= MOST_ROWS:
        return False
    shown_above = np.round(shares.take(above), _DIGITS) > np.round(floor, _DIGITS)
    return int(np.count_nonzero(shown_above)) > MOST_ROWS


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
    owners, paths = case.owners, _Paths(case.calls, reach)
    columns = (callers, reach.steps[callers], reach.hops[callers], np.round(reach.shares[callers], _DIGITS))
    for number, step, distance, share in zip(*(column.tolist() for column in columns), strict=True):
        path, share_of = paths.begun_by(number, step)
        yield {
            "id": path[0],
            "distance": distance,
            "share": share,
            "share_of": share_of,
            "path": path,
            "owner": owners.get(path[0]),
        }


class _Paths(dict[int, tuple[list[str], str]]):
    """From a node to the one that was asked about: the ids, and what the share is one of. Most of one row's path is
    another row's."""

    def __init__(self, graph: CallGraph, reach: Reach) -> None:
        # What is asked about calls nobody on the way.
        super().__init__({reach.start: ([graph.ids[reach.start]], "requests")})
        self._ids = graph.ids
        self._is_estimated = graph.is_estimated
        self._step = reach.steps.item

    def begun_by(self, number: int, step: int) -> tuple[list[str], str]:
        """`step` is the next node."""
        after, share_of = self[step]
        if number in self._is_estimated:
            share_of = "connections"
        self[number] = path = [self._ids[number], *after], share_of
        return path

    def __missing__(self, number: int) -> tuple[list[str], str]:
        """With all that is not known on the way: ways are longer than calls may be deep."""
        new = []
        while number not in self:
            new.append(number)
            number = int(self._step(number))
        for one in reversed(new):
            self.begun_by(one, number)
            number = one
        return self[number]
