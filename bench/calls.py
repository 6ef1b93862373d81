"""Calls between pairs that never met, and when each began: both ends of the freshness measurement.

calls.py serve FIRST_PORT COUNT             listens on all of them, answers one request a connection
calls.py call ADDRESS FIRST_PORT COUNT      calls each once, at random moments; prints `PORT MONOTONIC_NS` of each
"""

import random
import selectors
import socket
import sys
import time

REQUEST = b"GET /once HTTP/1.1\r\nHost: once.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve(first: int, count: int) -> None:
    selector = selectors.DefaultSelector()
    for port in range(first, first + count):
        selector.register(socket.create_server(("0.0.0.0", port)), selectors.EVENT_READ)  # noqa: S104
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            connection, _ = key.fileobj.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(ANSWER)


def call(address: str, first: int, count: int) -> None:
    dice = random.Random(1)  # noqa: S311
    for port in range(first, first + count):
        # So that no call has a fixed place in an agent's interval.
        time.sleep(dice.uniform(0.4, 1.4))
        begin = time.monotonic_ns()
        with socket.create_connection((address, port)) as connection:
            connection.sendall(REQUEST)
            connection.recv(4096)
        sys.stdout.write(f"{port} {begin}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "serve":
        serve(*map(int, words))
    else:
        call(words[0], int(words[1]), int(words[2]))
