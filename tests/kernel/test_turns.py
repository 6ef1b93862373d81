"""Turns of a connection that no parser reads: from the client's first byte to the server's first one after it."""

import random
import socket
import threading
import time

import pytest
from plumbline.v1 import flow_pb2
from plumbline.v1.columns import CONNECT

from tests.kernel.wire import Counted, Wire, connection

pytestmark = pytest.mark.kernel
SECONDS, MOST_BYTES = 2.0, 60_000


def both_talk_at_once(client: socket.socket, server: socket.socket) -> None:
    """Pieces of any size, as fast as it goes, for some time; nobody waits for an answer."""
    over = time.monotonic() + SECONDS

    def talk(end: socket.socket) -> None:
        dice = random.Random(end.fileno())
        while time.monotonic() < over:
            end.sendall(b"\0" * dice.randrange(1, MOST_BYTES))
        end.shutdown(socket.SHUT_WR)

    def listen(end: socket.socket) -> None:
        while end.recv(1 << 20):
            pass

    threads = [threading.Thread(target=do, args=(end,)) for do in (talk, listen) for end in (client, server)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def turns(counted: Counted, side: flow_pb2.Role, wire: Wire) -> list[dict[str, int]]:
    rows = [row for row in counted.request_rows if row["protocol"] == flow_pb2.PROTOCOL_TCP and row["kind"] != CONNECT]
    return [row for row in rows if wire.flow(row["flow"]).role == side]


def test_turns_of_one_connection_last_no_longer_than_it(wire: Wire) -> None:
    """What is sent bears TCP's own time, which may be before that of bytes that came in the meantime."""
    wire.counted()
    begin = time.monotonic_ns()
    with connection() as (client, server):
        both_talk_at_once(client, server)
    lasted_ns, counted = time.monotonic_ns() - begin, wire.counted()
    for side in (flow_pb2.ROLE_CLIENT, flow_pb2.ROLE_SERVER):
        rows = turns(counted, side, wire)
        assert sum(row["count"] for row in rows) > 100
        assert 0 < sum(row["sum_ns"] for row in rows) <= lasted_ns


def test_a_turn_takes_as_long_as_the_server_did(wire: Wire) -> None:
    wire.counted()
    with connection() as (client, server):
        for _ in range(10):
            client.sendall(b"\0ask")
            assert server.recv(100) == b"\0ask"
            time.sleep(0.02)
            server.sendall(b"\0answer")
            assert client.recv(100) == b"\0answer"
    counted = wire.counted()
    for side in (flow_pb2.ROLE_CLIENT, flow_pb2.ROLE_SERVER):
        rows = turns(counted, side, wire)
        assert sum(row["count"] for row in rows) == 10
        assert 0.2e9 <= sum(row["sum_ns"] for row in rows) < 0.4e9
