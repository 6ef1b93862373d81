"""Listeners that are no more. The kernel's side tells of a listener's beginning only; its end is looked up."""

from dataclasses import replace

from agent.identity.cgroup import CgroupIndex
from agent.identity.claims import Claims, Listening, Socket
from agent.identity.process import Proc, processes_in
from agent.identity.reading import listening_ports


def end_closed_listeners(claims: Claims, index: CgroupIndex, proc: Proc, changing: set[int], now_ns: int) -> None:
    """Ends claims whose process is gone and left nobody who listens; in the namespaces that are `changing`, all closed
    ones. So a host on which nothing begins to listen costs no reading of socket tables.
    """
    ports: dict[int, set[tuple[int, int]] | None] = {}
    for socket, listening in list(claims.listeners.items()):
        if not listening.process_id:
            continue
        heir = _heir(socket, listening, index, proc)
        if heir == listening.process_id and socket.network_namespace not in changing:
            continue
        if heir and socket.network_namespace not in ports:
            ports[socket.network_namespace] = _ports(socket.network_namespace, heir, proc)
        open_ports = ports[socket.network_namespace] if heir else set()
        if open_ports is None:
            continue  # nothing was shown of it; the next look asks again
        if (socket.transport, socket.port) not in open_ports:
            claims.stops(socket, now_ns)
        else:
            claims.listeners[socket] = replace(listening, process_id=heir)


def _ports(network_namespace: int, pid: int, proc: Proc) -> set[tuple[int, int]] | None:
    """None: its process ended, or is in another namespace than the socket."""
    found = listening_ports(proc, pid)
    return found if proc.network_namespace(pid) == network_namespace else None


def _heir(socket: Socket, listening: Listening, index: CgroupIndex, proc: Proc) -> int:
    """The process itself, or one of its cgroup and namespace that may have its socket; 0: nobody."""
    if proc.lives(listening.process_id):
        return listening.process_id
    others = processes_in(index.directory(index.path(listening.cgroup_id) or "/"))
    return next((pid for pid in others if proc.network_namespace(pid) == socket.network_namespace), 0)
