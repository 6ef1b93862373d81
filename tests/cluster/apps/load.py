"""A load generator that knows exactly what it did.

load.py PLAN OUT     PLAN: {"jobs": [job, ...]}, all at once; OUT: {"rows": [row, ...]}, one a job.

A job: {"address", "port", "host", "kind", "begin": seconds to wait first, ...} and by kind
  requests    "connections": c, "requests": n, "requests_per_connection" (0: all), "depth": requests in one write,
              "paths": [[method, path], ...] taken in turn, "body": of what has one,
              "rate": requests a second (0: as fast as it goes), "seconds": after which none is asked any more,
              "encoding" of what is sent ("utf-8"), "random_paths": a seed instead of paths, "random_hosts": true
  unanswered  "times", "path", "by": "client" (it closes after "after" seconds) or "server"
  failed      "times", "patience" seconds (0: what the kernel has)
  silent      "times": connections without a byte
  half        "times": half a request head, then the client closes
  garbage     "times", "seed": random bytes, then the client closes
  dns         "times", "names": [[name, type], ...] in turn, "transport": "udp" or "tcp" (one connection);
              counted by rcode under "statuses"; no answer after "patience" seconds is unanswered by the server
  datagrams   "times", "size": UDP that nobody answers
SIGUSR1 ends requests as "seconds" does.
With "timed": true, which needs a depth of 1, the row has "waits": [[when it was asked, milliseconds until its answer's
head], ...], by the wall's clock.
Where servers say who they are (server.py --named), the row has "servers": {name: {"requests", "errors"}}, by what their
connection said: what was asked over one on which nobody has answered yet is that of "".
With "unread": true a server may answer what nobody reads: the row then has no bytes.
An IPv4 address with "mapped": true is called by an IPv6 socket; "from" is the own address, where there are several.

A row: {"address", "port", "host", "protocol" (null: told by the requests), "requests", "statuses": {code: n},
"routes": [[method, path, code, n]], "unanswered": {"client", "server"}, "connections", "failed": {reason: n},
"bytes_sent", "bytes_received"}.
"""

import asyncio
import collections
import errno
import itertools
import json
import math
import random
import signal
import socket
import struct
import sys
import time
from pathlib import Path

REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ECONNRESET: "reset",
}
SYNS_BEFORE_THE_KERNEL_GIVES_UP = 1


class Row:
    def __init__(self, job):
        self.job = job
        self.requests = self.connections = self.bytes_sent = self.bytes_received = 0
        self.unanswered, self.failed = {"client": 0, "server": 0}, collections.Counter()
        self.routes = collections.Counter()
        self.servers = collections.defaultdict(lambda: {"requests": 0, "errors": 0})
        self.waits = []
        self.end = math.inf

    def form(self):
        statuses = collections.Counter()
        for (_, _, status), count in self.routes.items():
            if status > 0 or (status == 0 and self.job["kind"] == "dns"):
                statuses[str(status)] += count
        routes = [[*key, count] for key, count in sorted(self.routes.items())]
        named = {key: self.job.get(key) for key in ("address", "port", "host")}
        named["protocol"] = "udp" if self.job["kind"] == "datagrams" else None
        uncounted = ("bytes_sent", "bytes_received") if self.job.get("unread") else ()
        uncounted += () if self.job.get("timed") else ("waits",)
        uncounted += () if any(self.servers) else ("servers",)
        plain = {key: value for key, value in vars(self).items() if key not in ("job", "end", *uncounted)}
        return {**named, **plain, "statuses": statuses, "routes": routes}


