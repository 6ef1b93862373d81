"""Containers of which one storms, as a program: python storm.py (JSON on stdin, JSON on stdout).

To be run by `unshare --net`: all of 10.0.0.0/8 is local there. The job is a list of calls, all at once, each in a
cgroup of its own: {"cgroup": path, "what": "paths"|"hosts"|"names"|"peers", "count": n, "port": p, "distinct": d,
"first": f}. A call makes n requests, DNS queries or connections of d kinds, from the f-th on. The servers are in no
watched cgroup.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

SERVER = "10.0.0.1"
DEPTH = 8
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LETTERS = "bcdfghjklmnpqrst"


def main() -> None:
    jobs: list[dict[str, Any]] = json.load(sys.stdin)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo"], check=True)
    for job in {(job["port"], job["what"] == "names"): job for job in jobs}.values():
        start_server(job)
    children = [start_client(job) for job in jobs]
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(ends):
        sys.exit("a client failed")
    json.dump({"calls": len(jobs)}, sys.stdout)


def start_server(job: dict[str, Any]) -> None:
    kind = socket.SOCK_DGRAM if job["what"] == "names" else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("10.0.0.1" if kind == socket.SOCK_DGRAM else "0.0.0.0", job["port"]))
    if kind == socket.SOCK_STREAM:
        sock.listen(4096)
    Thread(target=serve_names if kind == socket.SOCK_DGRAM else serve, args=(sock,), daemon=True).start()


def start_client(job: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    Path(job["cgroup"], "cgroup.procs").write_text(str(os.getpid()))
    calls: dict[str, Callable[[dict[str, Any]], None]] = {
        "paths": ask, "hosts": ask, "names": look_up, "peers": connect
    }  # fmt: skip
    try:
        calls[job["what"]](job)
    except BaseException as error:  # noqa: BLE001 - a child of fork: it ends here, whatever it was
        sys.stderr.write(f"{job}: {error!r}\n")
        os._exit(1)
    os._exit(0)


def texts(job: dict[str, Any]) -> Iterator[str]:
    """Without digits, which would be folded."""
    for number in itertools.islice(itertools.cycle(range(job["distinct"])), job["count"]):
        yield "".join(_LETTERS[number + job["first"] >> shift & 15] for shift in (16, 12, 8, 4, 0))


def ask(job: dict[str, Any]) -> None:
    form = (
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n"
        if job["what"] == "paths"
        else "GET / HTTP/1.1\r\nHost: {}.example\r\n\r\n"
    )
    with socket.create_connection((SERVER, job["port"])) as connection:
        wanted = texts(job)
        while some := list(itertools.islice(wanted, DEPTH)):
            connection.sendall("".join(form.format(text) for text in some).encode())
            left = len(some) * len(_ANSWER)
            while left:
                came = len(connection.recv(left))
                if not came:
                    raise EOFError("the connection ended before its answers")
                left -= came


def look_up(job: dict[str, Any]) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((SERVER, job["port"]))
    sock.settimeout(10)
    for number, text in enumerate(texts(job)):
        question = bytes([len(text)]) + text.encode() + b"\x07example\0\0\1\0\1"
        sock.send((number & 0xFFFF).to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + question)
        sock.recv(512)


def connect(job: dict[str, Any]) -> None:
    """Each connection says one byte and hears it."""
    for number in itertools.islice(itertools.cycle(range(job["distinct"])), job["count"]):
        with socket.create_connection(
            (f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", job["port"])
        ) as one:
            one.sendall(b"x")
            one.recv(1)


def serve(listener: socket.socket) -> None:
    while True:
        Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        while said := connection.recv(65536):
            connection.sendall(_ANSWER * said.count(b"GET ") if said.startswith(b"GET ") else said)


def serve_names(sock: socket.socket) -> None:
    while True:
        said, client = sock.recvfrom(512)
        sock.sendto(said[:2] + b"\x81\x83" + said[4:], client)


if __name__ == "__main__":
    main()
