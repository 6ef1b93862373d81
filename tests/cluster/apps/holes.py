"""holes.py SCENARIO ADDRESS PORT: segments of one size are held back by a filter of the test's, and more comes early.

The server is mixed_server.py. Writes to --counts what edges.py writes. Where the test has something to do meanwhile, it
finds the file COUNTS.early, and removes it when that is done.
"""

import contextlib
import fcntl
import socket
import struct
import sys
import termios
import time
from pathlib import Path

import mixed
from edges import main

HELD_BYTES = 725  # with the heads of IPv4 and of TCP with its times: 777
SO_SNDBUFFORCE = 32
ANSWER = "X-Answer: 200 sized 5 0 0 0\r\n"
LOOKS_LIKE_ONE = b"GET /wrong/body HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


def request(path, padding=0, fields=""):
    return f"GET {path} HTTP/1.1\r\n{ANSWER}{fields}X-Pad: {'p' * padding}\r\n\r\n".encode()


def held(path):
    """A request of the size that is held back."""
    return request(path, HELD_BYTES - len(request(path)))


def chunks(path, count):
    """In writes of few lines each: one segment of many would be more than is read at once, held back or not."""
    yield f"PUT {path} HTTP/1.1\r\n{ANSWER}Transfer-Encoding: chunked\r\n\r\n".encode()
    while count:
        some = min(count, 30)
        yield b"1\r\nx\r\n" * some
        count -= some
    yield b"0\r\n\r\n"


def wait_until_sent(connection):
    """Until all of it is acknowledged."""
    end = time.monotonic() + 30
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]:
        if time.monotonic() > end:
            raise ValueError("what was held back was not acknowledged")
        time.sleep(0.01)


def note_answer(client, reader, method, path):
    line, fields = reader.head()
    reader.body(fields)
    client.rows[method, path, line.split(b" ")[1].decode()] += 1


def let_the_test_act():
    """Once more each time."""
    flag, end = Path(sys.argv[sys.argv.index("--counts") + 1] + ".early"), time.monotonic() + 30
    flag.touch()
    while flag.exists():
        if time.monotonic() > end:
            raise ValueError("the test did nothing")
        time.sleep(0.01)


def many_lines(client):
    """What is kept has more lines than a packet's program runs read, and they end at each of them once, also between a
    request line and its route."""
    asked = ("GET", "/first/held"), ("PUT", "/then/chunks"), ("GET", "/then/asked"), ("GET", "/last/asked")
    with contextlib.ExitStack() as ends:
        connections = {count: ends.enter_context(client.connection()) for count in (*range(15, 35), *range(60, 100))}
        for count, connection in connections.items():
            connection.sendall(held("/first/held"))
            for one in (*chunks("/then/chunks", count), request("/then/asked") + request("/last/asked")):
                connection.sendall(one, socket.MSG_EOR)  # TCP puts nothing more into its segment, however slow it is
        let_the_test_act()
        for connection in connections.values():
            reader = mixed.Reader(connection)
            for method, path in asked:
                note_answer(client, reader, method, path)


def torn(client):
    """What is kept is lost, and the rest of its request's body looks like requests."""
    with client.connection() as connection:
        for _ in range(12):
            client.ask(connection, "GET", "/before/hole")
        body = LOOKS_LIKE_ONE * 40
        head = f"POST /in/hole HTTP/1.1\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nX-Pad: "
        connection.sendall(head.encode() + b"p" * (HELD_BYTES - len(head)))
        connection.sendall(b"\r\nX-Early: 1\r\n")
        let_the_test_act()
        wait_until_sent(connection)
        connection.sendall(f"{ANSWER}\r\n".encode())
        reader = mixed.Reader(connection)
        reader.head()
        connection.sendall(body)
        note_answer(client, reader, "POST", "/in/hole")
        for _ in range(5):
            client.ask(connection, "GET", "/after/hole")


def leaving(client):
    """The client ends its side while what it has said before that waits for a hole."""
    with client.connection() as connection:
        connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 23)
        client.ask(connection, "PUT", "/before/leaving", mixed.filled(mixed.REQUEST_BODY, 8_000_000))
        body = mixed.filled(mixed.REQUEST_BODY, 600_000)
        connection.sendall(f"PUT /in/leaving HTTP/1.1\r\n{ANSWER}Content-Length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body[:HELD_BYTES])
        connection.sendall(body[HELD_BYTES:])
        connection.shutdown(socket.SHUT_WR)
        let_the_test_act()
        note_answer(client, mixed.Reader(connection), "PUT", "/in/leaving")


def first(client):
    """The hole is behind what made the connection."""
    with client.connection() as connection:
        connection.sendall(f"GET /first/met HTTP/1.1\r\n{ANSWER}X-Pad: ".encode())
        connection.sendall(b"p" * HELD_BYTES)
        connection.sendall(b"\r\n\r\n" + request("/then/asked"))
        let_the_test_act()
        reader = mixed.Reader(connection)
        for path in ("/first/met", "/then/asked"):
            note_answer(client, reader, "GET", path)


def appended(client):
    """What is dropped before it leaves is sent again in one segment with what is said after it."""
    with client.connection() as connection:
        for path in ("/said/again", "/said/next", "/said/last"):
            client.ask(connection, "GET", path)
        let_the_test_act()
        reader = mixed.Reader(connection)
        asked = [request(path, 128 - len(request(path))) for path in ("/said/again", "/said/next", "/said/last")]
        for _ in range(10):
            connection.sendall(asked[0])
            note_answer(client, reader, "GET", "/said/again")
        let_the_test_act()
        connection.sendall(asked[0])
        connection.sendall(asked[1] + asked[2])
        let_the_test_act()
        for path in ("/said/again", "/said/next", "/said/last"):
            note_answer(client, reader, "GET", path)
        connection.sendall(asked[1])
        note_answer(client, reader, "GET", "/said/next")


if __name__ == "__main__":
    main((many_lines, torn, leaving, first, appended))
