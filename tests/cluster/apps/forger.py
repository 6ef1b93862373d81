"""forger.py SCENARIO ADDRESS PORT: segments that no TCP sends, between honest requests on the same connection.

Raw packets over IPv4, from the client's own address. Writes to --counts what edges.py writes: the honest requests.
"""

import os
import random
import socket
import struct
import time
from pathlib import Path

from edges import RECEIVE_QUEUE, SEND_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR, TCP_REPAIR_QUEUE, main, reset

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
FORGED = b"GET /forged/request HTTP/1.1\r\nHost: forged.example\r\n\r\n"
FORGED_ANSWER = b"HTTP/1.1 500 Forged\r\nContent-Length: 0\r\n\r\n"
HALF = 1 << 31
FAR = [1 << 20, 1 << 28, 1 << 30, HALF - 100_000, HALF + 100_000, -(1 << 30), -(1 << 20), -70_000]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Forger:
    """Sends TCP segments with any addresses and numbers."""

    def __init__(self):
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, source, target, sequence, acknowledged, flags=PSH | ACK, payload=b"", wrong_sum=0):
        places = source[1], target[1], sequence % 2**32, acknowledged % 2**32
        head = struct.pack("!HHIIBBHHH", *places, 0x50, flags, 8192, 0, 0)
        ends = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
        total = checksum(ends + struct.pack("!BBH", 0, 6, len(head) + len(payload)) + head + payload)
        head = head[:16] + struct.pack("!H", total ^ wrong_sum) + head[18:]
        packet = struct.pack("!BBHHHBBH8s", 0x45, 0, 20 + len(head) + len(payload), 0, 0, 64, 6, 0, ends)
        self.raw.sendto(packet + head + payload, (target[0], 0))


def numbers(connection):
    """(next to send, next to receive) of a quiet connection."""
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    found = []
    for queue in (SEND_QUEUE, RECEIVE_QUEUE):
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        found.append(struct.unpack("I", connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))[0])
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)
    return found


def between_requests(client, forge, connections=20, rounds=6):
    """forge(own end, server's end, next to send, next to receive) before each of some honest requests."""
    for number in range(connections):
        with client.connection() as connection:
            for each in range(rounds):
                forge(connection.getsockname(), connection.getpeername(), *numbers(connection))
                client.ask(connection, "GET", "/honest/request", answer=f"200 sized {number * each} 0 0 0")


def wild_numbers(client):
    """Whole requests far before and far behind what is expected."""
    forger = Forger()

    def forge(own, server, send, receive):
        for distance in FAR:
            forger.send(own, server, send + distance, receive, payload=FORGED)

    between_requests(client, forge)


def old_bytes_anew(client):
    """What was sent already, with other bytes."""
    forger = Forger()

    def forge(own, server, send, receive):
        for back in (len(FORGED), 90, 60):
            forger.send(own, server, send - back, receive, payload=FORGED[:back])

    between_requests(client, forge)


def wild_flags(client):
    """SYN, SYN and ACK, FIN and RST with numbers that are not the connection's, with and without bytes."""
    forger, rng = Forger(), random.Random(1)

    def forge(own, server, send, receive):
        for flags in (SYN, SYN | ACK, SYN | PSH | ACK, FIN | ACK, RST, RST | ACK, 0, 63):
            for payload in (b"", FORGED):
                forger.send(own, server, send + rng.choice(FAR), receive + rng.choice(FAR), flags, payload)

    between_requests(client, forge)


def to_no_connection(client):
    """Bytes to the listener that belong to no connection, and then a connection from that very port."""
    forger, rng = Forger(), random.Random(2)
    own = os.environ["FORGER_ADDRESS"]
    for port in range(23000, 23060):
        for flags in (PSH | ACK, ACK, SYN | PSH, FIN | ACK):
            forger.send((own, port), client.where, rng.randrange(2**32), rng.randrange(2**32), flags, FORGED)
        connection = client.connection(source_port=port)
        for _ in range(3):
            client.ask(connection, "GET", "/honest/request")
        connection.close()


def sprayed(client):
    """Many of them at many ports: the room for early bytes of connections that are none must not grow, nor be all."""
    forger, rng = Forger(), random.Random(3)
    own = os.environ["FORGER_ADDRESS"]
    for _ in range(20_000):
        forger.send((own, rng.randrange(1024, 20000)), client.where, rng.randrange(2**32), 1, payload=FORGED)
    between_requests(client, lambda *_: None)


def as_the_server(client):
    """Answers, handshakes and resets with wild numbers to every client that is connected, as if from the server.

    Runs where the server does, until the clients have gone; tells how many it sent."""
    forger, rng, sent, end = Forger(), random.Random(4), 0, time.monotonic() + 60
    own = (os.environ["FORGER_ADDRESS"], client.where[1])
    while time.monotonic() < end and ((peers := connected(own[1])) or not sent):
        for peer in peers:
            flags = rng.choice((SYN | ACK, PSH | ACK, SYN, RST))
            forger.send(own, peer, rng.randrange(2**32), rng.randrange(2**32), flags, FORGED_ANSWER)
            sent += 1
        time.sleep(0.01)
    client.rows["GET", "/sent", "200"] = sent


def connected(port):
    """The peers of a server on v4-mapped addresses."""
    rows = [row.split() for row in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    peers = [row[2].split(":") for row in rows if row[3] == "01" and row[1].endswith(f":{port:04X}")]
    return [(socket.inet_ntoa(struct.pack("<I", int(address[24:], 16))), int(peer, 16)) for address, peer in peers]


def overlaps(client):
    """Early bytes twice, the second time others, at every way of overlapping; then the hole is filled.

    The server reads some of both: the digits of a path, which fold to the same. Only the server knows of these
    requests: the client's own TCP did not send them, and takes no answer."""
    forger = Forger()
    for number in range(40):
        connection = client.connection()
        client.ask(connection, "GET", "/honest/request")
        send, receive = numbers(connection)
        ends = connection.getsockname(), connection.getpeername()
        one, other = overlapping("1"), overlapping("2")
        begin, end = 20 + number % 7, 40 + number % 8
        pieces = [
            (one, begin, end),
            (other, begin - number % 3 * 3, end + number % 5),
            (one, 0, begin + 3),
            (one, 0, len(one)),
        ]
        for text, first, last in pieces:
            forger.send(*ends, send + first, receive, payload=text[first:last])
        client.rows["GET", "/overlap/*", "200"] += 1
        time.sleep(0.02)
        forger.send(*ends, send + len(one), receive, RST | ACK)
        reset(connection)


def overlapping(digit):
    return f"GET /overlap/{digit * 50} HTTP/1.1\r\nHost: x\r\nX-Answer: 200 sized 5 0 0 0\r\n\r\n".encode()


SCENARIOS = (wild_numbers, old_bytes_anew, wild_flags, to_no_connection, sprayed, as_the_server, overlaps)

if __name__ == "__main__":
    main(SCENARIOS)
