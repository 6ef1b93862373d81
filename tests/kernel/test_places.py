"""Where counters of flows, and rows of requests, lie makes no difference to what they say: a place, or the hash."""

from collections import Counter
from collections.abc import Iterator

import pytest

from agent.kernel.flowcounts import FLOW_PLACES
from tests.kernel.wire import Counted, Wire, connection, say, wired

pytestmark = pytest.mark.kernel
ASKED, ANSWERED = b"GET /placed HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NOBODYS = 2**63
TOTALS = Counter(
    connections=1, closed=1, packets_sent=1, packets_received=1, parsed_bytes=len(ASKED + ANSWERED),
    rtt_count=1, bytes_sent=len(ASKED), bytes_received=len(ANSWERED),
)  # fmt: skip


@pytest.fixture
def wire() -> Iterator[Wire]:
    """One for each test."""
    with wired() as wire:
        yield wire


def ask() -> None:
    with connection() as (client, server):
        say(client, server, ASKED)
        say(server, client, ANSWERED)


def assert_counted_once(seen: Counted) -> None:
    assert seen.totals["client"] - Counter(rtt_sum_us=seen.totals["client"]["rtt_sum_us"]) == TOTALS
    assert seen.requests == Counter(
        {("client", "GET", "/placed", "200"): 1, ("server", "GET", "/placed", "200"): 1}
    ) and (seen.lost, seen.dropped) == ({}, {})


def having_places(wire: Wire) -> set[int]:
    return set(wire.kernel._maps["places"].read_all()[1].tolist())


def take_every_place(wire: Wire) -> None:
    places = wire.kernel._maps["places"]
    free = set(range(FLOW_PLACES)) - set(places.read_all()[0].tolist())
    for place in free:
        places.put(place, NOBODYS + place)


def test_flows_have_places_of_their_own(wire: Wire) -> None:
    for _ in range(3):
        ask()
        seen = wire.counted()
        assert_counted_once(seen)
        assert {flow.id for flow in seen.flows} <= having_places(wire)
    assert wire.counted().rows == {}


def test_without_a_place_a_flow_counts_in_the_hash(wire: Wire) -> None:
    take_every_place(wire)
    for _ in range(3):
        ask()
        seen = wire.counted()
        assert_counted_once(seen)
        assert not {flow.id for flow in seen.flows} & having_places(wire)


def test_a_place_is_another_s_when_both_halves_were_drained_since(wire: Wire) -> None:
    ask()
    wire.counted()
    own = having_places(wire)
    wire.kernel.forget_flows(own)
    assert having_places(wire) == own
    wire.counted()
    assert having_places(wire) == own
    wire.counted()
    assert having_places(wire) == set()
    ask()
    seen = wire.counted()
    assert_counted_once(seen)
    assert having_places(wire) == {flow.id for flow in seen.flows}


def test_what_a_connection_counts_after_its_flow_was_forgotten(wire: Wire) -> None:
    """In whatever state the place is: nothing is lost, and nothing is counted for who has the place by now."""
    with connection() as (client, server):
        say(client, server, ASKED)
        say(server, client, ANSWERED)
        first = wire.counted()
        wire.kernel.forget_flows(having_places(wire))
        for _ in range(4):
            say(client, server, ASKED)
            say(server, client, ANSWERED)
            later = wire.counted()
            assert later.rows.keys() == first.rows.keys()
            assert later.totals["client"]["bytes_sent"] == len(ASKED) and (later.lost, later.dropped) == ({}, {})
        take_every_place(wire)
        say(client, server, ASKED)
        assert wire.counted().rows.keys() == first.rows.keys()
    assert wire.counted().totals["client"]["closed"] == 1


def test_a_successor_goes_on_with_places_that_are_about_to_be_free(wire: Wire) -> None:
    ask()
    wire.counted()
    own = having_places(wire)
    wire.kernel.forget_flows(own)
    wire.kernel.go_on(wire.kernel.stand())
    wire.counted()
    assert having_places(wire) == own
    wire.counted()
    assert having_places(wire) == set()


def rows_in_hashes(wire: Wire) -> int:
    return sum(len(wire.kernel._maps[f"request_rows_{half}"].read_all()[0]) for half in range(2))


def test_rows_have_places(wire: Wire) -> None:
    for _ in range(3):
        ask()
        assert rows_in_hashes(wire) == 0
        assert_counted_once(wire.counted())


def test_a_row_whose_place_another_has_is_in_the_hash_for_that_interval(wire: Wire) -> None:
    claims = wire.kernel._row_counts._halves["claims"]
    for _ in range(3):
        claims[:] = 2  # as two leave it who claimed at once
        ask()
        assert rows_in_hashes(wire) > 0
        assert_counted_once(wire.counted())
    wire.counted()
    assert not claims.any()
    ask()
    assert rows_in_hashes(wire) == 0
    assert_counted_once(wire.counted())