class Client(asyncio.Protocol):
    """One connection that asks `count` requests, `depth` at a time."""

    def __init__(self, row, paths, count, depth, rate, done):
        self.row, self.paths, self.left, self.depth, self.done = row, paths, count, depth, done
        self.pause, self.asked, self.buffer = (depth / rate if rate else 0), collections.deque(), b""
        self.closed = self.chunks = False
        self.sent = self.skip = 0
        self.server = ""

    def connection_made(self, transport):
        self.transport = transport
        self.row.connections += 1
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask()

    def ask(self):
        if self.closed:
            return
        if not self.left or time.monotonic() > self.row.end:
            self.closed = True
            self.transport.close()
            return
        parts = []
        for _ in range(min(self.depth, self.left)):
            method, path, text = next(self.paths)
            self.asked.append((method, path))
            parts.append(text)
        self.left -= len(parts)
        self.sent += len(parts)
        self.row.requests += len(parts)
        data = b"".join(parts)
        self.row.bytes_sent += len(data)
        self.began = time.monotonic()
        self.transport.write(data)

    def data_received(self, data):
        self.row.bytes_received += len(data)
        self.buffer = self.buffer + data if self.buffer else data
        while self.asked or self.skip or self.chunks:
            if not self.step():
                return
        if self.pause:
            late = time.monotonic() - self.began
            asyncio.get_running_loop().call_later(max(0, self.pause - late), self.ask)
        else:
            self.ask()

    def step(self):
        """Takes one piece of an answer from the buffer; False when more is needed."""
        if self.skip:
            taken = min(self.skip, len(self.buffer))
            self.buffer, self.skip = self.buffer[taken:], self.skip - taken
            return not self.skip
        if self.chunks:
            return self.take_chunk()
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        text, self.buffer = self.buffer[:end].lower(), self.buffer[end + 4 :]
        status = int(text[9:12])
        if status >= 200:
            self.take_head(status, text)
        return True

    def take_head(self, status, text):
        method, path = self.asked.popleft()
        self.row.routes[method, path, status] += 1
        at = text.find(b"\r\nserved-by: ")
        if at >= 0:
            self.server = text[at + 13 :].partition(b"\r\n")[0].decode()
        self.row.servers[self.server]["requests"] += 1
        self.row.servers[self.server]["errors"] += status >= 500
        if self.row.job.get("timed"):
            milliseconds = (time.monotonic() - self.began) * 1000
            self.row.waits.append([time.time() - milliseconds / 1000, milliseconds])
        if b"\r\nconnection: close" in text:
            self.left = 0
        if method == "HEAD" or status in (204, 304):
            return
        at = text.find(b"\r\ncontent-length:")
        if at >= 0:
            self.skip = int(text[at + 17 :].partition(b"\r\n")[0])
        elif b"\r\ntransfer-encoding: chunked" in text:
            self.chunks = True

    def take_chunk(self):
        size, mark, _ = self.buffer.partition(b"\r\n")
        if not mark:
            return False
        length = int(size.partition(b";")[0], 16)
        self.buffer = self.buffer[len(size) + 2 :]
        self.skip, self.chunks = length + 2, bool(length)
        return True

    def connection_lost(self, error):
        for method, path in self.asked:
            self.row.unanswered["client" if self.closed else "server"] += 1
            self.row.routes[method, path, 0] += 1
            self.row.servers[self.server]["requests"] += 1
        self.closed = True
        if not self.done.done():
            self.done.set_result(None)


def socket_for(job, kind=socket.SOCK_STREAM):
    mapped = job.get("mapped") and ":" not in job["address"]
    address = f"::ffff:{job['address']}" if mapped else job["address"]
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    one.setblocking(False)
    if "from" in job:
        one.bind((job["from"], 0))
    return one, (address, job["port"])


def random_requests(job):
    """Each with a path that was never asked before, and with a host if hosts are random too."""
    chance = random.Random(job["random_paths"])
    while True:
        path = f"/{chance.choice('abcdef')}/" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=12))
        host = f"{path[-12:]}.example" if job.get("random_hosts") else job["host"]
        yield "GET", "(random)", f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def requests_of(job):
    if "random_paths" in job:
        return random_requests(job)
    texts = []
    for method, path in job["paths"]:
        body = job.get("body", "n=1").encode() if method in ("POST", "PUT", "PATCH") else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        text = f"{method} {path} HTTP/1.1\r\nHost: {job['host']}\r\n{length}\r\n"
        texts.append((method, path, text.encode(job.get("encoding", "utf-8")) + body))
    return itertools.cycle(texts)


async def connect(job, row):
    one, where = socket_for(job)
    try:
        await asyncio.get_running_loop().sock_connect(one, where)
    except OSError as error:
        row.failed[reason_of(error, 0)] += 1
        one.close()
        return None
    return one


