"""Connections that the agent finds open: nobody knows what is in flight, so nothing counts before it is certain."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.records import OpenConnection
from tests.kernel.wire import Wire, connection, own_cgroup, say

pytestmark = pytest.mark.kernel
# Of HTTP_TRUSTED in bpf/protocols/http/state.c.
TRUSTED = 8
# Of HTTP_RESTARTS there.
RESTARTS = 3
# Of OLDER_TURNS in bpf/recognition.c.
TURNS = 16
GET = b"GET /in/turn HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CREATED = OK.replace(b"200 OK", b"201 Created")
LOOKS_LIKE_ONE = b"GET /not/there HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
Said = tuple[str, bytes]


def expected(**counts: int) -> Counter[tuple[str, str, str, str]]:
    return Counter(
        {(side, "GET", "/in/turn", status[1:]): n for side in ("client", "server") for status, n in counts.items()}
    )


def end(one: socket.socket) -> tuple[bytes, int]:
    address, port = one.getsockname()
    return socket.inet_pton(socket.AF_INET6, f"::ffff:{address}"), port


def exchange(ends: tuple[socket.socket, socket.socket], *said: Said) -> None:
    client, server = ends
    for who, piece in said:
        say(*((client, server) if who == "c" else (server, client)), piece)


def in_turn(times: int, answer: bytes = OK) -> list[Said]:
    return [("c", GET), ("s", answer)] * times


# What was said before the agent came, and what is said when it is there, up to a moment with nothing in flight.
MET: dict[str, tuple[list[Said], list[Said]]] = {
    "an answer is owed": ([("c", GET)], [("s", OK)]),
    "an answer is owed, and one more is asked for": ([("c", GET)], [("c", GET), ("s", CREATED), ("s", OK)]),
    "two are owed, and asked for in turn": (
        [("c", GET + GET)],
        [("c", GET), ("s", CREATED), ("c", GET), ("s", CREATED), ("s", OK), ("s", OK)],
    ),
    "in the middle of a head": ([("c", b"GET /bef")], [("c", b"ore HTTP/1.1\r\n\r\n"), ("s", CREATED)]),
    "in a body that looks like a request": (
        [("c", b"POST /body HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(LOOKS_LIKE_ONE))],
        [("c", LOOKS_LIKE_ONE), ("s", CREATED)],
    ),
    "in a body that looks like many": (
        [("c", b"POST /body HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (9 * len(LOOKS_LIKE_ONE)))],
        [("c", LOOKS_LIKE_ONE)] * 9 + [("s", CREATED)],
    ),
    "in a body with half of what looks like a request": (
        [("c", b"POST /body HTTP/1.1\r\nContent-Length: 10\r\n\r\n")],
        [("c", LOOKS_LIKE_ONE[:10]), ("s", CREATED), ("c", GET), ("s", OK)],
    ),
    "in an answer's body": (
        [("c", GET), ("s", b"HTTP/1.1 201 C\r\nContent-Length: 40\r\n\r\n")],
        [("s", (CREATED * 2)[:40])],
    ),
    "between an interim answer and the body": (
        [("c", b"POST /e HTTP/1.1\r\nContent-Length: 4\r\n\r\n"), ("s", b"HTTP/1.1 100 Continue\r\n\r\n")],
        [("c", b"GET "), ("s", CREATED)],
    ),
}


OTHERS: dict[str, list[Said]] = {
    "waits for each answer": in_turn(1),
    "pipelines": [("c", GET + GET), ("s", OK)],
    "speaks no HTTP": [],
}


@dataclass
class Older:
    """An agent's kernel side, and connections of each kind that were there before it."""

    wire: Wire
    open: dict[str, tuple[socket.socket, socket.socket]]

    def say(self, which: str, *said: Said) -> None:
        exchange(self.open[which], *said)


@pytest.fixture(scope="module")
def older() -> Iterator[Older]:
    """One for all: the programs take seconds to load."""
    before = {name: first for name, (first, _) in MET.items()} | OTHERS
    with own_cgroup() as cgroup, ExitStack() as undo:
        found = {name: undo.enter_context(connection()) for name in before}
        for name, said in before.items():
            exchange(found[name], *said)
        wire = Wire(cgroup)
        undo.callback(wire.kernel.close)
        ours = Path("/proc/self/ns/net").stat().st_ino
        for client, server in found.values():
            near, far = end(client), end(server)
            wire.kernel.adopt_connections([OpenConnection(*near, *far, 1, ours), OpenConnection(*far, *near, 2, ours)])
        yield Older(wire, found)


def test_a_client_that_waits_for_each_answer_is_followed_when_it_has_shown_that(older: Older) -> None:
    older.say("waits for each answer", *in_turn(TRUSTED))
    learned = older.wire.counted()
    older.say("waits for each answer", *in_turn(3, CREATED))
    followed = older.wire.counted()
    assert (learned.requests, learned.lost) == (Counter(), {"http_older": 2 * TRUSTED})
    assert learned.totals["client"]["adopted"] == learned.totals["server"]["adopted"] == 1
    assert not learned.totals["client"]["connections"]
    assert (followed.requests, followed.lost) == (expected(_201=3), {})


@pytest.mark.parametrize("case", MET)
def test_whatever_was_in_flight_is_paired_with_nothing_else(older: Older, case: str) -> None:
    older.say(case, *MET[case][1], *in_turn(TRUSTED + 2))
    learned = older.wire.counted()
    older.say(case, *in_turn(3))
    followed = older.wire.counted()
    assert set(learned.requests) <= set(expected(_200=1)), learned.requests
    assert set(learned.lost) == {"http_older"}
    assert (followed.requests, followed.lost) == (expected(_200=3), {})


def test_a_client_that_pipelines_is_not_followed_and_told_as_lost(older: Older) -> None:
    older.say("pipelines", *[("c", GET + GET), ("s", CREATED + OK)] * 20)
    piped = older.wire.counted()
    older.say("pipelines", *in_turn(TRUSTED + 2))  # as any such client seems to do now and then
    seemed = older.wire.counted()
    assert (piped.requests, set(piped.lost)) == (Counter(), {"http_older"})
    assert piped.lost["http_older"] >= 2 * 2 * 20 - 2 * RESTARTS
    assert (seemed.requests, seemed.lost) == (Counter(), {"http_older": 2 * (TRUSTED + 2)})


def test_what_never_speaks_http_is_left_alone_after_some_turns(older: Older) -> None:
    older.say("speaks no HTTP", *[("c", b"\x17hello"), ("s", b"\x17hello")] * (TURNS + 1), *in_turn(TRUSTED + 2))
    seen = older.wire.counted()
    assert (seen.requests, seen.lost) == (Counter(), {})
    assert seen.turns["client"] == seen.turns["server"] == TURNS + 1 + TRUSTED + 2
