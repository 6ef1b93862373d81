"""edges.py SCENARIO ADDRESS PORT: what a load does not do by chance. The server is mixed_server.py.

Writes to --counts what mixed_client.py writes: the requests that were asked, by method, route and status (or by who
ended the connection before the answer), and the connections.
"""

import argparse
import collections
import json
import random
import socket
import struct
import time
from pathlib import Path

import mixed

MEGABYTE = 1_000_000
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
RECEIVE_QUEUE, SEND_QUEUE = 1, 2
SEQUENCES = 1 << 32
NANOSECONDS_A_SEQUENCE = 64  # how fast the kernel's initial sequence numbers grow


class Client:
    """Connections to one server, and what was asked on them."""

    def __init__(self, address, port):
        self.where, self.rows, self.opened = (address, port), collections.Counter(), 0

    def connection(self, initial_sequence=None, source_port=0, receive_buffer=0):
        family = socket.AF_INET6 if ":" in self.where[0] else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(60)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if initial_sequence is not None:
            # The mode is used to choose a number only, before there is a connection.
            connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", initial_sequence))
            connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
        if source_port:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("", source_port))
        connection.connect(self.where)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened += 1
        return connection

    def ask(self, connection, method, path, body=b"", answer="200 sized 5 0 0 0", fields=""):
        self.write(connection, method, path, body, answer, fields)
        self.read(connection, method, path)

    def write(self, connection, method, path, body=b"", answer="200 sized 5 0 0 0", fields=""):
        head = f"{method} {path} HTTP/1.1\r\nHost: edges.example\r\nX-Answer: {answer}\r\n{fields}"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def read(self, connection, method, path):
        reader = mixed.Reader(connection)
        line, got = reader.head()
        reader.body(got)
        self.rows[method, path, line.split(b" ")[1].decode()] += 1


def receive_sequence(connection):
    """The next sequence number that is expected from the server."""
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, RECEIVE_QUEUE)
    number = struct.unpack("I", connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))[0]
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # off, without a window probe
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # which that switches off
    return number


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def request_wrap(client):
    """200 connections whose requests cross the end of the sequence numbers, each at another byte of a head or body."""
    for number in range(200):
        with client.connection(initial_sequence=SEQUENCES - 1 - number * 3) as connection:
            for _ in range(6):
                client.ask(connection, "POST", "/wrap/requests", mixed.filled(mixed.REQUEST_BODY, number % 50))


def answer_wrap(client):
    """Connections whose answers cross it: the server's first number grows with the clock for each pair of ports, so a
    port that is asked twice tells when to come back."""
    crossed, moments, end = 0, sorted(crossings(client)), time.monotonic() + 20
    for moment, port in moments:
        if crossed < 10 and time.monotonic() + 0.3 < moment < end:
            crossed += cross(client, port)
    if crossed < 2:  # a machine that is busy misses most of those moments
        raise ValueError(f"the answers of {crossed} connections only crossed the end of the sequence numbers")


def crossings(client, ports=range(21000, 22200)):
    """When the first number for each port is zero."""
    for port in ports:
        connection = client.connection(source_port=port)
        left = SEQUENCES - receive_sequence(connection)
        reset(connection)
        yield time.monotonic() + left * NANOSECONDS_A_SEQUENCE / 1e9, port


def cross(client, port):
    """Comes when some 600 KB are left, and asks until they are used up: in small steps, where it is."""
    connection = client.connection(source_port=port)
    left = SEQUENCES - receive_sequence(connection)
    reset(connection)
    wait = (left - 600_000) * NANOSECONDS_A_SEQUENCE / 1e9
    if not 0 < wait < 10:
        return 0
    time.sleep(wait)
    with client.connection(source_port=port) as connection:
        first = receive_sequence(connection)
        if SEQUENCES - first > MEGABYTE:
            return 0
        size, rng = 0, random.Random(port)
        while first + size < SEQUENCES + 20_000:
            is_near = first + size > SEQUENCES - 30_000
            step = rng.randint(0, 900 if is_near else 20_000)
            client.ask(connection, "GET", "/wrap/answers", answer=f"200 chunked {step} 0 0 1")
            size += step
        return int(receive_sequence(connection) < first)


def keep_alive(client):
    """The kernel probes a silent connection once a second."""
    with client.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        client.ask(connection, "GET", "/keep/alive")
        time.sleep(3.5)
        client.ask(connection, "GET", "/keep/alive")


def zero_window(client):
    """A server that does not read 10 MB for a while, and a client that does not: windows close, and are probed."""
    with client.connection() as connection:
        body = mixed.filled(mixed.REQUEST_BODY, 10 * MEGABYTE)
        client.ask(connection, "PUT", "/window/server", body, fields="X-Wait: 1.5\r\n")
        client.ask(connection, "GET", "/window/after")
    with client.connection(receive_buffer=4096) as connection:
        client.write(connection, "GET", "/window/client", answer=f"200 sized {MEGABYTE} 0 0 0")
        time.sleep(2)
        client.read(connection, "GET", "/window/client")
        client.ask(connection, "GET", "/window/after")


def half_heads(client):
    """Connections that are reset, or closed, in the middle of a head."""
    for number in range(50):
        connection = client.connection()
        client.ask(connection, "GET", "/half/head")
        connection.sendall(b"GET /wrong/half HTTP/1.1\r\nHost: x\r\n\r"[: 1 + number % 36])
        if number % 2:
            connection.close()
        else:
            time.sleep(0.002)
            reset(connection)


def given_up(client):
    """Requests that the client gives up before their bodies are whole."""
    for _ in range(20):
        with client.connection() as connection:
            client.ask(connection, "GET", "/given/up")
            connection.sendall(b"POST /given/up HTTP/1.1\r\nContent-Length: 100\r\n\r\nGET /wrong/body HTTP/1.1\r\n")
            client.rows["POST", "/given/up", "client"] += 1
            time.sleep(0.005)


def tunnels(client):
    """After an Upgrade and a CONNECT all bytes look like requests and answers, and none is."""
    for number in range(30):
        with client.connection() as connection:
            for _ in range(3):
                client.ask(connection, "GET", "/before/tunnel")
            if number % 2:
                client.rows["GET", "/up/grade", "101"] += 1
                tunnel(connection, "GET /up/grade", "Upgrade: websocket\r\nConnection: upgrade\r\n")
            else:
                client.rows["CONNECT", "shop.test:*", "200"] += 1
                tunnel(connection, "CONNECT shop.test:443", "")


def tunnel(connection, asked, fields):
    connection.sendall(f"{asked} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    reader = mixed.Reader(connection)
    reader.head()
    for size in (100, 3000, 50_000):
        sent = mixed.filled(mixed.REQUEST_BODY + mixed.ANSWER_BODY, size)
        connection.sendall(sent)
        if reader.file.read(size) != sent:
            raise ValueError("the tunnel changed what it carried")


SCENARIOS = (request_wrap, answer_wrap, keep_alive, zero_window, half_heads, given_up, tunnels)


def main(scenarios):
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=[one.__name__ for one in scenarios])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--counts", type=Path, required=True)
    options = parser.parse_args()
    client, errors = Client(options.address, options.port), []
    try:
        next(one for one in scenarios if one.__name__ == options.scenario)(client)
    except (OSError, EOFError, ValueError, TypeError) as error:  # told in the counts; they fail the test
        errors.append(repr(error))
    rows = [[*key, count] for key, count in sorted(client.rows.items())]
    options.counts.write_text(json.dumps({"rows": rows, "connections": client.opened, "errors": errors}))


if __name__ == "__main__":
    main(SCENARIOS)
