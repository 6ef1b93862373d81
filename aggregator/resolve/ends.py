"""Both ends of every flow: the local one by its identity, the far one by who owned its address at that time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.ingest.tables import Tables
from aggregator.records import ANY_PORT, CLIENT, SERVER, End, Flow, text_of
from aggregator.resolve.names import DnsMemory, host_name
from aggregator.resolve.ownership import Ownership, Place, is_loopback
from aggregator.resolve.vertices import Ends, named_end, prefixed
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.lives import Lives

Network: TypeAlias = IPv4Network | IPv6Network
Ints: TypeAlias = npt.NDArray[np.int64]
# From this address to that node (its first end), its port and transport.
Calling: TypeAlias = tuple[bytes, int, int, int]

NOT_SHOWN: Final = -1
_GRACE_INTERVALS: Final = 3


@dataclass(slots=True)
class Resolved:
    """Per flow id: positions in `ends` (NOT_SHOWN where the other side's rows say it better), and what follows.

    `vertices`: for each end the first one with its node id, since containers of one pod, say, are one node.
    """

    ends: list[End]
    vertices: list[int]
    source: Ints
    target: Ints
    far_host: Ints  # host id where the far end is one of our endpoints, else -1
    outside: npt.NDArray[np.bool_]  # the target may still be named by its requests' Host
    moved: npt.NDArray[np.bool_]  # the far address changed hands: rows must be settled by their own time
    shared: npt.NDArray[np.bool_]  # several clients on one address: the server's end cannot tell them apart
    provisional: bool = False  # something may resolve better a moment later


class Resolver:
    """Answers are kept until a claim, a DNS answer or a flow is new."""

    def __init__(
        self,
        tables: Tables,
        ownership: Ownership,
        dns: DnsMemory,
        coverage: Mapping[int, HostCoverage],
        inside: Sequence[Network],
        cluster: str,
    ) -> None:
        self._tables = tables
        self._ownership = ownership
        self._dns = dns
        self._coverage = coverage
        self._inside = inside
        self._cluster = cluster
        self.ends = Ends()
        self._end_of_endpoint: dict[int, int] = {}
        self._improved = 0

    @property
    def flows_known(self) -> int:
        return len(self._tables.flows)

    def end_of(self, endpoint: int) -> int:
        if self._improved != self._tables.endpoints.improved:
            self._improved = self._tables.endpoints.improved
            self._end_of_endpoint.clear()
        known = self._end_of_endpoint.get(endpoint)
        if known is None:
            value = self._tables.endpoints.values[endpoint]
            host = self._tables.hosts.values[value.host]
            known = self._end_of_endpoint[endpoint] = self.ends.id_of(named_end(value, endpoint, host, self._cluster))
        return known

    def named_by_host(self, text: str) -> int | None:
        """The third party behind a Host header, or None when it names none."""
        name = host_name(text)
        if not name:
            return None
        return self.ends.id_of(End(name, pb.NODE_KIND_THIRD_PARTY, name, self._cluster, name_source="host"))

    def settle_far(self, one: int, time_ns: int) -> int:
        """The flow id that says whose the far address was at that time."""
        value = self._tables.flows.values[one]
        owner = self._owner(value, time_ns)
        return one if owner is None else self._tables.flows.id_of(value._replace(far_endpoint=owner))

    def resolve(self, lives: Lives, now_ns: int, before: Resolved | None = None) -> Resolved:
        """Of those that are awake; for the others what was found `before` stays."""
        flows = self._tables.flows.values
        lives.grow(len(flows))
        is_awake = lives.awake[: len(flows)]
        found, awake = self._unresolved(is_awake, before), np.flatnonzero(is_awake).tolist()
        first_ns, last_ns = lives.first_ns, lives.last_ns
        host_addresses = self._host_addresses()
        callings: defaultdict[Calling, list[int]] = defaultdict(list)
        for one in awake:
            value = flows[one]
            if value.role == CLIENT:
                self._resolve_client(found, one, value, int(last_ns[one]), host_addresses)
                if found.far_host[one] >= 0:
                    callings[self._calling(value.local_address, int(found.target[one]), value)].append(one)
        callers = self._callers(found, callings)
        for one in awake:
            value = flows[one]
            if value.role == SERVER:
                fresh = now_ns - int(first_ns[one]) < self._grace_ns(value)
                self._resolve_server(found, one, value, int(last_ns[one]), callers, host_addresses, fresh)
        return found

    def _unresolved(self, awake: npt.NDArray[np.bool_], before: Resolved | None) -> Resolved:
        size = len(awake)
        source, target, far_host = (np.full(size, NOT_SHOWN, np.int64) for _ in range(3))
        outside, moved, shared = (np.zeros(size, np.bool_) for _ in range(3))
        found = Resolved(self.ends.values, self.ends.vertices, source, target, far_host, outside, moved, shared)
        if before is not None:
            asleep = np.flatnonzero(~awake[: len(before.source)])
            for name in ("source", "target", "far_host", "outside", "moved", "shared"):
                getattr(found, name)[asleep] = getattr(before, name)[asleep]
        return found

    def _calling(self, client_address: bytes, target: int, value: Flow) -> Calling:
        """Any container of a pod may have answered: what counts is the node."""
        return client_address, self.ends.vertices[target], value.port, value.transport

    def _callers(self, found: Resolved, callings: Mapping[Calling, list[int]]) -> dict[Calling, set[int]]:
        callers = {}
        for calling, ids in callings.items():
            callers[calling] = known = {self.ends.vertices[int(found.source[one])] for one in ids}
            found.shared[ids] = len(known) > 1
        return callers

    def _resolve_client(
        self, found: Resolved, one: int, value: Flow, time_ns: int, host_addresses: Mapping[bytes, int]
    ) -> None:
        found.source[one] = self.end_of(value.endpoint)
        owner = value.far_endpoint if value.far_endpoint >= 0 else self._owner(value, time_ns)
        found.moved[one] = value.far_endpoint < 0 and self._has_moved(value)
        if owner is not None:
            found.target[one] = self.end_of(owner)
            found.far_host[one] = self._tables.endpoints.values[owner].host
            return
        host = self._host_behind(value, host_addresses)
        if host is not None:
            found.target[one] = self.ends.id_of(host)
        elif self._is_inside(value):
            found.target[one] = self.ends.id_of(self._bare(value.peer_address, pb.NODE_KIND_UNRESOLVED))
        else:
            found.outside[one] = True
            found.target[one] = self.ends.id_of(self._outside(value))

    def _resolve_server(
        self,
        found: Resolved,
        one: int,
        value: Flow,
        time_ns: int,
        callers: Mapping[Calling, set[int]],
        host_addresses: Mapping[bytes, int],
        fresh: bool,
    ) -> None:
        found.target[one] = self.end_of(value.endpoint)
        owner: int | None = value.far_endpoint
        if value.far_endpoint < 0:
            found.moved[one] = self._has_moved(value)
            owner = self._owner(value, time_ns)
        if owner is not None:
            found.source[one] = self.end_of(owner)
            found.far_host[one] = self._tables.endpoints.values[owner].host
            return
        known = callers.get(self._calling(value.peer_address, int(found.target[one]), value), set())
        shared = value.peer_address in host_addresses or is_loopback(value.peer_address)
        if len(known) == 1:
            found.source[one] = caller = next(iter(known))
            found.far_host[one] = self._tables.endpoints.values[self.ends.values[caller].endpoint].host
        elif known or (shared and fresh):
            found.target[one] = NOT_SHOWN  # several on one address: their own rows tell them apart
            found.provisional |= not known
        else:
            kind = pb.NODE_KIND_UNRESOLVED if shared or self._is_inside(value) else pb.NODE_KIND_EXTERNAL
            found.source[one] = self.ends.id_of(self._bare(value.peer_address, kind))

    def _owner(self, value: Flow, time_ns: int) -> int | None:
        place = self._place(value.endpoint)
        if value.role == SERVER:
            return self._ownership.owner_of_all_ports(value.peer_address, time_ns, place)
        return self._ownership.owner(value.peer_address, value.port, value.transport, time_ns, place)

    def _place(self, endpoint: int) -> Place:
        value = self._tables.endpoints.values[endpoint]
        return Place(value.host, self._tables.hosts.values[value.host].cluster, value.network_namespace)

    def _host_behind(self, value: Flow, host_addresses: Mapping[bytes, int]) -> End | None:
        """A host's own address on a port that nobody owns."""
        place = self._place(value.endpoint)
        host = place.host if is_loopback(value.peer_address) else host_addresses.get(value.peer_address)
        if host is None:
            return None
        key = self._tables.hosts.values[host]
        return End(prefixed(key, key.name, self._cluster), pb.NODE_KIND_HOST, key.name, key.cluster)

    def _host_addresses(self) -> dict[bytes, int]:
        return {address: host for host, known in self._coverage.items() for address in known.addresses}

    def _has_moved(self, value: Flow) -> bool:
        port = ANY_PORT if value.role == SERVER else value.port
        return self._ownership.has_moved(value.peer_address, port, value.transport, self._place(value.endpoint))

    def _is_inside(self, value: Flow) -> bool:
        address = value.peer_address
        if is_loopback(address) or self._ownership.knows(address, self._place(value.endpoint)):
            return True
        parsed = IPv6Address(address)
        plain = parsed.ipv4_mapped or parsed
        return any(plain in network for network in self._inside if network.version == plain.version)

    def _outside(self, value: Flow) -> End:
        name = self._dns.name_of(value.endpoint, value.peer_address)
        if name is None:
            return self._bare(value.peer_address, pb.NODE_KIND_EXTERNAL)
        return End(name.name, pb.NODE_KIND_THIRD_PARTY, name.name, self._cluster, -1, name.source, name.ambiguous)

    def _bare(self, address: bytes, kind: int) -> End:
        text = text_of(address)
        return End(text, kind, text, self._cluster)

    def _grace_ns(self, value: Flow) -> int:
        known = self._coverage.get(self._tables.endpoints.values[value.endpoint].host)
        return _GRACE_INTERVALS * (known.interval_ns if known else 1_000_000_000)
