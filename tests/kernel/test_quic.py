"""QUIC on the real kernel: a client's connection is its own flow until its name is known, then the name's; bytes are
counted once, whatever somebody throws at it."""

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from plumbline.v1 import flow_pb2

from agent.quic.hellos import Hellos
from agent.records import KernelFlow, Limits, QuicSeen
from tests.kernel.wire import Counted, Wire
from tests.unit.agent.quic.said import crypto, datagrams, filled, sealed

pytestmark = pytest.mark.kernel
NAME = "api.pay.example"
UDP_SEGMENT = 103
SHORT = b"\x40" + bytes(999)  # as what comes after the handshake begins
QUIC = 1 << flow_pb2.PROTOCOL_QUIC


class Reader:
    """What an agent does with what it hears."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.hellos = Hellos()

    def hear(self, timeout_seconds: float = 0.2) -> list[QuicSeen]:
        heard = [one for one in self.wire.hear(timeout_seconds) if isinstance(one, QuicSeen)]
        for one in heard:
            for settled in self.hellos.heard(one):
                self.wire.kernel.name_connection(settled.connection, settled.name)
        return heard

    def counted(self) -> Counted:
        self.hear(0.05)
        return self.wire.counted()

    def sent(self, seen: Counted) -> Counter[str]:
        """By a client's names; those of connections that have none yet count as their names."""
        found = Counter[str]()
        for flow in clients_of(seen):
            meant = self.hellos.meant(flow, 0)
            assert meant is not None
            assert not meant.server_name or self.hellos.text(meant.server_name)
            found[self.hellos.text(meant.server_name)] += seen.rows[flow.id]["bytes_sent"]
        return found


@pytest.fixture
def reader(wire: Wire) -> Iterator[Reader]:
    time.sleep(0.15)  # the rate of the test before
    wire.counted()
    yield Reader(wire)
    wire.kernel.limit(Limits())


def clients_of(seen: Counted) -> list[KernelFlow]:
    return [one for one in seen.flows if one.role == flow_pb2.ROLE_CLIENT]


@contextmanager
def ends(address: str = "127.0.0.1", clients: int = 1) -> Iterator[tuple[list[socket.socket], socket.socket]]:
    """Sockets of clients, connected to a server's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockets = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(clients + 1)]
    server = sockets.pop()
    server.bind((address, 0))
    server.settimeout(5)
    for one in sockets:
        one.connect(server.getsockname())
        one.settimeout(5)
    try:
        yield sockets, server
    finally:
        for one in (*sockets, server):
            one.close()


def answered(server: socket.socket, size: int = 1200) -> None:
    _, client = server.recvfrom(65536)
    server.sendto(bytes(size), client)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("version", [1, 0x6B3343CF])
@pytest.mark.parametrize("words", [0, 9, 24])
def test_a_client_s_flow_has_the_name_in_its_hello(reader: Reader, address: str, version: int, words: int) -> None:
    said = datagrams(NAME, version, words)
    with ends(address) as ((client,), server):
        for one in said:
            client.send(one)
            answered(server)
        assert len(reader.hear()) == len(said)
        for _ in range(5):
            client.send(SHORT)
            answered(server, 700)
        seen = reader.counted()
    assert reader.sent(seen) == {NAME: 1200 * len(said) + 5000}
    flows = clients_of(seen)
    assert len(flows) == 2 and {one.transport for one in flows} == {17}
    assert sum(seen.rows[one.id]["bytes_received"] for one in flows) == 1200 * len(said) + 3500
    assert any(seen.rows[one.id]["protocols"] & QUIC for one in flows)
    assert seen.totals["server"]["bytes_received"] == 1200 * len(said) + 5000
    assert all(seen.rows[one.id]["protocols"] & QUIC for one in seen.flows if one.role == flow_pb2.ROLE_SERVER)
    assert seen.lost == {} and seen.dropped == {}


def test_an_address_with_many_names_is_as_many_flows(reader: Reader) -> None:
    names = [f"n{at}.example" for at in range(8)]
    with ends(clients=8) as (clients, server):
        for _ in range(3):
            for at, client in enumerate(clients):
                client.send(datagrams(names[at])[0])
                server.recv(2000)
            reader.hear()
            for at, client in enumerate(clients):
                client.send(SHORT[: 100 + at])
                server.recv(2000)
            time.sleep(0.14)  # within the rate
        seen = reader.counted()
    # Each new hello of a socket is one more connection.
    assert reader.sent(seen) == {name: 3 * (1300 + at) for at, name in enumerate(names)}


def test_what_leaves_as_one_packet_is_read_piece_by_piece(reader: Reader) -> None:
    said = datagrams(NAME, words=24)
    with ends() as ((client,), server):
        client.sendmsg([b"".join(said)], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", 1200))])
        assert [len(server.recv(2000)) for _ in said] == [1200] * 3
        assert [one.datagram for one in reader.hear()] == said
        client.send(SHORT)
        seen = reader.counted()
    assert reader.sent(seen) == {NAME: 4600}


def test_one_socket_with_many_peers(reader: Reader) -> None:
    """As programs of Go have it."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]  # only for ports that are free
    places = [("127.0.0.1", one.getsockname()[1]) for one in servers]
    with client:
        for at, place in enumerate(places):
            client.sendto(datagrams(f"n{at}.example")[0], place)
        assert len(reader.hear()) == 4
        for _ in range(3):
            for at, place in enumerate(places):
                client.sendto(SHORT[: 100 + at], place)
        seen = reader.counted()
    for one in servers:
        one.close()
    assert reader.sent(seen) == {f"n{at}.example": 1200 + 3 * (100 + at) for at in range(4)}


