"""TLS on the real kernel: the name in a client's hello is its flow's, however that comes; each byte is in one flow."""

import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from plumbline.v1 import flow_pb2

from tests.kernel.wire import Counted, Wire, connection, say

pytestmark = pytest.mark.kernel
NAME = "api.pay.example"
HANDSHAKE, CLIENT_HELLO, SERVER_NAME, PADDING = 22, 1, 0, 21
LONGEST = 112


class Named(NamedTuple):
    """Of a client's flows that have one name ("" for none): what they count together."""

    connections: int
    closed: int
    bytes_sent: int
    is_tls: bool


def by_name(wire: Wire, seen: Counted) -> dict[str, Named]:
    found: dict[str, Named] = {}
    for flow in seen.flows:
        if flow.role != flow_pb2.ROLE_CLIENT:
            assert flow.server_name == 0
            continue
        row, name = seen.rows[flow.id], wire.name(flow.server_name) if flow.server_name else ""
        before = found.get(name, Named(0, 0, 0, False))
        found[name] = Named(
            before.connections + row["connections"],
            before.closed + row["closed"],
            before.bytes_sent + row["bytes_sent"],
            before.is_tls or bool(row["protocols"] >> flow_pb2.PROTOCOL_TLS & 1),
        )
    return found


def unread(seen: Counted) -> dict[str, int]:
    """What was lost, but for the ends of handshakes: none of these here is one."""
    return {reason: count for reason, count in seen.lost.items() if reason != "handshake_unread"}


def real_hello(name: str = NAME) -> bytes:
    """As OpenSSL makes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def extension(kind: int, content: bytes) -> bytes:
    return number(kind) + number(len(content)) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    entry = bytes([kind]) + number(len(name)) + name
    return extension(SERVER_NAME, number(len(entry)) + entry)


def hello(*extensions: bytes, session: bytes = bytes(32), suites: int = 16) -> bytes:
    """The handshake's message, without a record around it."""
    body = b"\x03\x03" + bytes(32) + bytes([len(session)]) + session + number(2 * suites) + bytes(2 * suites) + b"\1\0"
    if extensions:
        body += number(sum(map(len, extensions))) + b"".join(extensions)
    return bytes([CLIENT_HELLO]) + number(len(body), 3) + body


def records(message: bytes, sizes: Sequence[int] = (16384,)) -> bytes:
    """Cut into records of these sizes, the last one again and again."""
    found, at = b"", 0
    for size in (*sizes, *[sizes[-1]] * len(message)):
        piece = message[at : at + size]
        if piece:
            found += bytes([HANDSHAKE, 3, 1]) + number(len(piece)) + piece
        at += size
    return found


def tell(*pieces: bytes, more: bytes = b"") -> int:
    """One connection, each piece in a segment of its own, then an answer and `more`. How many bytes the client sent."""
    with connection() as (client, server):
        say(client, server, *pieces)
        say(server, client, b"\x16\x03\x03\x00\x01\x02")
        if more:
            say(client, server, more)
    return sum(map(len, pieces)) + len(more)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_a_client_s_flow_has_the_name_in_its_hello(wire: Wire, family: socket.AddressFamily) -> None:
    wire.counted()
    said = real_hello()
    with connection(family) as (client, server):
        say(client, server, said)
        say(server, client, b"\x16\x03\x03\x00\x01\x02")
        say(client, server, bytes(1000))
    seen = wire.counted()
    assert by_name(wire, seen) == {NAME: Named(1, 1, len(said) + 1000, True)}
    assert seen.totals["server"]["bytes_received"] == len(said) + 1000
    assert seen.turns == Counter(client=1, server=1)
    assert unread(seen) == {}


def test_an_address_with_two_names_is_two_flows(wire: Wire) -> None:
    wire.counted()
    sent = Counter(dict.fromkeys(("one.example", "two.example"), 0))
    for _ in range(5):
        for at, name in enumerate(sent):
            sent[name] += tell(real_hello(name), more=bytes(100 + at))
    found = by_name(wire, wire.counted())
    # Each connection came to another port.
    assert found == {name: Named(5, 5, count, True) for name, count in sent.items()}


def test_case_makes_no_second_name(wire: Wire) -> None:
    wire.counted()
    for name in (b"api.pay.example", b"Api.Pay.EXAMPLE"):
        tell(records(hello(server_name(name))))
    flows = [flow for flow in wire.counted().flows if flow.role == flow_pb2.ROLE_CLIENT]
    assert len({flow.server_name for flow in flows}) == 1 and all(flow.server_name for flow in flows)


def test_a_hello_that_is_cut_anywhere(wire: Wire) -> None:
    wire.counted()
    said, seen = real_hello(), Counted()
    named: Counter[str] = Counter()
    for cut in range(1, len(said)):
        tell(said[:cut], said[cut:])
        if cut % 100 == 0:
            seen = wire.counted()
            named.update({name: one.connections for name, one in by_name(wire, seen).items()})
            assert unread(seen) == {}
    named.update({name: one.connections for name, one in by_name(wire, wire.counted()).items()})
    assert named == {NAME: len(said) - 1}


def test_a_hello_byte_by_byte(wire: Wire) -> None:
    wire.counted()
    said = real_hello()
    sent = tell(*(said[at : at + 1] for at in range(len(said))))
    seen = wire.counted()
    assert by_name(wire, seen) == {NAME: Named(1, 1, sent, True)}
    assert seen.totals["client"]["packets_sent"] >= len(said)


@pytest.mark.parametrize("sizes", [(1,), (3,), (4, 1, 200), (43, 1), (100,), (517, 7)], ids=str)
@pytest.mark.parametrize("segment", [1 << 20, 11])
def test_a_hello_over_several_records(wire: Wire, sizes: tuple[int, ...], segment: int) -> None:
    wire.counted()
    said = records(real_hello()[5:], sizes)
    sent = tell(*(said[at : at + segment] for at in range(0, len(said), segment)))
    assert by_name(wire, wire.counted()) == {NAME: Named(1, 1, sent, True)}


