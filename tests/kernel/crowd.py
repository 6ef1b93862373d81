"""Clients with very many addresses at one server, as a program: python crowd.py CGROUP (JSON on stdin, JSON on stdout).

To be run by `unshare --net`: its network namespace takes whole ranges as local. Only the server goes into the cgroup.
The job: {"transport": "tcp"|"udp", "clients": [addresses], "server": address, "port": port, "say": text}. Each client
speaks once, is answered with the same bytes, and hangs up.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

RANGES = ("203.0.0.0/16", "198.18.0.0/15", "10.0.0.0/8", "2001:db8::/32")
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


def main() -> None:
    job = json.load(sys.stdin)
    commands = ["link set lo up", *(f"route add local {one} dev lo" for one in RANGES)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
    family = socket.AF_INET6 if ":" in job["server"] else socket.AF_INET
    kind = socket.SOCK_STREAM if job["transport"] == "tcp" else socket.SOCK_DGRAM
    ready, tell = os.pipe()
    server = os.fork()
    if not server:
        Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
        serve(socket.socket(family, kind), (job["server"], job["port"]), tell)
    os.read(ready, 1)
    try:
        for address in job["clients"]:
            speak(socket.socket(family, kind), address, (job["server"], job["port"]), job["say"].encode())
    finally:
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)
    json.dump({"clients": len(job["clients"])}, sys.stdout)


def serve(sock: socket.socket, address: tuple[str, int], tell: int) -> None:
    if sock.type == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free_bind(sock)
    sock.bind(address)
    if sock.type == socket.SOCK_STREAM:
        sock.listen(1024)
    os.write(tell, b"!")
    while True:
        if sock.type == socket.SOCK_DGRAM:
            said, client = sock.recvfrom(2048)
            sock.sendto(said, client)
            continue
        connection, _ = sock.accept()
        with connection:
            while said := connection.recv(2048):
                connection.sendall(said)


def speak(sock: socket.socket, own: str, server: tuple[str, int], said: bytes) -> None:
    with sock:
        free_bind(sock)
        sock.bind((own, 0))
        sock.connect(server)
        sock.settimeout(10)
        sock.send(said)
        got = b""
        while len(got) < len(said):
            got += sock.recv(2048)


def free_bind(sock: socket.socket) -> None:
    level, option = (socket.IPPROTO_IPV6, _IPV6_FREEBIND) if sock.family == socket.AF_INET6 else (0, _IP_FREEBIND)
    sock.setsockopt(level, option, 1)


if __name__ == "__main__":
    main()