def test_a_socket_with_two_names_at_one_address_has_none_from_there_on(reader: Reader) -> None:
    """Nobody can tell their datagrams apart: what is not known is not said."""
    with ends() as ((client,), _):
        for name in ("one.example", "two.example"):
            client.send(datagrams(name)[0])
            reader.hear()
            client.send(SHORT)
        client.send(SHORT)
        seen = reader.counted()
    assert reader.sent(seen) == {"one.example": 2200, "two.example": 1200, "": 2000}
    assert seen.lost == {"quic_shared": 1}


def test_without_a_name_the_flow_is_nobody_s_by_name_after_two_seconds(wire: Wire) -> None:
    wire.counted()
    with ends() as ((client,), _):
        client.send(datagrams(NAME)[0])
        (own,) = clients_of(wire.counted())
        client.send(SHORT)
        assert clients_of(wire.counted()) == [own]
        assert own.server_name
        time.sleep(2)
        client.send(SHORT)
        (flow,) = clients_of(wire.counted())
    assert flow.server_name == 0


def test_connections_leave_no_flow_behind(reader: Reader) -> None:
    kernel = reader.wire.kernel
    before = len(kernel._maps["flows"].read_all()[0])
    with ends(clients=200) as (clients, server):
        for client in clients:
            client.send(datagrams(NAME)[0])
            server.recv(2000)
            reader.hear(0)
            client.send(SHORT)
            server.recv(2000)
            time.sleep(0.012)
        seen = reader.counted()
        assert reader.sent(seen) == {NAME: 200 * 2200} and seen.lost == seen.dropped == {}
        kernel.forget_flows(reader.hellos.over(time.time_ns() + 10**10))
        assert len(kernel._maps["flows"].read_all()[0]) - before <= 2  # the name's, and the server's
        for client in clients:
            client.send(SHORT)
        assert reader.sent(reader.counted()) == {NAME: 200 * 1000}


def test_more_at_once_than_is_looked_at_is_counted_and_has_no_name(reader: Reader) -> None:
    with ends(clients=100) as (clients, _):
        said = datagrams(NAME)[0]
        for client in clients:
            client.send(said)
        looked = reader.hear()
        seen = reader.counted()
    assert 16 <= len(looked) <= 48
    assert reader.sent(seen) == {NAME: 1200 * len(looked), "": 1200 * (100 - len(looked))}
    assert seen.dropped == {"quic_over_rate": 100 - len(looked)}


def test_no_more_than_four_datagrams_of_a_connection_are_looked_at(reader: Reader) -> None:
    unfinished = datagrams(NAME, words=24)[1]
    with ends() as ((client,), _):
        for _ in range(20):
            client.send(unfinished)
        assert len(reader.hear()) == 4


def test_names_are_shed_with_the_others(reader: Reader) -> None:
    reader.wire.kernel.limit(Limits(without_names=True))
    with ends() as ((client,), _):
        client.send(datagrams(NAME)[0])
        assert reader.hear() == []
        seen = reader.counted()
    assert reader.sent(seen) == {"": 1200} and seen.dropped == {"names_shed": 1}


def lookalikes(dice: random.Random) -> Iterator[bytes]:
    """Datagrams that begin as a hello does."""
    good = sealed(filled(crypto(0, b"\1\0\0\2ab")))
    yield good[:5] + bytes([21]) + good[6:]
    yield good[:5] + b"\x14" + bytes(20) + b"\xff" + bytes(1200)
    yield good[:5] + dice.randbytes(1195)
    yield good[:400] + dice.randbytes(1) + good[401:]
    yield good
    yield sealed(filled(b"\x1e"))
    yield good + bytes(30_000)


def test_what_only_looks_like_a_hello_has_no_name(reader: Reader) -> None:
    dice, sent = random.Random(2), 0
    for said in lookalikes(dice):
        with ends() as ((client,), _):
            client.send(said)
            sent += len(said)
            reader.hear()
    assert reader.sent(reader.counted()) == {"": sent}
    lost = reader.hellos.take_told()[0]
    assert set(lost) == {"quic_sealed", "quic_malformed"} and lost.total() >= 4


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_million_datagrams_at_random_make_no_name_and_nothing_grows(reader: Reader) -> None:
    kernel, dice = reader.wire.kernel, np.random.default_rng(1)
    tables = ("flows", "names", "quic_names", "shares")
    memory = kernel.kernel_memory_bytes()
    junk = [dice.bytes(int(size)) for size in dice.integers(1, 1400, 2_000)]
    names = set(reader.wire.names)
    before = {name: len(kernel._maps[name].read_all()[0]) for name in tables}
    sent = Counter[int]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for port in (53, 443):
            for at in range(500_000):
                said = junk[at % 2_000]
                try:
                    client.sendto(said, ("127.0.0.1", port))
                except ConnectionRefusedError:  # told of the one before: nobody is there
                    client.sendto(said, ("127.0.0.1", port))
                sent[port] += len(said)
                if not at % 10_000:
                    assert reader.hear(0) == []
        seen = reader.counted()
    found = {one.port: seen.rows[one.id]["bytes_sent"] for one in clients_of(seen)}
    assert found == sent
    after = {name: len(kernel._maps[name].read_all()[0]) for name in tables}
    grown = {name: after[name] - before[name] for name in tables}
    assert grown.pop("shares") <= 1 and grown == {"flows": 2, "names": 0, "quic_names": 0}
    assert set(reader.wire.names) == names and kernel.kernel_memory_bytes() == memory
    assert reader.hellos._connections == {}
