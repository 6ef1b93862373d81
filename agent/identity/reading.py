"""One look at everything that runs below a cgroup: processes, their network namespaces, and the sockets in those.

Tables are read once for each namespace, from the /proc of one process in it: entering it would need a capability
that the agent does not get.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from socket import IPPROTO_UDP
from typing import TypeVar

from plumbline.v1.flow_pb2 import ROLE_CLIENT, ROLE_SERVER, ROLE_UNSPECIFIED

from agent.identity.cgroup import CgroupIndex
from agent.identity.process import Proc, processes_in
from agent.identity.sockets import (
    Connection,
    Listener,
    is_loopback,
    local_addresses,
    tcp_listeners,
    tcp_sockets,
    udp_listeners,
)
from agent.records import OpenConnection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    cgroup_id: int
    cgroup_path: str
    network_namespace: int


@dataclass(slots=True)
class Reading:
    """By network namespace (inode): its addresses, and its sockets with the process that holds each."""

    processes: list[Process] = field(default_factory=list)
    addresses: dict[int, list[bytes]] = field(default_factory=dict)
    listeners: list[tuple[int, Listener, Process]] = field(default_factory=list)
    # Without a process: nobody has accepted it yet, or its holder is not below the cgroup.
    connections: list[tuple[int, Connection, Process | None]] = field(default_factory=list)


def read_everything(index: CgroupIndex, proc: Proc) -> Reading:
    """For the agent's start; costs a look at every open file."""
    reading = Reading(processes=read_processes(index, proc))
    holders: dict[int, Process] = {}
    for process in reading.processes:
        for inode in proc.sockets(process.pid):
            holders.setdefault(inode, process)
    first_port, last_port = ephemeral_ports(proc)
    for namespace, some in by_namespace(reading.processes).items():
        _, tables = shown_by(proc, namespace, some, lambda pid: _Tables.read(proc, pid)) or (None, _Tables([], [], []))
        reading.addresses[namespace] = tables.addresses
        # A datagram socket on a port that the kernel chose is a client's.
        for listener in tables.listeners:
            is_client = listener.transport == IPPROTO_UDP and first_port <= listener.port <= last_port
            if listener.inode in holders and not is_client:
                reading.listeners.append((namespace, listener, holders[listener.inode]))
        reading.connections += [(namespace, one, holders.get(one.inode)) for one in tables.connections]
    return reading


@dataclass(frozen=True, slots=True)
class _Tables:
    """Of one namespace."""

    addresses: list[bytes]
    listeners: list[Listener]
    connections: list[Connection]

    @classmethod
    def read(cls, proc: Proc, pid: int) -> "_Tables":
        listeners, connections = tcp_sockets(*_tables(proc, pid, "tcp", "tcp6"))
        datagrams = udp_listeners(*_tables(proc, pid, "udp", "udp6"))
        return cls(read_addresses(proc, pid), [*listeners, *datagrams], connections)


def open_connections(reading: Reading) -> list[tuple[OpenConnection, Process | None]]:
    """With who holds each. The end where someone listens is the server's; what no listener tells is not guessed at,
    since the port of one that listens no more looks like a client's."""
    served = {(namespace, listener.port) for namespace, listener, _ in reading.listeners}
    having: dict[bytes, list[int]] = {}
    for namespace, addresses in reading.addresses.items():
        for address in addresses:
            having.setdefault(address, []).append(namespace)

    def role(namespace: int, one: Connection) -> int:
        if (namespace, one.local_port) in served:
            return ROLE_SERVER
        peers = [namespace] if is_loopback(one.peer_address) else having.get(one.peer_address, [])
        return ROLE_CLIENT if any((peer, one.peer_port) in served for peer in peers) else ROLE_UNSPECIFIED

    return [
        (
            OpenConnection(
                one.local_address, one.local_port, one.peer_address, one.peer_port, role(namespace, one), namespace
            ),
            process,
        )
        for namespace, one, process in reading.connections
    ]


def read_processes(index: CgroupIndex, proc: Proc) -> list[Process]:
    return [
        Process(pid, cgroup_id, path, proc.network_namespace(pid))
        for cgroup_id, path in index.living().items()
        for pid in processes_in(index.directory(path))
    ]


def by_namespace(processes: Iterable[Process]) -> dict[int, list[Process]]:
    found: dict[int, list[Process]] = {}
    for process in processes:
        if process.network_namespace:
            found.setdefault(process.network_namespace, []).append(process)
    return found


def shown_by(
    proc: Proc, network_namespace: int, processes: Iterable[Process], read: Callable[[int], T]
) -> tuple[Process, T] | None:
    """The first of these that was in the namespace still when it had been read, and what it shows; None: nobody was.

    One that ends shows empty tables, and a runtime's process that begins a container moves into another namespace.
    """
    for process in processes:
        found = read(process.pid)
        if proc.network_namespace(process.pid) == network_namespace:
            return process, found
    return None


def addresses_of_namespaces(proc: Proc, processes: Iterable[Process]) -> Iterator[tuple[Process, list[bytes]]]:
    """Of each that these processes are in, with the one of them that showed it."""
    for namespace, some in by_namespace(processes).items():
        shown = shown_by(proc, namespace, some, lambda pid: read_addresses(proc, pid))
        if shown is not None:
            yield shown


def read_addresses(proc: Proc, pid: int | str) -> list[bytes]:
    return local_addresses(*_tables(proc, pid, "fib_trie", "if_inet6"))


def listening_ports(proc: Proc, pid: int | str) -> set[tuple[int, int]]:
    """(transport, port) of everything that listens in the namespace of a process."""
    listeners = [one for name in ("tcp", "tcp6") for one in tcp_listeners(proc.network_rows(pid, name))]
    listeners += udp_listeners(*_tables(proc, pid, "udp", "udp6"))
    return {(listener.transport, listener.port) for listener in listeners}


def ephemeral_ports(proc: Proc) -> tuple[int, int]:
    text = proc.text("sys/net/ipv4/ip_local_port_range").split()
    return (int(text[0]), int(text[1])) if len(text) == 2 else (32768, 60999)


def _tables(proc: Proc, pid: int | str, *names: str) -> tuple[str, ...]:
    return tuple(proc.network_table(pid, name) for name in names)
