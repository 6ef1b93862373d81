"""HTTP/1 on the real kernel: bytes are said over a real connection, and both sides must count the same."""

import random
import socket
from collections import Counter

import pytest
from plumbline.v1.flow_pb2 import PROTOCOL_TCP

from agent.records import NameSeen
from agent.routes import fold
from tests.kernel.wire import Counted, Wire, connection, say

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
pytestmark = pytest.mark.kernel


def both(*rows: tuple[str, str, str], times: int = 1) -> Counter[tuple[str, str, str, str]]:
    return Counter({(side, *row): times for row in rows for side in ("client", "server")})


def get(path: str, extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n{extra}\r\n".encode()


CASES: dict[str, tuple[list[tuple[str, tuple[bytes, ...]]], list[tuple[str, str, str]]]] = {
    "one request": ([("c", (get("/a"),)), ("s", (OK,))], [("GET", "/a", "200")]),
    "as a proxy is asked": (
        [("c", (get("http://user:pass@shop.example:8080/p/7?q") + get("HTTPS://shop.example/q"),)), ("s", (OK + OK,))],
        [("GET", "/p/*", "200"), ("GET", "/q", "200")],
    ),
    "digits and identifiers are folded, the query is cut": (
        [("c", (get("/users/12/x1/0f8fad5b-d9cb-469f-a165-70867728950e?token=3"),)), ("s", (OK,))],
        [("GET", "/users/*/x*/*", "200")],
    ),
    "a head cut at every byte": (
        [("c", tuple(bytes([byte]) for byte in get("/cut/7"))), ("s", tuple(bytes([byte]) for byte in OK))],
        [("GET", "/cut/*", "200")],
    ),
    "pipelined in one segment": (
        [("c", (get("/p/1") + get("/q") + get("/p/2"),)), ("s", (OK + OK.replace(b"200", b"404") + OK,))],
        [("GET", "/p/*", "200"), ("GET", "/q", "404"), ("GET", "/p/*", "200")],
    ),
    "a body that looks like a request": (
        [
            ("c", (b"POST /in HTTP/1.1\r\nContent-Length: 60\r\n\r\n", (get("/evil") + b"x" * 60)[:60])),
            ("s", (OK,)),
            ("c", (get("/next"),)),
            ("s", (OK,)),
        ],
        [("POST", "/in", "200"), ("GET", "/next", "200")],
    ),
    "a body in the segment of its head, and the next request after it": (
        [("c", (b"PUT /b HTTP/1.1\r\ncontent-length:5\r\n\r\nhello" + get("/after"),)), ("s", (OK + OK,))],
        [("PUT", "/b", "200"), ("GET", "/after", "200")],
    ),
    "chunks, with an extension and a trailer": (
        [
            ("c", (b"POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;x=1\r\nhello\r\n",)),
            ("c", (b"1", b"0\r\n0123456789abcdef\r\n0\r\nT: 1\r\n\r\n" + get("/d"))),
            ("s", (b"HTTP/1.1 201 \r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + OK,)),
        ],
        [("POST", "/c", "201"), ("GET", "/d", "200")],
    ),
    "an interim answer before the final one": (
        [
            ("c", (b"POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",)),
            ("s", (b"HTTP/1.1 100 Continue\r\n\r\n",)),
            ("c", (b"abc",)),
            ("s", (OK,)),
        ],
        [("POST", "/e", "200")],
    ),
    "HEAD, 204 and 304 have no body whatever their length says": (
        [
            ("c", (get("/h").replace(b"GET", b"HEAD"),)),
            ("s", (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",)),
            ("c", (get("/n"),)),
            ("s", (b"HTTP/1.1 204 No Content\r\n\r\n",)),
            ("c", (get("/m"),)),
            ("s", (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",)),
            ("c", (get("/z"),)),
            ("s", (OK,)),
        ],
        [("HEAD", "/h", "200"), ("GET", "/n", "204"), ("GET", "/m", "304"), ("GET", "/z", "200")],
    ),
    "no reason phrase": (
        [("c", (get("/t"),)), ("s", (b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n",))],
        [("GET", "/t", "503")],
    ),
    "a cookie of 8 KB, and one cut by a segment": (
        [
            ("c", (get("/k", f"Cookie: {'c' * 8000}\r\n"),)),
            ("s", (OK,)),
            ("c", (get("/l", f"Cookie: {'d' * 300}")[:200], get("/l", f"Cookie: {'d' * 300}\r\n")[200:])),
            ("s", (OK,)),
        ],
        [("GET", "/k", "200"), ("GET", "/l", "200")],
    ),
    "a path longer than the window": (
        [("c", (get("/long/" + "p" * 500),)), ("s", (OK,)), ("c", (get("/short"),)), ("s", (OK,))],
        [("GET", "/long/*", "200"), ("GET", "/short", "200")],
    ),
    "upgraded: what follows is no HTTP": (
        [
            ("c", (get("/ws", "Upgrade: websocket\r\n"),)),
            ("s", (b"HTTP/1.1 101 Switching Protocols\r\n\r\n",)),
            ("c", (get("/not-a-request"),)),
            ("s", (OK,)),
        ],
        [("GET", "/ws", "101")],
    ),
    **{
        f"a header of {size} bytes between the length and the head's end": (
            [
                ("c", (get("/w"),)),
                ("s", (OK.replace(b"\r\n\r\n", b"\r\nX-Pad: " + b"p" * size + b"\r\n\r\n"),)),
                ("c", (get("/v"),)),
                ("s", (OK,)),
            ],
            [("GET", "/w", "200"), ("GET", "/v", "200")],
        )
        for size in (70, 80, 90, 117, 240)
    },
    "an answer of 3 MB": (
        [
            ("c", (get("/big"),)),
            (
                "s",
                (
                    b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n",
                    *([b"HTTP/1.1 500 x\r\n" * 20000] * 9),
                    b"y" * 120000,
                ),
            ),
            ("c", (get("/then"),)),
            ("s", (OK,)),
        ],
        [("GET", "/big", "200"), ("GET", "/then", "200")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_sides_count_what_was_said(wire: Wire, name: str) -> None:
    script, expected = CASES[name]
    wire.counted()
    with connection() as (client, server):
        for who, pieces in script:
            sender, receiver = (client, server) if who == "c" else (server, client)
            say(sender, receiver, *pieces)
    seen = wire.counted()
    assert seen.requests == sum((both(row) for row in expected), Counter())
    assert seen.lost == {} and seen.dropped == {}
    assert_bytes_agree(seen)


def assert_bytes_agree(seen: Counted) -> None:
    client, server = seen.totals["client"], seen.totals["server"]
    assert client["bytes_sent"] == server["bytes_received"] and client["bytes_received"] == server["bytes_sent"]
    assert client["connections"] == server["connections"] == client["closed"] == server["closed"] == 1


@pytest.mark.parametrize(("family", "mapped"), [(socket.AF_INET6, False), (socket.AF_INET6, True)])
def test_ipv6_and_mapped_addresses(wire: Wire, family: int, mapped: bool) -> None:
    wire.counted()
    with connection(family, mapped) as (client, server):
        say(client, server, get("/six"))
        say(server, client, OK)
    assert wire.counted().requests == both(("GET", "/six", "200"))


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_request_without_an_answer_belongs_to_who_ended_it(wire: Wire, who: str) -> None:
    wire.counted()
    with connection() as (client, server):
        say(client, server, get("/never"))
        first, second = (client, server) if who == "client" else (server, client)
        first.close()
        assert second.recv(10) == b""
    assert wire.counted().requests == both(("GET", "/never", who))


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_an_answer_that_goes_on_for_ever_is_said_to(wire: Wire, kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connection() as (client, server):
        say(client, server, b"GET /plain HTTP/1.1\r\n\r\n")
        say(server, client, b"HTTP/1.1 200 OK\r\nContent-Type: text/e\r\nContent-Length: 0\r\n\r\n")
        say(client, server, b"GET /events HTTP/1.1\r\n\r\n")
        say(server, client, head.encode() + b"5\r\ndata:\r\n")
        seen = wire.counted()
    for side in ("client", "server"):
        assert seen.requests[side, "GET", "/plain", "200"] == seen.requests[side, "GET", "/events", "200"] == 1
        assert seen.requests[side, "GET", "/events", "streamed"] == 1
    assert sum(seen.requests.values()) == 6


@pytest.mark.parametrize(
    "garbage",
    [b"GET", b"GARBAGE \x00\x01\r\n\r\n", b"GET nothing\r\n\r\n", b"POST\r\n" * 50, b"G" * 5000, bytes(range(256)) * 8],
)
def test_garbage_makes_no_request(wire: Wire, garbage: bytes) -> None:
    wire.counted()
    with connection() as (client, server):
        say(client, server, garbage)
        say(server, client, b"what?\r\n")
    seen = wire.counted()
    assert seen.requests == Counter()
    assert seen.turns == Counter(client=1, server=1)
    assert_bytes_agree(seen)


def test_the_client_tells_the_host(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        for host in ("Api.Pay.Example:8443", "[2001:db8::7]:80", " padded.example ", "me:secret@Told.Example:8"):
            say(client, server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            say(server, client, OK)
    hosts = {host.lower() for host in wire.counted().hosts}
    assert hosts >= {"api.pay.example", "[2001:db8::7]", "told.example"} and not any("secret" in host for host in hosts)


REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
TARGETS = {
    "GET /plain": ("told.example", "/plain"),
    "GET http://Cdn.Example/x?key=secret": ("cdn.example", "/x"),
    "GET HTTPS://me:secret@api.example:8443/y": ("api.example", "/y"),
    "GET http://cdn.example?secret": ("cdn.example", ""),
    "GET http://cdn.example": ("cdn.example", ""),
    "GET http://[2001:db8::7]:80/z": ("[2001:db8::7]", "/z"),
    "GET http:///nobody": ("told.example", "/nobody"),
    "CONNECT api.example:443": ("api.example", "api.example:*"),
    "CONNECT me:secret@api.example:443": ("api.example", "api.example:*"),
    f"GET http://{'n' * 112}/w": ("n" * 112, "/w"),
    f"GET http://{'secret' * 19}@api.example/v": ("told.example", ""),
    f"GET http://me:{'secret' * 33}@api.example/v": ("told.example", ""),
    f"GET http://{'secret' * 60}@api.example/v": ("told.example", ""),
    f"CONNECT {'secret' * 19}@api.example:443": ("told.example", ""),
}


@pytest.mark.parametrize("target", TARGETS)
def test_whom_a_proxy_is_asked_for_stands_above_the_host(wire: Wire, target: str) -> None:
    """On the client's side; and what stands before an @ is nobody's to know."""
    host, route = TARGETS[target]
    wire.counted()
    with connection() as (client, server):
        for _ in range(2):
            say(client, server, f"{target} HTTP/1.1\r\nHost: told.example\r\n\r\n".encode())
            say(server, client, REFUSED)
    seen = wire.counted()
    assert seen.requests == both((target.split()[0], route, "403"), times=2)
    assert {one.lower() for one in seen.hosts} == {host}
    asked = [row for row in seen.request_rows if row["protocol"] != PROTOCOL_TCP]
    # Two of one latency are one row.
    assert sum(row["count"] for row in asked if row["host"]) * 2 == sum(row["count"] for row in asked)
    assert not any("secret" in str(one.raw) for one in seen.announcements if isinstance(one, NameSeen))


def test_an_unknown_protocol_has_turns(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        for _ in range(5):
            say(client, server, b"\x05question")
            say(server, client, b"answer")
    seen = wire.counted()
    assert seen.turns == Counter(client=5, server=5) and seen.requests == Counter()


def test_a_line_that_is_repeated_means_the_same_until_its_name_is_forgotten(wire: Wire) -> None:
    """A connection knows its last lines again; each of these differs from the one before in one thing or none."""
    first = ("GET", "/known/x", "one.example")
    asks = [first, first, ("PUT", *first[1:]), ("PUT", "/known/y", first[2]), ("PUT", "/known/x?q=1", first[2]), first]
    asks += [
        ("GET", "/known/x", "two.example"),
        ("GET", "/known/x/", "two.example"),
        ("GET", "/known/" + "z" * 150, "a"),
    ]
    asks += [first, first]
    wire.counted()
    names: list[NameSeen] = []
    with connection() as (client, server):
        for said in (asks, asks, [first]):
            for method, path, host in said:
                say(client, server, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                say(server, client, OK)
            seen = wire.counted()
            right = ((method, fold(path.partition("?")[0].encode()), "200") for method, path, _ in said)
            assert seen.requests == sum((both(one) for one in right), Counter())
            assert seen.hosts == {host for *_, host in said}
            names = [one for one in seen.announcements if isinstance(one, NameSeen)]
            if said is asks and not names:  # settled, and forgotten before its line is said once more
                wire.kernel.forget_names(one for one, text in wire.names.items() if text in first)
    assert {one.raw.decode() for one in names} == {"/known/x", "one.example"}


def test_many_paths_keep_the_sum(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        for number in range(1500):
            letters = "".join(chr(97 + int(digit)) for digit in str(number))
            say(client, server, get(f"/random-{letters}"))
            say(server, client, OK)
    seen = wire.counted()
    by_side = Counter(
        {side: sum(n for (s, *_), n in seen.requests.items() if s == side) for side in ("client", "server")}
    )
    assert by_side == Counter(client=1500, server=1500)
    assert seen.dropped["names_beyond_budget"] > 0 and seen.lost == {}


def test_kernel_and_agent_fold_alike(wire: Wire) -> None:
    """Each folded text has one id and each id one text: so as many names are announced as there are texts."""
    pieces = ["v1", "users", "7", "12a34b", "0f8fad5b-d9cb-469f-a165-70867728950e", "exactly16chars-1", "a.b", "", "*"]
    pieces += ["fifteen-chars-1", "sixteen-letters-", "%20x", "00", "caf\u00e9", "v2", "v", "v10", "v123"]
    pieces += ["v1beta3", "V1", "xv1", "v1v1", "v1-with-sixteen-letters", "v1-with-sixteen-letters7", "vv1", "1v1"]
    chosen = random.Random(11)
    paths = ["/fold/" + "/".join(chosen.choices(pieces, k=chosen.randint(1, 4))) for _ in range(300)]
    paths += ["/fold/v1/7", "/fold/v1/8", "/fold/v12/7/v", "/fold/v12/8/v"]
    paths = [path for path in paths if len(path.encode()) < 112]
    wire.kernel.forget_names(wire.kernel._maps["names"].read_all()[0].tolist())
    wire.kernel.correct_shares()
    wire.counted()
    with connection() as (client, server):
        for path in paths:
            say(client, server, get(path))
            say(server, client, OK)
    names = [
        fold(announcement.raw)
        for announcement in wire.counted().announcements
        if isinstance(announcement, NameSeen) and announcement.raw.startswith(b"/fold/")
    ]
    assert sorted(names) == sorted({fold(path.encode()) for path in paths})
