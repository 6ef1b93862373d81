"""DNS on the real kernel: over UDP and TCP, answered, refused, never answered."""

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from agent.records import DnsSeen
from tests.kernel.wire import Wire, say

pytestmark = pytest.mark.kernel
A, AAAA, NXDOMAIN, SERVFAIL = 1, 28, 3, 2
SERVER = "127.0.0.53"


def query(number: int, name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def answer(asked: bytes, rcode: int = 0, address: str = "203.0.113.9") -> bytes:
    """The query back, with one A record behind a compression pointer when all is well."""
    number = struct.unpack("!H", asked[:2])[0]
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(address)
    records = 0 if rcode else 1
    return struct.pack("!HHHHHH", number, 0x8180 | rcode, 1, records, 0, 0) + asked[12:] + record * records


@pytest.fixture
def resolver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((SERVER, 53))
        server.settimeout(5)
        yield server


def ask(resolver: socket.socket, client: socket.socket, message: bytes, rcode: int | None = 0) -> None:
    client.sendto(message, (SERVER, 53))
    asked, peer = resolver.recvfrom(4096)
    if rcode is not None:
        resolver.sendto(answer(asked, rcode), peer)
        client.recv(4096)


def test_queries_by_name_type_and_code(wire: Wire, resolver: socket.socket) -> None:
    wire.counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(7):
            ask(resolver, client, query(number, "aPi.PaY.eXample"))
        ask(resolver, client, query(8, "api.pay.example", AAAA))
        ask(resolver, client, query(9, "no.such.example"), NXDOMAIN)
        ask(resolver, client, query(10, "api.pay.example"), SERVFAIL)
    seen = wire.counted()
    expected = {("api.pay.example", A, "0"): 7, ("api.pay.example", AAAA, "0"): 1}
    expected |= {("no.such.example", A, "3"): 1, ("api.pay.example", A, "2"): 1}
    assert seen.dns == Counter({(side, *row): n for row, n in expected.items() for side in ("client", "server")})
    assert seen.lost == {}
    messages = [told.message for told in seen.announcements if isinstance(told, DnsSeen)]
    assert len(messages) == 2  # one for each question with an answer, however often it was asked
    assert all(socket.inet_aton("203.0.113.9") in message for message in messages)


def test_both_types_at_once_on_one_socket(wire: Wire, resolver: socket.socket) -> None:
    wire.counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((SERVER, 53))
        client.send(query(1, "dual.example", A))
        client.send(query(2, "dual.example", AAAA))
        asked = [resolver.recvfrom(4096) for _ in range(2)]
        for message, peer in reversed(asked):
            resolver.sendto(answer(message), peer)
            client.recv(4096)
    rows = {("dual.example", A, "0"), ("dual.example", AAAA, "0")}
    assert wire.counted().dns == Counter({(side, *row): 1 for row in rows for side in ("client", "server")})


def test_an_answer_without_a_query_is_told(wire: Wire, resolver: socket.socket) -> None:
    wire.counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(query(1, "twice.example"), (SERVER, 53))
        asked, peer = resolver.recvfrom(4096)
        for _ in range(2):
            resolver.sendto(answer(asked), peer)
            client.recv(4096)
    seen = wire.counted()
    assert seen.dns == Counter({(side, "twice.example", A, "0"): 1 for side in ("client", "server")})
    assert seen.lost == {"dns_unpaired": 2}


def test_a_query_without_an_answer_times_out(wire: Wire, resolver: socket.socket) -> None:
    wire.counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        ask(resolver, client, query(1, "silent.example"), None)
        ask(resolver, client, query(1, "silent.example"), None)  # a resolver library sends the same again
        assert wire.counted().dns == Counter()
        time.sleep(5.2)
    expected = {(side, "silent.example", A, "timeout"): 2 for side in ("client", "server")}
    assert wire.counted().dns == Counter(expected)


@pytest.mark.parametrize("prefix_alone", [False, True])
def test_over_tcp(wire: Wire, prefix_alone: bool) -> None:
    wire.counted()
    with socket.create_server((SERVER, 53)) as listener, socket.create_connection((SERVER, 53)) as client:
        server, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(3):
            asked = query(number, "tcp.example")
            for sender, receiver, message in ((client, server, asked), (server, client, answer(asked))):
                length = struct.pack("!H", len(message))
                say(sender, receiver, *([length, message] if prefix_alone else [length + message]))
        server.close()
    seen = wire.counted()
    assert seen.dns == Counter({(side, "tcp.example", A, "0"): 3 for side in ("client", "server")})
    assert seen.lost == {}


@pytest.mark.parametrize("garbage", [b"", b"\0", b"\xff" * 600, query(1, "a" * 63 + "." + "b" * 63)[:40], b"\0" * 12])
def test_garbage_on_port_53_is_bytes_only(wire: Wire, resolver: socket.socket, garbage: bytes) -> None:
    wire.counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(garbage, (SERVER, 53))
        resolver.recvfrom(4096)
    seen = wire.counted()
    assert seen.totals["client"]["packets_sent"] == seen.totals["server"]["packets_received"] == 1
    assert sum(seen.dns.values()) == 0