async def do_requests(job, row):
    paths, total, count = requests_of(job), job["requests"], job.get("connections", 1)
    shares = [total // count + (1 if index < total % count else 0) for index in range(count)]
    rate = job.get("rate", 0) / count
    await asyncio.gather(*(one_share(job, row, paths, share, rate) for share in shares))


async def one_share(job, row, paths, share, rate):
    loop = asyncio.get_running_loop()
    while share and time.monotonic() < row.end:
        one = await connect(job, row)
        if one is None:
            share -= 1
            continue
        now = min(share, job.get("requests_per_connection") or share)
        done = loop.create_future()
        client = Client(row, paths, now, job.get("depth", 1), rate, done)
        await loop.create_connection(lambda c=client: c, sock=one)
        await done
        share -= client.sent


async def do_unanswered(job, row):
    job = {**job, "paths": [["GET", job["path"]]]}
    loop = asyncio.get_running_loop()
    for _ in range(job["times"]):
        one = await connect(job, row)
        done = loop.create_future()
        client = Client(row, requests_of(job), 1, 1, 0, done)
        transport, _ = await loop.create_connection(lambda c=client: c, sock=one)
        if job["by"] == "client":
            await asyncio.sleep(job.get("after", 0.02))
            client.closed = True
            transport.close()
        await done


async def do_failed(job, row):
    await asyncio.gather(*(one_failure(job, row) for _ in range(job["times"])))


def reason_of(error, patience):
    if error.errno is None:  # Our own patience ended: a time-out, when the SYN was sent again by then.
        return "timeout" if patience > 1 else "other"
    return REASONS.get(error.errno, "other")


async def one_failure(job, row):
    one, where = socket_for(job)
    loop = asyncio.get_running_loop()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, SYNS_BEFORE_THE_KERNEL_GIVES_UP)
    try:
        await asyncio.wait_for(loop.sock_connect(one, where), job.get("patience") or 30)
        row.connections += 1
    except OSError as error:
        row.failed[reason_of(error, job.get("patience", 0))] += 1
    finally:
        one.close()


async def with_bytes(job, row, data):
    for index in range(job["times"]):
        one = await connect(job, row)
        row.connections += 1
        text = data(index)
        if text:
            await asyncio.get_running_loop().sock_sendall(one, text)
            row.bytes_sent += len(text)
        await asyncio.sleep(job.get("after", 0.005))
        if job.get("reset"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()


async def do_silent(job, row):
    await with_bytes(job, row, lambda index: b"")


async def do_half(job, row):
    whole = b"GET /half/request HTTP/1.1\r\nHost: half\r\n\r\n"
    await with_bytes(job, row, lambda index: whole[: 1 + index % (len(whole) - 1)])


async def do_garbage(job, row):
    chance = random.Random(job["seed"])
    await with_bytes(job, row, lambda index: chance.randbytes(1 + chance.randrange(3000)))


def query(identity, name, kind):
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


async def do_dns(job, row):
    loop = asyncio.get_running_loop()
    stream = job.get("transport") == "tcp"
    one = await connect(job, row) if stream else socket_for(job, socket.SOCK_DGRAM)[0]
    row.connections += stream
    names = itertools.cycle(job["names"])
    for identity in range(job["times"]):
        name, kind = next(names)
        message = query(identity & 0xFFFF, name, kind)
        row.requests += 1
        if stream:
            await loop.sock_sendall(one, struct.pack("!H", len(message)) + message)
        else:
            await loop.sock_sendto(one, message, (job["address"], job["port"]))
        try:
            answer = await asyncio.wait_for(loop.sock_recv(one, 4096), job.get("patience", 2))
            row.routes[kind, name, answer[5 if stream else 3] & 15] += 1
        except TimeoutError:
            row.unanswered["server"] += 1
            row.routes[kind, name, -1] += 1
    one.close()


async def do_datagrams(job, row):
    one, where = socket_for(job, socket.SOCK_DGRAM)
    for _ in range(job["times"]):
        await asyncio.get_running_loop().sock_sendto(one, b"." * job["size"], where)
        row.bytes_sent += job["size"]
    one.close()


KINDS = {
    "requests": do_requests,
    "unanswered": do_unanswered,
    "failed": do_failed,
    "silent": do_silent,
    "half": do_half,
    "garbage": do_garbage,
    "dns": do_dns,
    "datagrams": do_datagrams,
}


async def work(row):
    await asyncio.sleep(row.job.get("begin", 0))
    row.end = time.monotonic() + row.job.get("seconds", math.inf)
    await KINDS[row.job["kind"]](row.job, row)


def stop(rows):
    """What is on its way is waited for; nothing more is asked."""
    for row in rows:
        row.end = time.monotonic()


async def main(plan, out):
    rows = [Row(job) for job in json.loads(Path(plan).read_text())["jobs"]]
    began = time.monotonic()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stop, rows)
    await asyncio.gather(*map(work, rows))
    Path(out).write_text(json.dumps({"rows": [row.form() for row in rows], "seconds": time.monotonic() - began}))


asyncio.run(main(*sys.argv[1:3]))
