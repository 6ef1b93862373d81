"""Who is on this host: endpoints for flows and listeners, and what those own.

Used from one thread; looks at /proc and the cgroup file system when something new appears, and now and then.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_CONTAINER,
    ENDPOINT_KIND_POD,
    ENDPOINT_KIND_UNIT,
    ROLE_CLIENT,
    ROLE_SERVER,
    LocalEndpoint,
)

from agent.identity.addresses import HostNetworks
from agent.identity.cgroup import CgroupIdentity, CgroupIndex, identify
from agent.identity.claims import Claims, Listening, Socket
from agent.identity.endpoints import OTHER_COMMAND, Endpoint, EndpointBook
from agent.identity.inside import Range, always_inside, routed, whole
from agent.identity.listeners import end_closed_listeners
from agent.identity.namespaces import Namespaces, own_netns_cookie
from agent.identity.naming import Naming
from agent.identity.networks import host_only_networks
from agent.identity.process import Proc, cgroup_namespace
from agent.identity.reading import (
    Process,
    Reading,
    addresses_of_namespaces,
    open_connections,
    read_addresses,
    read_everything,
    read_processes,
)
from agent.identity.sockets import WILDCARDS, is_link_local, is_loopback
from agent.identity.witnesses import Witnesses
from agent.records import FLOW_OTHER, KernelFlow, ListenerSeen, OpenConnection

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

    def __init__(
        self, index: CgroupIndex, proc: Proc, cgroup_prefix: str, now_ns: int, inside: Sequence[str] = ()
    ) -> None:
        self.index = index
        self.proc = proc
        self.book = EndpointBook()
        own_namespace = proc.network_namespace("self")
        self._network, self._host_namespace = _network_of_host(proc, own_namespace)
        tables = self._routes()
        self.claims = Claims(HostNetworks(host_only_networks(*tables)))
        self.naming = Naming(index, proc, cgroup_prefix)
        self._namespaces_of_host: set[int] = set()
        self._namespaces = Namespaces(own_netns_cookie(), own_namespace)
        self._witnesses = Witnesses(proc, own_namespace)
        self._older_clients: dict[tuple[bytes, bytes, int], str] = {}
        self._looked_ns = now_ns
        self._inside = always_inside(inside)
        # Namespaces in which something began to listen since the last look.
        self._changing: set[int] = set()

    def read(self, now_ns: int) -> Found:
        """The whole host, once, after the kernel's side has begun to count; all of it holds since then."""
        since_ns = self._looked_ns
        self.naming.walk(now_ns)
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
        self.naming.walk(now_ns)
        processes = self.naming.one_process_each_named()
        self._release_what_is_gone(now_ns)
        self._learn_namespaces(processes, since_ns, now_ns)
        if self._host_namespace in self._namespaces_of_host:
            addresses = read_addresses(self.proc, self._network)
            self.claims.has_addresses(self._host_namespace, addresses, since_ns, now_ns)
        end_closed_listeners(self.claims, self.index, self.proc, self._changing, now_ns)
        self._changing.clear()

    def endpoint_of(self, flow: KernelFlow, time_ns: int) -> Endpoint:
        """The local side of a flow; a server's flow also shows who listens."""
        if flow.id == FLOW_OTHER:
            return self.book.process(OTHER_COMMAND, "/", 0)
        identity, path = self.naming.find(flow.cgroup_id, flow.process_id, time_ns)
        endpoint = self._named(identity, path, flow) if identity.named else self._process(flow, path)
        place = Process(flow.process_id, flow.cgroup_id, path, endpoint.network_namespace)
        if self._other_owner(place.network_namespace, identity) and not self.index.directory(path).is_dir():
            return endpoint  # told late of one that is gone: it says nothing of the next one with that number
        self._know_namespace(place, identity, flow.local_address, time_ns)
        if flow.role == ROLE_SERVER and endpoint.network_namespace:
            socket = Socket(endpoint.network_namespace, flow.local_address, flow.port, flow.transport)
            listening = Listening(endpoint.id, flow.cgroup_id, flow.process_id, endpoint.command)
            self.claims.serves(socket, listening, time_ns)
        return endpoint

    def listener(self, seen: ListenerSeen) -> Endpoint:
        identity, path = self.naming.find(seen.cgroup_id, seen.process_id, seen.time_ns)
        namespace = self._namespace_of(seen) or self.naming.namespace_in(path)
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

    def inherit(self, endpoints: Iterable[LocalEndpoint], namespaces: Mapping[int, int]) -> dict[int, int]:
        """What an agent before us knew of what may be gone by now; our ids of its endpoints, by its ids."""
        self._namespaces.inherit(namespaces)
        return {one.id: self.book.inherit(one).id for one in endpoints}

    def known_namespaces(self) -> dict[int, int]:
        """Inodes by the kernel's cookies."""
        return self._namespaces.known()

    def take_new_named_cgroups(self) -> list[int]:
        return self.naming.take_new_named()

    def own_addresses(self) -> list[bytes]:
        """The machine's: never one pod's."""
        namespaces = self._namespaces_of_host or {self._host_namespace}
        found = (self.claims.addresses(namespace) or [] for namespace in namespaces)
        return sorted({one for part in found for one in part if not is_loopback(one) and not is_link_local(one)})

    def inside(self) -> list[Range]:
        """What is ours as far as this host knows: stated, routed to, or the address of some namespace here."""
        ranges = [*self._inside, *routed(*self._routes())]
        return ranges + whole(self.claims.all_addresses(), ranges)

    def named_cgroups(self) -> list[int]:
        """Those that are remembered."""
        return self.naming.named_cgroups()

    def forget_cgroups(self) -> set[int]:
        """Drops cgroups that are gone for some time. Which those are."""
        return self.naming.forget()

    def forget_endpoints(self, used: set[int]) -> None:
        """Drops those that no flow and no claim is about."""
        self.book.forget(used | self.claims.owners())

    def _routes(self) -> tuple[str, str]:
        return self.proc.network_table(self._network, "route"), self.proc.network_table(self._network, "ipv6_route")

    def _named(self, identity: CgroupIdentity, path: str, seen: KernelFlow | ListenerSeen) -> Endpoint:
        endpoint = self.book.named(identity, path, 0)
        if endpoint.network_namespace:
            return endpoint
        return self.book.named(identity, path, self._namespace_of(seen) or self.naming.namespace_in(path))

    def _process(self, flow: KernelFlow, path: str) -> Endpoint:
        namespace = self._namespace_of(flow) or self.claims.namespace_of(flow.local_address)
        namespace = namespace or self.naming.namespace_in(path) or self._host_namespace
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
        if self._is_another_by_now(namespace, identity):
            self.claims.namespaces_gone({namespace}, now_ns)
        if identity.kind == ENDPOINT_KIND_UNIT:
            self._is_of_host(namespace)
        if self.claims.addresses(namespace) is None:
            pid = place.pid if self.proc.lives(place.pid) else self.naming.process_in(place.cgroup_path)
            self._learn_namespaces([replace(place, pid=pid)], self._looked_ns, now_ns)
        known = self.claims.addresses(namespace) or []
        alone = identity.kind in _WITH_OWN_ADDRESSES and namespace not in self._namespaces_of_host
        if alone and address not in known and address not in WILDCARDS:
            self.claims.has_addresses(namespace, [*known, address], self._looked_ns, now_ns)

    def _is_another_by_now(self, namespace: int, identity: CgroupIdentity) -> bool:
        """The kernel gives a number again at once: the pod that had it is gone, and nobody has looked since."""
        owner = self._other_owner(namespace, identity)
        return owner is not None and not self.index.directory(owner.cgroup_path).is_dir()

    def _other_owner(self, namespace: int, identity: CgroupIdentity) -> Endpoint | None:
        """Who has the namespace, unless that is this one, or another container of its pod."""
        owner = self.book.get(self.claims.owner_of_namespace(namespace))
        is_same = owner is None or owner.identity == identity or owner.identity.pod_uid == identity.pod_uid != ""
        return None if is_same else owner

    def _is_of_host(self, namespace: int) -> None:
        """A pod in it has no addresses of its own, also when it was met there before any unit."""
        if namespace not in self._namespaces_of_host:
            self._namespaces_of_host.add(namespace)
            self.claims.shared(namespace)

    def _listens(self, socket: Socket, process: Process, since_ns: int) -> None:
        identity = self.naming.identity(process.cgroup_id)
        command = self.proc.command(process.pid)
        if identity.named:
            endpoint = self.book.named(identity, process.cgroup_path, process.network_namespace)
        else:
            endpoint = self.book.process(command, process.cgroup_path, process.network_namespace)
        self.claims.listens(socket, Listening(endpoint.id, process.cgroup_id, process.pid, command), since_ns)

    def _open_connections(self, reading: Reading) -> list[OpenConnection]:
        found = open_connections(reading)
        for one, process in found:
            if process is not None and one.role != ROLE_SERVER:
                command = self.proc.command(process.pid)
                self._older_clients[one.local_address, one.peer_address, one.peer_port] = command
        return [one for one, _ in found]

    def _learn_namespaces(self, processes: list[Process], since_ns: int, now_ns: int) -> None:
        for process in processes:
            kind = self.naming.identity(process.cgroup_id).kind
            if process.network_namespace and (
                kind == ENDPOINT_KIND_UNIT or process.network_namespace == self._host_namespace
            ):
                self._is_of_host(process.network_namespace)
        for process, addresses in addresses_of_namespaces(self.proc, processes):
            self._witnesses.note(process)
            self.claims.has_addresses(process.network_namespace, addresses, since_ns, now_ns)
        for process in processes:
            identity = self.naming.identity(process.cgroup_id)
            alone = process.network_namespace not in self._namespaces_of_host
            if identity.kind in _WITH_OWN_ADDRESSES and process.network_namespace and alone:
                endpoint = self.book.named(identity, process.cgroup_path, process.network_namespace)
                self.claims.owns(process.network_namespace, endpoint.id, since_ns, now_ns)

    def _release_what_is_gone(self, now_ns: int) -> None:
        living = set(self.index.living().values())
        gone = {one.id for one in self.book.all() if one.identity.named and one.cgroup_path not in living}
        if gone:
            self.claims.gone(gone, now_ns)
        empty = self._witnesses.gone(self.claims.namespaces(), lambda: read_processes(self.index, self.proc))
        if empty:
            self.claims.namespaces_gone(empty, now_ns)
            self._namespaces_of_host -= empty


def _network_of_host(proc: Proc, own_namespace: int) -> tuple[str, int]:
    """(a process whose tables are the host's, its namespace). In a pod or container that is the first process; where it
    is hidden, units show which namespace is the host's: 0."""
    if identify(proc.cgroup_path("self") or "/").kind not in _WITH_OWN_ADDRESSES:
        return "self", own_namespace
    first = proc.network_namespace("1")
    return ("1", first) if first else ("self", 0)


def open_host(root: Path, mount: Path, now_ns: int, proc: Proc | None = None, inside: Sequence[str] = ()) -> Host:
    """A host whose cgroups lie below `root`, in the hierarchy that is mounted at `mount`. `inside`: ranges of ours."""
    relative = root.resolve().relative_to(mount.resolve()).as_posix()
    if proc is None:
        proc = Proc(cgroup_namespace=cgroup_namespace(mount, Proc().cgroup_path("self") or "/", os.getpid()))
    return Host(CgroupIndex(root), proc, "/" if relative == "." else f"/{relative}", now_ns, inside)
