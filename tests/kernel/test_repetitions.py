"""A message that repeats the one before is not read, and counts as if it had been."""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from string import ascii_lowercase
from typing import TypeAlias

import pytest
from plumbline.v1.flow_pb2 import PROTOCOL_HTTP

from tests.kernel.test_http import CASES, OK, both, get
from tests.kernel.wire import SIDES, Wire, connection, say, wired

pytestmark = pytest.mark.kernel
# As in maps.c.
PARSER_HTTP_RECEIVED, PARSER_HTTP_SENT = 0, 5
MET = 10  # messages that are alike, until a connection is known to repeat itself

Pieces: TypeAlias = tuple[bytes, ...]
GET = get("/again")
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
REPEATED: dict[str, tuple[bytes, list[Pieces], str]] = {
    "an answer with its body": (GET, [(OK,)], "200"),
    "a length without a body, for HEAD": (GET.replace(b"GET", b"HEAD"), [(OK.removesuffix(b"ok"),)], "200"),
    "a length without a body, for it is known": (GET, [(OK.removesuffix(b"ok").replace(b"200", b"304"),)], "304"),
    "an answer without a body": (GET, [(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",)], "204"),
    "a request with a body, and an answer in chunks": (
        b"POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        [(CHUNKED,)],
        "200",
    ),
    "a body in segments of its own": (GET, [(LARGE + b"x" * 100, b"y" * 10_000, b"z" * 9_900)], "200"),
    "other bodies behind the same head": (
        GET,
        [(OK,), (OK[:-2] + b"no",), (OK[:-1], OK[-1:])],
        "200",
    ),
    **{
        f"a head of {size} bytes": (
            GET,
            [(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (size - 43) + b"\r\nContent-Length: 1\r\n\r\n!",)],
            "200",
        )
        for size in (63, 64, 65, 127, 128, 191, 193, 255, 256)
    },
}


@pytest.fixture
def own_wire() -> Iterator[Wire]:
    with wired() as wire:
        yield wire


def take_parsers_away(wire: Wire) -> None:
    parsers = wire.kernel._maps["parsers_by_protocol"]
    for parser in (PARSER_HTTP_RECEIVED, PARSER_HTTP_SENT):
        assert parsers.remove(parser)


def test_what_repeats_itself_is_counted_without_a_parser(own_wire: Wire) -> None:
    """Each case on a connection, and a route, of its own."""
    right: Counter[tuple[str, str, str, str]] = Counter()
    with ExitStack() as ends:
        pairs = [ends.enter_context(connection()) for _ in REPEATED]
        said = []
        for letter, pair, (request, answers, status) in zip(ascii_lowercase, pairs, REPEATED.values(), strict=False):
            said.append((*pair, request.replace(b"/again", f"/again/{letter}".encode()), answers))
            exchange(*said[-1][:3], answers[0], times=MET)
            right += both((request.split()[0].decode(), f"/again/{letter}", status), times=MET + 6)
        own_wire.counted()  # the names are settled
        for *ours, answers in said:
            exchange(*ours, answers[0], times=MET)
        take_parsers_away(own_wire)
        for *ours, answers in said:
            for number in range(6):
                exchange(*ours, answers[number % len(answers)])
        seen = own_wire.counted()
    assert seen.requests == right
    assert (seen.lost, seen.dropped) == ({}, {})


@pytest.mark.parametrize("name", [name for name in CASES if "upgraded" not in name and "3 MB" not in name])
def test_every_conversation_counts_alike_each_time(wire: Wire, name: str) -> None:
    script, expected = CASES[name]
    wire.counted()
    with connection() as (client, server):
        for _ in range(6):
            for who, pieces in script:
                sender, receiver = (client, server) if who == "c" else (server, client)
                say(sender, receiver, *pieces)
        seen = wire.counted()
    assert seen.requests == sum((both(row, times=6) for row in expected), Counter())
    assert seen.lost == {} and seen.dropped == {}


SIZED = {status: OK.replace(b"200", status.encode()) for status in ("200", "404", "201")}
EMPTY = b"HTTP/1.1 204 OK\r\n\r\n"
ANSWERS = {
    **SIZED,
    "204": EMPTY,
    "500": b"HTTP/1.1 500 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "503": b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK.replace(b"200", b"503"),
}
# The heads that GET and PUT have too, without the bodies.
ANSWERS_TO_HEAD = {**{status: answer.removesuffix(b"ok") for status, answer in SIZED.items()}, "204": EMPTY}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("together", [1, 3])
def test_what_repeats_itself_at_times_is_counted_exactly(wire: Wire, seed: int, together: int) -> None:
    """Up to so many are asked, and answered, in one segment."""
    chosen = random.Random(f"{seed} {together}")
    right: Counter[tuple[str, str, str, str]] = Counter()
    wire.counted()
    with connection() as (client, server):
        for _ in range(60):
            method, path = chosen.choice(("GET", "PUT", "HEAD")), chosen.choice(("/a", "/b"))
            answers = ANSWERS_TO_HEAD if method == "HEAD" else ANSWERS
            status = chosen.choice([*answers])
            for _ in range(chosen.randint(1, 8)):
                times = chosen.randint(1, together)
                say(client, server, get(path).replace(b"GET", method.encode()) * times)
                say(server, client, answers[status] * times)
                right += both((method, path, status), times=times)
        seen = wire.counted()
    assert seen.requests == right
    assert seen.lost == {} and seen.dropped == {}


def test_a_repeated_request_without_an_answer(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        exchange(client, server, times=5)
        for _ in range(3):
            say(client, server, GET)
        client.close()
        assert server.recv(10) == b""
    seen = wire.counted()
    assert seen.requests == both(("GET", "/again", "200"), times=5) + both(("GET", "/again", "client"), times=3)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_an_interim_answer_behind_a_final_one_is_not_what_is_repeated(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        say(client, server, GET * 12)
        for _ in range(6):
            say(server, client, OK + CONTINUE)
        for _ in range(6):
            say(server, client, OK)
    assert wire.counted().requests == both(("GET", "/again", "200"), times=12)


def test_the_end_of_a_head_by_itself_is_no_request(wire: Wire) -> None:
    """Which a client that is broken says once more, and is told so."""
    head, end = b"GET /again HTTP/1.1\r\n", b"Host: shop.example\r\n\r\n"
    wire.counted()
    with connection() as (client, server):
        exchange(client, server, times=2)
        wire.counted()  # the names are settled
        exchange(client, server, times=2)
    with connection() as (client, server):
        say(client, server, head, end)
        say(server, client, OK)
        for _ in range(3):
            say(client, server, end)
            say(server, client, OK.replace(b"200", b"400"))
    seen = wire.counted()
    assert seen.requests == both(("GET", "/again", "200"), times=3) and seen.lost


def test_an_answer_that_is_said_to_go_on_is_told_each_time(wire: Wire) -> None:
    events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5\r\n\r\ndata:"
    wire.counted()
    with connection() as (client, server):
        exchange(client, server, answer=(events,), times=6)
        seen = wire.counted()
    assert seen.requests == both(("GET", "/again", "200"), ("GET", "/again", "streamed"), times=6)


def test_requests_that_wait_together_have_their_own_latencies(wire: Wire) -> None:
    """The first is alone in flight when it comes, the others are not."""
    with connection() as (client, server):
        exchange(client, server, times=4)
        wire.counted()
        for _ in range(3):
            say(client, server, GET)
            time.sleep(0.03)
        say(server, client, OK * 3)
        seen = wire.counted()
    assert seen.requests == both(("GET", "/again", "200"), times=3)
    for role in SIDES:
        rows = [row for row in seen.request_rows if row["protocol"] == PROTOCOL_HTTP]
        latencies = sorted(row["sum_ns"] for row in rows if wire.flow(row["flow"]).role == role)
        assert len(latencies) == 3 and all(later - earlier > 25e6 for earlier, later in pairwise(latencies)), latencies


def exchange(
    client: socket.socket, server: socket.socket, request: bytes = GET, answer: Pieces = (OK,), times: int = 1
) -> None:
    for _ in range(times):
        say(client, server, request)
        say(server, client, *answer)
