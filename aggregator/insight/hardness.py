"""Whether a client needs a third party for all that it does, or for some of it. Pure.

Where calls failed, by whether as many of the client's own answers were errors; else by whether it calls about as often
as it is asked. Both are in the evidence, and where too little was seen it is unknown.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from plumbline.v1.topology_pb2 import Edge

from aggregator.insight.edges import own_errors

ENOUGH_SERVED: Final = 20
ENOUGH_FAILED: Final = 5
# Of calls that failed: so many errors of its own followed from them, so few did not.
FOLLOWED, NOT_FOLLOWED = 0.5, 0.1
# More than this, and it has another trouble too.
MOST_FOLLOWED: Final = 2.0
# Calls for each request that it serves.
EVERY: Final = 0.9


@dataclass(frozen=True, slots=True)
class Served:
    """What a node was asked for in the window, and how often it answered by an error, or not at all."""

    requests: int = 0
    errors: int = 0


def served(edges: Iterable[Edge]) -> Mapping[str, Served]:
    """By who was asked."""
    found: defaultdict[str, Served] = defaultdict(Served)
    for edge in edges:
        if edge.requests:
            before = found[edge.target]
            found[edge.target] = Served(before.requests + edge.requests, before.errors + own_errors(edge))
    return dict(found)


def hardness(calls: int | None, failed: int, asked: Served) -> dict[str, Any]:
    """`hard`, and the evidence. `calls`: None where they cannot be counted."""
    hard, because = _judged(calls, failed, asked)
    return {
        "hard": hard,
        "evidence": {
            "because": because,
            "requests_served": asked.requests,
            "own_errors": asked.errors,
            "calls": calls,
            "calls_failed": failed,
            "calls_per_request": round(calls / asked.requests, 3) if calls is not None and asked.requests else None,
        },
    }


def _judged(calls: int | None, failed: int, asked: Served) -> tuple[bool | None, str | None]:
    if asked.requests < ENOUGH_SERVED:
        return None, None
    if failed >= ENOUGH_FAILED:
        if FOLLOWED * failed <= asked.errors <= MOST_FOLLOWED * failed:
            return True, "its_own_errors_followed"
        if asked.errors <= NOT_FOLLOWED * failed:
            return False, "no_errors_of_its_own_followed"
    if calls is None:
        return None, None
    return (True, "every_request_calls") if calls >= EVERY * asked.requests else (False, "some_requests_call")
