"""Who needs a third party for all that it does, and how that is known."""

from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.insight import ask
from tests.builders import call, case, opaque, third_party, unit

BANK = "api.bank.test"


def dependant(*parts: pb.Edge) -> dict[str, Any]:
    """Web, of those who call the bank."""
    seen = case(unit("edge"), unit("web"), unit("proxy"), third_party(BANK), *parts)
    (row,) = ask(seen, "thirdparties").content["third_parties"]
    return next(one for one in row["dependants"] if one["id"] == "alpha/web")


def asked(requests: int, errors: int = 0, **more: Any) -> pb.Edge:
    return call("alpha/edge", "alpha/web", requests=requests, errors=errors, **more)


@pytest.mark.parametrize(
    ("served", "own_errors", "calls", "failed", "hard", "because"),
    [
        (100, 0, 100, 0, True, "every_request_calls"),
        (100, 0, 300, 0, True, "every_request_calls"),
        (100, 0, 91, 0, True, "every_request_calls"),
        (100, 0, 40, 0, False, "some_requests_call"),
        (19, 0, 19, 0, None, None),  # too little was seen
        (0, 0, 50, 0, None, None),  # nobody asks it for anything: what it does is its own
        (100, 8, 40, 10, True, "its_own_errors_followed"),
        (100, 0, 100, 60, False, "no_errors_of_its_own_followed"),
        (100, 50, 40, 10, False, "some_requests_call"),  # it has another trouble
        (100, 2, 100, 8, True, "every_request_calls"),  # neither: few of them followed
        (100, 4, 40, 4, False, "some_requests_call"),  # too few failed to say
    ],
)
def test_by_what_failed_or_by_how_often_it_calls(
    served: int, own_errors: int, calls: int, failed: int, hard: bool | None, because: str | None
) -> None:
    parts = [asked(served, own_errors)] if served else []
    found = dependant(*parts, call("alpha/web", BANK, requests=calls, errors=failed))
    assert (found["hard"], found["evidence"]["because"]) == (hard, because)
    assert found["evidence"] == {
        "because": because,
        "requests_served": served,
        "own_errors": own_errors,
        "calls": calls,
        "calls_failed": failed,
        "calls_per_request": round(calls / served, 3) if served else None,
    }


def test_what_cannot_be_read_has_no_calls_to_count() -> None:
    found = dependant(asked(100), opaque("alpha/web", BANK, connections=100))
    assert (found["hard"], found["evidence"]["calls"], found["evidence"]["calls_per_request"]) == (None, None, None)


def test_but_may_be_seen_to_fail() -> None:
    """A pool whose connects are refused, and an error for each."""
    failing = opaque("alpha/web", BANK, connections=2, failed_connections={"refused": 30})
    found = dependant(asked(100, 30), failing)
    assert (found["hard"], found["evidence"]["calls_failed"]) == (True, 30)


def test_probes_and_what_is_passed_on_are_not_what_it_is_asked_for() -> None:
    parts = (
        asked(500, class_=pb.EDGE_CLASS_PROBE),
        call("alpha/edge", "alpha/web", "grpc", requests=30, through=["alpha/proxy"]),
        call("alpha/proxy", "alpha/web", requests=30),
    )
    assert dependant(*parts, call("alpha/web", BANK, requests=30))["evidence"]["requests_served"] == 30
