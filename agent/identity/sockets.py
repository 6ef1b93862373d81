"""The socket and address tables of one network namespace, from the text of /proc/PID/net.

Pure. Addresses come out as 16 bytes, IPv4 v4-mapped, whatever the machine's byte order.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

TCP, UDP = 6, 17
V4_MAPPED = bytes(10) + b"\xff\xff"
ANY_V4, ANY_V6 = V4_MAPPED + bytes(4), bytes(16)
WILDCARDS = frozenset({ANY_V4, ANY_V6})

_ESTABLISHED, _UNCONNECTED, _LISTENING = "01", "07", "0A"
_LOCAL_V4 = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


@dataclass(frozen=True, slots=True)
class Listener:
    address: bytes
    port: int
    transport: int
    inode: int


@dataclass(frozen=True, slots=True)
class Connection:
    """An established TCP connection; the inode is 0 while no process has accepted it."""

    local_address: bytes
    local_port: int
    peer_address: bytes
    peer_port: int
    inode: int


@dataclass(frozen=True, slots=True)
class _Row:
    local_address: bytes
    local_port: int
    peer_address: bytes
    peer_port: int
    state: str
    inode: int


def tcp_sockets(*tables: str) -> tuple[list[Listener], list[Connection]]:
    """From the texts of `tcp` and `tcp6`."""
    listeners, connections = [], []
    for row in _rows(tables):
        if row.state == _LISTENING:
            listeners.append(Listener(row.local_address, row.local_port, TCP, row.inode))
        elif row.state == _ESTABLISHED:
            connections.append(
                Connection(row.local_address, row.local_port, row.peer_address, row.peer_port, row.inode)
            )
    return listeners, connections


def tcp_listeners(rows: Iterable[str]) -> Iterator[Listener]:
    """From the lines of `tcp` or `tcp6`. The kernel writes those that listen first: no further line is taken."""
    for row in _parsed(rows):
        if row.state != _LISTENING:
            return
        yield Listener(row.local_address, row.local_port, TCP, row.inode)


def udp_listeners(*tables: str) -> list[Listener]:
    """Bound sockets without a peer, from the texts of `udp` and `udp6`: servers, and clients that send to many."""
    return [
        Listener(row.local_address, row.local_port, UDP, row.inode)
        for row in _rows(tables)
        if row.state == _UNCONNECTED and row.peer_port == 0
    ]


def local_addresses(fib_trie: str, if_inet6: str) -> list[bytes]:
    """Every address of the namespace, loopback too, from the texts of `fib_trie` and `if_inet6`."""
    v4 = (V4_MAPPED + bytes(map(int, text.split("."))) for text in _LOCAL_V4.findall(fib_trie))
    v6 = (bytes.fromhex(line.split()[0]) for line in if_inet6.splitlines())
    return list(dict.fromkeys((*v4, *v6)))


def is_loopback(address: bytes) -> bool:
    return address == bytes(15) + b"\x01" or (address.startswith(V4_MAPPED) and address[12] == 127)


def is_link_local(address: bytes) -> bool:
    if address.startswith(V4_MAPPED):
        return address[12:14] == b"\xa9\xfe"
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _rows(tables: tuple[str, ...]) -> Iterator[_Row]:
    for table in tables:
        yield from _parsed(table.splitlines())


def _parsed(lines: Iterable[str]) -> Iterator[_Row]:
    for line in islice(lines, 1, None):
        fields = line.split()
        if len(fields) < 10:  # Cut off while the kernel wrote it.
            continue
        local_address, local_port = _end(fields[1])
        peer_address, peer_port = _end(fields[2])
        yield _Row(local_address, local_port, peer_address, peer_port, fields[3], int(fields[9]))


def _end(text: str) -> tuple[bytes, int]:
    """The kernel prints an address as 32-bit words in the machine's byte order."""
    address, port = text.split(":")
    raw = bytes.fromhex(address)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return (V4_MAPPED + raw if len(raw) == 4 else raw), int(port, 16)
