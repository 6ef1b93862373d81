"""Who is on this host: endpoints for flows and listeners, and what those own.

Used from one thread; looks at /proc and the cgroup file system when something new appears, and now and then.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_CONTAINER,
    ENDPOINT_KIND_POD,
    ENDPOINT_KIND_UNIT,
    ROLE_CLIENT,
    ROLE_SERVER,
)

from agent.identity.addresses import HostNetworks
from agent.identity.cgroup import CgroupIdentity, CgroupIndex
from agent.identity.claims import Claims, Listening, Socket
from agent.identity.endpoints import Endpoint, EndpointBook
from agent.identity.listeners import end_closed_listeners
from agent.identity.namespaces import Namespaces, own_netns_cookie
from agent.identity.naming import Naming
from agent.identity.networks import host_only_networks
from agent.identity.process import Proc
from agent.identity.reading import (
    Process,
    Reading,
    one_each_namespace,
    open_connections,
    read_addresses,
    read_everything,
)
from agent.identity.sockets import WILDCARDS, is_link_local, is_loopback
from agent.records import KernelFlow, ListenerSeen, OpenConnection

OTHER_FLOW = 1
OTHER_COMMAND = "(other)"
_WITH_OWN_ADDRESSES = (ENDPOINT_KIND_POD, ENDPOINT_KIND_CONTAINER)


@dataclass(frozen=True, slots=True)
class Found:
    """What was there at the start."""

    open_connections: list[OpenConnection]
    network_namespaces: int
    listeners: int
    processes: int


class Host:
    """`cgroup_prefix`: of the watched root in the paths that /proc shows; `now_ns`: wall clock, when it begins."""

    def __init__(self, index: CgroupIndex, proc: Proc, cgroup_prefix: str, now_ns: int) -> None:
        self.index = index
        self.proc = proc
        self.book = EndpointBook()
        tables = proc.network_table("self", "route"), proc.network_table("self", "ipv6_route")
        self.claims = Claims(HostNetworks(host_only_networks(*tables)))
        self._naming = Naming(index, proc, cgroup_prefix)
        self._namespaces_of_host: set[int] = set()
        self._own_namespace = proc.network_namespace("self")
        self._namespaces = Namespaces(own_netns_cookie(), self._own_namespace)
        self._older_clients: dict[tuple[bytes, bytes, int], str] = {}
        self._looked_ns = now_ns
        # Namespaces in which something began to listen since the last look.
        self._changing: set[int] = set()

    def read(self, now_ns: int) -> Found:
        """The whole host, once, after the kernel's side has begun to count; all of it holds since then."""
        since_ns = self._looked_ns
        self._naming.walk(now_ns)
        reading = read_everything(self.index, self.proc)
        self._learn_namespaces(reading.processes, since_ns, now_ns)
        for namespace, listener, process in reading.listeners:
            socket = Socket(namespace, listener.address, listener.port, listener.transport)
            self._listens(socket, process, since_ns)
        return Found(
            self._open_connections(reading), len(reading.addresses), len(reading.listeners), len(reading.processes)
        )

    def refresh(self, now_ns: int) -> None:
        """What came and went since the last look."""
        since_ns, self._looked_ns = self._looked_ns, now_ns
        self._naming.walk(now_ns)
        processes = self._naming.one_process_each_named()
        self._release_what_is_gone(now_ns)
        self._learn_namespaces(processes, since_ns, now_ns)
        if self._own_namespace in self._namespaces_of_host:
            self.claims.has_addresses(self._own_namespace, read_addresses(self.proc, "self"), since_ns, now_ns)
        end_closed_listeners(self.claims, self.index, self.proc, self._changing, now_ns)
        self._changing.clear()

    def endpoint_of(self, flow: KernelFlow, time_ns: int) -> Endpoint:
        """The local side of a flow; a server's flow also shows who listens."""
        if flow.id == OTHER_FLOW:
            return self.book.process(OTHER_COMMAND, "/", 0)
        identity, path = self._naming.find(flow.cgroup_id, flow.process_id, time_ns)
        endpoint = self._named(identity, path, flow) if identity.named else self._process(flow, path)
        place = Process(flow.process_id, flow.cgroup_id, path, endpoint.network_namespace)
        self._know_namespace(place, identity, flow.local_address, time_ns)
        if flow.role == ROLE_SERVER and endpoint.network_namespace:
            socket = Socket(endpoint.network_namespace, flow.local_address, flow.port, flow.transport)
            listening = Listening(endpoint.id, flow.cgroup_id, flow.process_id, endpoint.command)
            self.claims.serves(socket, listening, time_ns)
        return endpoint

    def listener(self, seen: ListenerSeen) -> Endpoint:
        identity, path = self._naming.find(seen.cgroup_id, seen.process_id, seen.time_ns)
        namespace = self._namespace_of(seen) or self._namespace_in(path)
        if identity.named:
            endpoint = self._named(identity, path, seen)
            namespace = endpoint.network_namespace
        else:
            # The kernel notes the name of a thread.
            command = self.proc.command(seen.process_id) or seen.command
            endpoint = self.book.process(command, path, namespace)
        place = Process(seen.process_id, seen.cgroup_id, path, namespace)
        self._know_namespace(place, identity, seen.address, seen.time_ns)
        self._changing.add(namespace)
        socket = Socket(namespace, seen.address, seen.port, seen.transport)
        listening = Listening(endpoint.id, seen.cgroup_id, seen.process_id, seen.command)
        self.claims.listens(socket, listening, seen.time_ns)
        return endpoint

    def take_new_named_cgroups(self) -> list[int]:
        return self._naming.take_new_named()

    def own_addresses(self) -> list[bytes]:
        """The machine's: never one pod's."""
        namespaces = self._namespaces_of_host or {self._own_namespace}
        found = (self.claims.addresses(namespace) or [] for namespace in namespaces)
        return sorted({one for part in found for one in part if not is_loopback(one) and not is_link_local(one)})

    def forget(self, used: set[int]) -> None:
        """Drops endpoints that no flow and no claim is about, and cgroups that are long gone."""
        self.book.forget(used | self.claims.owners())
        self._naming.forget()

    def _namespace_in(self, path: str) -> int:
        pid = self._naming.process_in(path)
        return self.proc.network_namespace(pid) if pid else 0

    def _named(self, identity: CgroupIdentity, path: str, seen: KernelFlow | ListenerSeen) -> Endpoint:
        endpoint = self.book.named(identity, path, 0)
        if endpoint.network_namespace:
            return endpoint
        return self.book.named(identity, path, self._namespace_of(seen) or self._namespace_in(path))

    def _process(self, flow: KernelFlow, path: str) -> Endpoint:
        namespace = self._namespace_of(flow) or self.claims.namespace_of(flow.local_address)
        namespace = namespace or self._namespace_in(path) or self._own_namespace
        # The kernel notes the name of a thread; of a process that is gone already, nothing else is known.
        command = self.proc.command(flow.process_id) if flow.process_id else ""
        return self.book.process(command or flow.command or self._older_command(flow), path, namespace)

    def _namespace_of(self, seen: KernelFlow | ListenerSeen) -> int:
        """The socket's own; 0: its process is gone, and nobody else was met there."""
        shown = self.proc.network_namespace(seen.process_id) if seen.process_id else 0
        return self._namespaces.of(seen.netns_cookie, shown)

    def _older_command(self, flow: KernelFlow) -> str:
        """Of a socket that is older than the agent, so that the kernel's side noted nothing."""
        if flow.role == ROLE_CLIENT:
            return self._older_clients.get((flow.local_address, flow.peer_address, flow.port), "")
        named = (
            one.command
            for socket, one in self.claims.listeners.items()
            if one.cgroup_id == flow.cgroup_id and (socket.port, socket.transport) == (flow.port, flow.transport)
        )
        return next(named, "")

    def _know_namespace(self, place: Process, identity: CgroupIdentity, address: bytes, now_ns: int) -> None:
        """Reads a namespace when it is first met. An address in use there is there, also when it cannot be read."""
        namespace = place.network_namespace
        if not namespace:
            return
        if self.claims.addresses(namespace) is None:
            pid = place.pid if self.proc.lives(place.pid) else self._naming.process_in(place.cgroup_path)
            self._learn_namespaces([replace(place, pid=pid)], self._looked_ns, now_ns)
        known = self.claims.addresses(namespace) or []
        alone = identity.kind in _WITH_OWN_ADDRESSES and namespace not in self._namespaces_of_host
        if alone and address not in known and address not in WILDCARDS:
            self.claims.has_addresses(namespace, [*known, address], self._looked_ns, now_ns)

    def _listens(self, socket: Socket, process: Process, since_ns: int) -> None:
        identity = self._naming.identity(process.cgroup_id)
        command = self.proc.command(process.pid)
        if identity.named:
            endpoint = self.book.named(identity, process.cgroup_path, process.network_namespace)
        else:
            endpoint = self.book.process(command, process.cgroup_path, process.network_namespace)
        self.claims.listens(socket, Listening(endpoint.id, process.cgroup_id, process.pid, command), since_ns)

    def _open_connections(self, reading: Reading) -> list[OpenConnection]:
        found = open_connections(reading)
        for one, process in found:
            if process is not None and one.role == ROLE_CLIENT:
                command = self.proc.command(process.pid)
                self._older_clients[one.local_address, one.peer_address, one.peer_port] = command
        return [one for one, _ in found]

    def _learn_namespaces(self, processes: list[Process], since_ns: int, now_ns: int) -> None:
        for process in processes:
            kind = self._naming.identity(process.cgroup_id).kind
            if process.network_namespace and (
                kind == ENDPOINT_KIND_UNIT or process.network_namespace == self._own_namespace
            ):
                self._namespaces_of_host.add(process.network_namespace)
        for namespace, process in one_each_namespace(processes).items():
            self.claims.has_addresses(namespace, read_addresses(self.proc, process.pid), since_ns, now_ns)
        for process in processes:
            identity = self._naming.identity(process.cgroup_id)
            alone = process.network_namespace not in self._namespaces_of_host
            if identity.kind in _WITH_OWN_ADDRESSES and process.network_namespace and alone:
                endpoint = self.book.named(identity, process.cgroup_path, process.network_namespace)
                self.claims.owns(process.network_namespace, endpoint.id, since_ns, now_ns)

    def _release_what_is_gone(self, now_ns: int) -> None:
        living = set(self.index.living().values())
        for endpoint in self.book.all():
            if endpoint.identity.named and endpoint.cgroup_path not in living:
                self.claims.gone(endpoint.id, now_ns)


def open_host(root: Path, mount: Path, now_ns: int, proc: Proc | None = None) -> Host:
    """A host whose cgroups lie below `root`, in the hierarchy that is mounted at `mount`."""
    relative = root.resolve().relative_to(mount.resolve()).as_posix()
    return Host(CgroupIndex(root), proc or Proc(), "/" if relative == "." else f"/{relative}", now_ns)
