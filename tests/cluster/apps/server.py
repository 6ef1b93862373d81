"""An HTTP/1.1 server that does on purpose what real servers do now and then, and counts what it did.

server.py --listen ADDRESS:PORT... --counts FILE     ([::]:PORT alone also takes IPv4, as v4-mapped)
With --named answers that are given at once have a field Served-By with the host's name.

The first segments of a path say what happens; anything else is answered by 200:
  /status/NNN  that status        /delay/MS  after that time       /size/N    a body of N bytes
  /chunked/N   N chunks           /empty 204    /same 304          /close     200, then the server closes
  /continue    100 before 200     /early 103 before 200            /bare      a status line without a reason
  /never       no answer          /drop   closes without an answer /reset     resets without an answer
  /cut         breaks the connection in the middle of the body

SIGUSR1 and the end write the counts: {"rows": [{"client", "port", "connections", "requests", "statuses",
"unanswered": {"client", "server"}, "bytes_received", "bytes_sent"}]}; statuses are those of complete heads.
"""

import argparse
import asyncio
import collections
import ipaddress
import json
import signal
import socket
import struct
from pathlib import Path

REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved",
    304: "Not Modified",
    404: "Not Found",
    503: "Busy",
}
LOOKS_LIKE_A_REQUEST = b"GET /wrong/route HTTP/1.1\r\nHost: wrong.example\r\n\r\n"
PLAIN_BODY = b"it works\n"


class Counts:
    def __init__(self):
        self.connections = self.requests = self.bytes_received = self.bytes_sent = 0
        self.unanswered_client = self.unanswered_server = 0
        self.statuses = collections.Counter()


class Books:
    """What was counted, by client and port. `signed`: a field of each answer."""

    def __init__(self, path, signed):
        self.path, self.rows, self.signed = path, collections.defaultdict(Counts), signed

    def write(self):
        rows = [{"client": client, "port": port, **self.row(counts)} for (client, port), counts in self.rows.items()]
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"rows": rows}))
        fresh.replace(self.path)

    @staticmethod
    def row(counts):
        fields = dict(vars(counts))
        unanswered = {"client": fields.pop("unanswered_client"), "server": fields.pop("unanswered_server")}
        return {**fields, "statuses": {str(code): n for code, n in counts.statuses.items()}, "unanswered": unanswered}


def head(status, fields, body=b""):
    reason = REASONS.get(status, "Status")
    return f"HTTP/1.1 {status} {reason}\r\n{fields}\r\n".encode(), body


def sized(status, body):
    return head(status, f"Content-Length: {len(body)}\r\n", body)


def after(interim, answer):
    return interim + answer[0], answer[1]


def chunked(count):
    chunk = b"%x\r\n%s\r\n" % (len(LOOKS_LIKE_A_REQUEST), LOOKS_LIKE_A_REQUEST)
    return head(200, "Transfer-Encoding: chunked\r\n", chunk * count + b"0\r\n\r\n")


PLAIN = sized(200, PLAIN_BODY)
NOT_YET = 0, (b"", b"")


