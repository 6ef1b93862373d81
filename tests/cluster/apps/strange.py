"""What no ordinary program would send: names that are code, or break lines.

strange.py ask RESOLVER NAME...      DNS queries with these bytes in their labels
strange.py be NAME ADDRESS PORT      one request from a process that calls itself NAME
"""

import socket
import struct
import sys
from pathlib import Path


def raw(text):
    return text.encode("utf-8", "surrogateescape")


def ask(resolver, *names):
    one = socket.socket(socket.AF_INET6 if ":" in resolver else socket.AF_INET, socket.SOCK_DGRAM)
    one.settimeout(2)
    for name in names:
        for label in (raw(name)[:60], raw(name)[:59] + b"\n", b"a\tb", b"a.b", bytes(range(1, 32))):
            head = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0)
            one.sendto(head + bytes((len(label),)) + label + b"\0\0\1\0\1", (resolver, 53))
            one.recv(600)


def be(name, address, port):
    Path("/proc/self/comm").write_bytes(raw(name)[:15])
    with socket.create_connection((address, int(port))) as one:
        one.sendall(b"GET / HTTP/1.1\r\n\r\n")
        one.recv(99)


{"ask": ask, "be": be}[sys.argv[1]](*sys.argv[2:])
