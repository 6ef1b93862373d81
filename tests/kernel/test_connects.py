"""How long connects take, on the real kernel: each is told once, with its connection, by the client's end."""

import socket
import time

import pytest
from plumbline.v1 import flow_pb2
from plumbline.v1.columns import CONNECT

from tests.kernel.test_tls import real_hello
from tests.kernel.wire import SIDES, Counted, Wire, connection, say

pytestmark = pytest.mark.kernel


def connects(wire: Wire, seen: Counted) -> list[tuple[str, int, int]]:
    """(name in the hello, count, ns) of each flow's."""
    rows = [row for row in seen.request_rows if (row["protocol"], row["kind"]) == (flow_pb2.PROTOCOL_TCP, CONNECT)]
    assert all(SIDES[wire.flow(row["flow"]).role] == "client" and row["latency_bucket"] for row in rows)
    return [(_name(wire, wire.flow(row["flow"]).server_name), row["count"], row["sum_ns"]) for row in rows]


def _name(wire: Wire, name: int) -> str:
    return wire.name(name) if name else ""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_each_connection_has_one(wire: Wire, family: socket.AddressFamily) -> None:
    wire.counted()
    took_ns = 0
    with socket.create_server(("127.0.0.1" if family == socket.AF_INET else "::1", 0), family=family) as listener:
        for number in range(9):
            begun_ns = time.monotonic_ns()
            client = socket.create_connection(listener.getsockname()[:2])
            took_ns += time.monotonic_ns() - begun_ns
            server, _ = listener.accept()
            if number % 3:  # a silent one has it at its end
                say(client, server, b"a word")
            if number % 3 == 2:
                say(server, client, b"an answer")
            client.close()
            server.close()
    seen = wire.counted()
    assert seen.connects == {"client": 9}
    assert seen.totals["client"]["connections"] == 9
    assert 0 < sum(ns for _, _, ns in connects(wire, seen)) < took_ns
    assert seen.turns == {"client": 3, "server": 3}
    assert seen.lost == {}


def test_it_goes_to_whom_the_client_means(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        say(client, server, real_hello("api.pay.example"))
    ((name, count, _),) = connects(wire, wire.counted())
    assert (name, count) == ("api.pay.example", 1)


def test_one_that_fails_has_none(wire: Wire) -> None:
    wire.counted()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    seen = wire.counted()
    assert seen.totals["client"]["refused"] == 1
    assert connects(wire, seen) == []


def test_a_listener_that_is_slow_to_answer_is_felt(wire: Wire) -> None:
    """Its queue is full: the SYN is dropped, and sent again after a second."""
    wire.counted()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first = socket.create_connection(listener.getsockname())
        second = socket.socket()
        second.setblocking(False)
        second.connect_ex(listener.getsockname())
        time.sleep(0.3)
        listener.accept()[0].close()
        second.settimeout(5)
        second.sendall(b"a word")
        first.close()
        second.close()
    longest = max(ns for _, _, ns in connects(wire, wire.counted()))
    assert 0.9e9 < longest < 3.5e9