class Server(asyncio.Protocol):
    """One connection. Requests are answered in order; what waits holds back what comes after it."""

    def __init__(self, books):
        self.books, self.buffer, self.waiting, self.skip = books, b"", collections.deque(), 0
        self.busy = self.gone = False
        self.unanswered, self.closing_after = 0, False

    def connection_made(self, transport):
        self.transport = transport
        client = ipaddress.ip_address(transport.get_extra_info("peername")[0].partition("%")[0])
        client = str(getattr(client, "ipv4_mapped", None) or client)
        self.counts = self.books.rows[client, transport.get_extra_info("sockname")[1]]
        self.counts.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error):
        if not self.gone:
            self.counts.unanswered_client += self.unanswered
        self.gone = True

    def data_received(self, data):
        self.counts.bytes_received += len(data)
        self.buffer += data
        while True:
            skipped = self.buffer[: self.skip]
            self.buffer, self.skip = self.buffer[len(skipped) :], self.skip - len(skipped)
            end = self.buffer.find(b"\r\n\r\n")
            if self.skip or end < 0:
                break
            self.take(self.buffer[:end])
            self.buffer = self.buffer[end + 4 :]
        self.answer_next()

    def take(self, text):
        line, _, fields = text.partition(b"\r\n")
        method, target, _ = line.split(b" ", 2)
        for field in fields.lower().split(b"\r\n"):
            if field.startswith(b"content-length:"):
                self.skip = int(field[15:])
        self.counts.requests += 1
        self.unanswered += 1
        self.waiting.append((method, target.partition(b"?")[0].decode("latin-1")))

    def answer_next(self):
        out = []
        while self.waiting and not self.busy and not self.gone:
            method, path = self.waiting.popleft()
            out.append(self.answer(method, path))
        self.send(b"".join(out))

    def answer(self, method, path):
        """The bytes of an answer that can be given at once; what cannot is begun here and b'' returned."""
        _, word, value = [*path.split("/", 3), "", ""][:3]
        act = getattr(self, f"on_{word}", None)
        status, (head_bytes, body) = act(value, method) if act else (200, PLAIN)
        if status:
            self.counts.statuses[status] += 1
            self.unanswered -= 1
        if self.books.signed and head_bytes.endswith(b"\r\n\r\n"):
            head_bytes = head_bytes[:-2] + self.books.signed
        return head_bytes if method == b"HEAD" else head_bytes + body

    def send(self, data):
        if data and not self.gone:
            self.counts.bytes_sent += len(data)
            self.transport.write(data)
        if self.closing_after and not self.gone:
            self.leave()

    def leave(self):
        """The server ends the connection: what has no answer by now was left unanswered by the server."""
        self.counts.unanswered_server += self.unanswered
        self.gone = True
        self.transport.close()

    def later(self, seconds, data):
        def finish():
            self.busy = False
            if not self.gone:
                self.counts.statuses[200] += 1
                self.unanswered -= 1
                self.send(data)
                self.answer_next()

        self.busy = True
        asyncio.get_running_loop().call_later(seconds, finish)
        return NOT_YET

    def on_status(self, value, _):
        status = int(value)
        return status, head(status, "") if status in (204, 304) else sized(status, PLAIN_BODY)

    def on_delay(self, value, method):
        return self.later(int(value) / 1000, PLAIN[0] if method == b"HEAD" else b"".join(PLAIN))

    def on_size(self, value, _):
        body = (LOOKS_LIKE_A_REQUEST * (int(value) // len(LOOKS_LIKE_A_REQUEST) + 1))[: int(value)]
        return 200, sized(200, body)

    def on_chunked(self, value, _):
        return 200, chunked(int(value))

    def on_empty(self, *_):
        return 204, head(204, "")

    def on_same(self, *_):
        return 304, head(304, 'ETag: "1"\r\n')

    def on_continue(self, *_):
        return 200, after(b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN)

    def on_early(self, *_):
        return 200, after(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", PLAIN)

    def on_bare(self, *_):
        return 200, (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n", b"ok")

    def on_close(self, *_):
        self.closing_after = True
        return 200, head(200, f"Connection: close\r\nContent-Length: {len(PLAIN_BODY)}\r\n", PLAIN_BODY)

    def on_never(self, *_):
        self.busy = True
        return NOT_YET

    def on_drop(self, *_):
        self.closing_after = True
        return NOT_YET

    def on_reset(self, *_):
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self.on_drop()

    def on_cut(self, *_):
        self.closing_after = True
        return 200, head(200, "Content-Length: 10000\r\n", b"half of it")


def parse(text):
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", action="append", required=True)
    parser.add_argument("--counts", required=True, type=Path)
    parser.add_argument("--named", action="store_true")
    options = parser.parse_args()
    signed = f"Served-By: {socket.gethostname()}\r\n\r\n".encode() if options.named else b""
    books, loop, ended = Books(options.counts, signed), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, books.write)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    for address, port in map(parse, options.listen):
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in address:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        listener.bind((address, port))
        await loop.create_server(lambda: Server(books), sock=listener, backlog=1024)
    await ended.wait()
    books.write()


asyncio.run(main())