def shapes() -> Iterable[tuple[str, bytes]]:
    name = server_name(NAME.encode())
    yield "the name comes last of 200", records(hello(*(extension(1000 + n, bytes(n % 7)) for n in range(199)), name))
    yield "and of very long ones", records(hello(extension(51, bytes(9000)), extension(PADDING, bytes(5000)), name))
    yield "no session, most suites", records(hello(name, session=b"", suites=1000))
    yield "as long as may be", records(hello(server_name((NAME + "." + "x" * LONGEST)[-LONGEST:].encode())))


@pytest.mark.parametrize(("shape", "said"), [*shapes()], ids=[shape for shape, _ in shapes()])
def test_a_hello_of_any_shape(wire: Wire, shape: str, said: bytes) -> None:
    wire.counted()
    sent = tell(*(said[at : at + 1400] for at in range(0, len(said), 1400)))
    (found,) = by_name(wire, seen := wire.counted()).items()
    assert found[0] == NAME or (shape == "as long as may be" and len(found[0]) == LONGEST)
    assert found[1] == Named(1, 1, sent, True)
    assert unread(seen) == {}


def nameless() -> Iterable[tuple[str, bytes, bool]]:
    yield "without extensions", records(hello()), True
    yield "without a name", records(hello(extension(PADDING, bytes(10)))), True
    yield "a name of another kind", records(hello(server_name(NAME.encode(), kind=1))), True
    yield "an empty name", records(hello(server_name(b""))), True
    yield "a name of 10 KB", records(hello(server_name(b"x" * 10_000))), True
    yield "an empty extension", records(hello(extension(SERVER_NAME, b""))), True
    yield "a length beyond the hello", records(hello(extension(PADDING, bytes(4))[:2] + b"\xff\xff" + bytes(4))), True
    yield "another message", records(b"\2" + hello()[1:]), False
    yield "no TLS", b"\x16" + bytes(100), False
    yield "an empty record", b"\x16\x03\x01\x00\x00" + records(hello(server_name(b"a.example"))), False


@pytest.mark.parametrize(("shape", "said", "is_tls"), [*nameless()], ids=[shape for shape, *_ in nameless()])
def test_what_says_no_name_has_none_and_is_counted(wire: Wire, shape: str, said: bytes, is_tls: bool) -> None:
    wire.counted()
    sent = tell(*(said[at : at + 1400] for at in range(0, len(said), 1400)), more=b"and so on")
    assert by_name(wire, wire.counted()) == {"": Named(1, 1, sent, is_tls)}


def test_a_hello_that_never_ends(wire: Wire) -> None:
    """Broken off after each of its bytes: the connection and its bytes are counted, once."""
    wire.counted()
    said = real_hello()
    found: Counter[str] = Counter()
    cuts = range(1, len(said), 3)
    for cut in cuts:
        with connection() as (client, server):
            say(client, server, said[:cut])
    for name, one in by_name(wire, wire.counted()).items():
        assert one.connections == one.closed
        found["connections"] += one.connections
        found["bytes"] += one.bytes_sent
        assert name in ("", NAME)
    assert found == Counter(connections=len(cuts), bytes=sum(cuts))


def test_a_hello_of_very_many_segments_is_not_waited_for(wire: Wire) -> None:
    """More than its packets' counter could hold: they are all counted, and what comes after them."""
    wire.counted()
    begin = hello(extension(PADDING, bytes(60_000)))[4:]
    said = records(bytes([CLIENT_HELLO]) + number(200_000, 3) + begin + extension(PADDING, bytes(60_000)))
    with connection() as (client, server):
        for at in range(70_000):
            client.send(said[at : at + 1])
            server.recv(10)
    seen = wire.counted()
    (found,) = by_name(wire, seen).items()
    assert found == ("", Named(1, 1, 70_000, False))
    assert seen.totals["client"]["packets_sent"] >= 70_000
    assert seen.lost["hello_unread"] == 1


def test_a_server_that_answers_in_the_middle_of_a_hello(wire: Wire) -> None:
    wire.counted()
    said = real_hello()
    with connection() as (client, server):
        say(client, server, said[:50])
        say(server, client, b"\x15\x03\x03\x00\x02\x02\x28")
        say(client, server, said[50:])
    assert by_name(wire, wire.counted()) == {"": Named(1, 1, len(said), False)}


@pytest.mark.parametrize("name", [b"a\0b.example", b"a\nb.example", b"\xff" * 20, b"a b", b"."])
def test_a_name_that_is_none(wire: Wire, name: bytes) -> None:
    """Whoever shows it has to look at it first."""
    wire.counted()
    sent = tell(records(hello(server_name(name))))
    (one,) = by_name(wire, wire.counted()).values()
    assert one == Named(1, 1, sent, True)


def test_bytes_at_random_after_the_first(wire: Wire) -> None:
    dice = random.Random(7)
    wire.counted()
    sent = connections = 0
    for _ in range(200):
        said = bytearray(records(hello(*(extension(dice.randrange(60), bytes(dice.randrange(40))) for _ in range(9)))))
        for _ in range(dice.randrange(1, 12)):
            said[dice.randrange(1, len(said))] = dice.randrange(256)
        cut = dice.randrange(1, len(said))
        sent += tell(bytes(said[:cut]), bytes(said[cut:]))
        connections += 1
    found = by_name(wire, wire.counted()).values()
    assert sum(one.connections for one in found) == sum(one.closed for one in found) == connections
    assert sum(one.bytes_sent for one in found) == sent
