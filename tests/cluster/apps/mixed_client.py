"""mixed_client.py ADDRESS PORT: sends the mixed load (mixed.py), checks every answer, and counts what it did.

Writes to --counts {"rows": [[method, route, status, requests]], "connections": N, "errors": [...]}; a row is counted
when its whole answer has come and was the right one. SIGUSR1 writes what is answered by now; SIGTERM ends it when
what was asked is answered.
"""

import argparse
import collections
import itertools
import json
import queue
import random
import signal
import socket
import sys
import threading
from pathlib import Path

import mixed

ANSWER_SECONDS = 60
TCP_FASTOPEN_CONNECT = 30  # Python has no name for it yet


class Session(threading.Thread):
    """One connection after another, with so many requests each. One thread writes, another reads."""

    stopping = threading.Event()

    def __init__(self, options, depth, exchanges):
        super().__init__()
        self.options, self.depth, self.exchanges = options, depth, exchanges
        self.rows, self.errors, self.opened = collections.Counter(), [], 0

    def run(self):
        try:
            for first in self.exchanges:
                rest = itertools.islice(self.exchanges, self.options.each - 1 if self.options.each else None)
                self.converse(itertools.chain([first], rest))
                if self.stopping.is_set():
                    break
        except (OSError, EOFError, ValueError, IndexError) as error:  # told in the counts; they fail the test
            self.errors.append(repr(error))

    def converse(self, exchanges):
        with self.connect() as connection:
            self.opened += 1
            self.room, self.may_continue = threading.Semaphore(self.depth), threading.Event()
            self.asked = queue.SimpleQueue()
            writer = threading.Thread(target=self.write, args=(connection, exchanges))
            writer.start()
            try:
                self.read(connection)
            except BaseException:
                connection.shutdown(socket.SHUT_RDWR)
                raise
            finally:
                self.room.release(self.depth)
                self.may_continue.set()
                writer.join()

    def connect(self):
        options = self.options
        protocol = socket.IPPROTO_MPTCP if options.mptcp else socket.IPPROTO_TCP
        family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM, protocol)
        connection.settimeout(ANSWER_SECONDS)
        if options.maximum_segment:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, options.maximum_segment)
        if options.fast_open:
            connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        connection.connect((options.address, options.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def write(self, connection, exchanges):
        """As many requests in one write as there is room for, up to a number drawn for each write."""
        rng = random.Random(self.depth)
        try:
            for first in exchanges:
                self.room.acquire()
                batch, most = [first], rng.randint(1, self.depth)
                while len(batch) < most and self.room.acquire(blocking=False):
                    batch += itertools.islice(exchanges, 1)
                for one in batch:
                    self.asked.put(one)
                self.write_batch(connection, batch, rng)
                if self.stopping.wait(self.options.pause):
                    break
        except OSError as error:
            self.errors.append(f"writing: {error!r}")
        self.asked.put(None)

    def write_batch(self, connection, batch, rng):
        if self.depth == 1 and batch[0].expects:
            self.may_continue.clear()
            connection.sendall(batch[0].head)
            self.may_continue.wait(ANSWER_SECONDS)
            mixed.send(connection, batch[0].payload, self.options.cut, rng)
            return
        mixed.send(connection, b"".join(one.head + one.payload for one in batch), self.options.cut, rng)

    def read(self, connection):
        reader = mixed.Reader(connection)
        while one := self.asked.get():
            line, fields = self.final_head(reader)
            status = int(line.split(b" ")[1])
            body = b"" if one.method == "HEAD" or status in mixed.WITHOUT_BODY else reader.body(fields)
            if status != one.status or body != one.answer_body:
                raise ValueError(f"{one.method} {one.path} ({one.order}) was answered by {line!r}, {len(body)} bytes")
            self.rows[one.method, one.route, status] += 1
            self.room.release()

    def final_head(self, reader):
        while True:
            message = reader.head()
            if message is None:
                raise EOFError("the connection ended before an answer")
            if message[0].split(b" ")[1] == b"100":
                self.may_continue.set()
            elif not message[0].split(b" ")[1].startswith(b"1"):
                return message


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--each", type=int, default=0, help="requests of a connection before the next is opened")
    parser.add_argument("--depth", type=int, default=1, help="requests in flight at most, on two of three connections")
    parser.add_argument("--largest", type=int, default=100_000, help="bytes of a body")
    parser.add_argument("--repeat", type=int, default=1, help="times in a row that a request is sent at most")
    parser.add_argument("--cut", type=int, default=0, help="bytes of a write at most")
    parser.add_argument("--pause", type=float, default=0, help="seconds after each write")
    parser.add_argument("--maximum-segment", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--under", default="", help="what every route begins with")
    parser.add_argument("--counts", type=Path, required=True)
    for flag in ("--mptcp", "--fast-open"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    mixed.Exchange.under = options.under
    shape = (options.requests, options.connections, options.depth, options.largest, options.repeat)
    plan = mixed.connections(options.seed, *shape)
    sessions = [Session(options, depth, exchanges) for depth, exchanges in plan]
    signal.signal(signal.SIGUSR1, lambda *_: tell(options, sessions))
    signal.signal(signal.SIGTERM, lambda *_: Session.stopping.set())
    for session in sessions:
        session.start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    for session in sessions:
        session.join()
    tell(options, sessions)


def tell(options, sessions):
    """Also while it runs: what is answered by now."""
    rows = sum((collections.Counter(session.rows.copy()) for session in sessions), collections.Counter())
    errors = [error for session in sessions for error in session.errors]
    is_over = not any(session.is_alive() for session in sessions)
    if is_over and not Session.stopping.is_set() and rows.total() != options.requests:
        errors.append(f"{rows.total()} of {options.requests} requests were answered as they should be")
    told = {
        "rows": [[*key, count] for key, count in sorted(rows.items())],
        "connections": sum(session.opened for session in sessions),
        "errors": errors,
    }
    fresh = options.counts.with_suffix(".new")
    fresh.write_text(json.dumps(told))
    fresh.replace(options.counts)


main()
