"""Blast radius: who depends on a node, directly or through others, and with which share of its calls."""

from collections.abc import Iterator, Sequence

import numpy as np

from aggregator.insight.callgraph import Integers, Reach
from aggregator.insight.case import MOST_ROWS, Answer, Case, Json, Verdict


def impact(case: Case, subject: str) -> Answer:
    """docs/impact.md defines `share`. Raises CannotAnswer when nothing of that name was seen."""
    node = case.find(subject)
    reach = case.calls.reach(node.id)
    callers = _worst_first(reach)
    affected = list(_rows(case, reach, callers[:MOST_ROWS].tolist()))
    verdict = Verdict.DONE if affected or case.watch.share else Verdict.NOT_ENOUGH_SEEN
    return case.answer({"node": node.id, "affected": affected}, verdict, {"affected": len(callers)})


def _worst_first(reach: Reach) -> Integers:
    """By share as it is shown, then by distance, then by id."""
    callers = np.flatnonzero(reach.hops > 0)
    order = np.lexsort((reach.hops[callers], -np.round(reach.shares[callers], _DIGITS)))
    return callers[order]


def _rows(case: Case, reach: Reach, callers: Sequence[int]) -> Iterator[Json]:
    ids, is_estimated = case.calls.ids, case.calls.is_estimated
    shares, hops, steps = reach.shares.tolist(), reach.hops.tolist(), reach.steps.tolist()
    for number in callers:
        path = _path(number, steps)
        yield {
            "id": ids[number],
            "distance": hops[number],
            "share": round(shares[number], _DIGITS),
            "share_of": "connections" if any(step in is_estimated for step in path[:-1]) else "requests",
            "path": [ids[step] for step in path],
            "owner": case.owner(ids[number]),
        }


def _path(number: int, steps: Sequence[int]) -> list[int]:
    path = [number]
    while (number := steps[number]) >= 0:
        path.append(number)
    return path


_DIGITS = 6
