"""Who answers a client that asks a Service: all that ever stood behind it, by who had their addresses then. Pure."""

from collections.abc import Callable, Collection, Mapping
from itertools import count
from typing import Final, NamedTuple

from aggregator.records import Flow
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import NO_HOST, Place
from aggregator.resolve.services import EVERY_HOST, Backend, Masking, ServiceKey, Services, Span
from aggregator.topology.coverage import HostCoverage, Together

# Ids of groups of hosts, where those of hosts could stand.
_GROUPS: Final = 1 << 40
MOST_GROUPS: Final = 1_000


class HostGroups:
    """Hosts, one of which is a flow's far end. To be told which are `in_use` when `is_full`: pods come and go, and with
    them groups."""

    def __init__(self, most: int = MOST_GROUPS) -> None:
        self._most = most
        self._ids: dict[frozenset[int], int] = {}
        self._numbers = count(_GROUPS)

    @property
    def is_full(self) -> bool:
        return len(self._ids) >= self._most

    def keep(self, in_use: Collection[int]) -> None:
        """Others are forgotten; twice as many as these have room."""
        self._ids = {hosts: one for hosts, one in self._ids.items() if one in in_use}
        self._most = max(self._most, 2 * len(self._ids))

    def id_of(self, hosts: frozenset[int]) -> int:
        """The host itself where there is but one."""
        if len(hosts) == 1:
            return next(iter(hosts))
        known = self._ids.get(hosts)
        if known is None:
            known = self._ids[hosts] = next(self._numbers)
        return known

    def coverage(self, hosts: Mapping[int, HostCoverage]) -> dict[int, Together]:
        return {one: Together(tuple(hosts.get(host) for host in some)) for some, one in self._ids.items()}


class Served(NamedTuple):
    """`by_node`: an endpoint of each node that may answer. `ways`: these nodes, each with the ports that it may answer
    on; `port`: the only one, else 0. `masking`: whether servers see a host's address instead of the client's.
    `is_of_one_revision`: whether all that ever stood behind it are known, and marked alike."""

    key: ServiceKey
    by_node: dict[int, int]
    endpoints: frozenset[int]
    ways: frozenset[tuple[int, int]]
    port: int
    masking: Masking
    is_of_one_revision: bool

    @property
    def is_certain(self) -> bool:
        """Whether it can be but one node, on one port."""
        return len(self.by_node) == 1 and self.port > 0

    @property
    def name(self) -> str:
        return f"{self.key.name}.{self.key.namespace}"


class Serving:
    """Answers are kept until `forget`. `have_hosts`: whether an address is a host's own, on which ports of Services are
    reached too."""

    def __init__(
        self,
        services: Services,
        ownership: Ownership,
        cluster: str,
        node_of: Callable[[int], int],
        have_hosts: Callable[[bytes], bool],
        revision_of: Callable[[int], str],
    ) -> None:
        self._services = services
        self._ownership = ownership
        # As seen from anywhere in it: what is behind a Service can be reached from all hosts.
        self._place = Place(NO_HOST, cluster, 0)
        self._node_of = node_of
        self._have_hosts = have_hosts
        self._revision_of = revision_of
        self._known: dict[tuple[ServiceKey, Masking], Served] = {}

    def forget(self) -> None:
        self._known.clear()

    def name_at(self, address: bytes, port: int, transport: int) -> str:
        """Of the Service that is asked there, "" for none."""
        key = self._key(address, port, transport)[0]
        return f"{key.name}.{key.namespace}" if key is not None else ""

    def of(self, value: Flow) -> Served | None:
        """None where a flow's far address is no Service's."""
        key, masking = self._key(value.peer_address, value.port, value.transport)
        if key is None:
            return None
        return self._of_key(key, value.transport, masking)

    def has_led_to(self, key: ServiceKey, transport: int, node: int) -> bool:
        """Whether that node has ever stood behind it."""
        return node in self._of_key(key, transport, Masking.NEVER).by_node

    def _of_key(self, key: ServiceKey, transport: int, masking: Masking) -> Served:
        if (key, masking) not in self._known:
            self._known[key, masking] = self._made(key, transport, masking)
        return self._known[key, masking]

    def _made(self, key: ServiceKey, transport: int, masking: Masking) -> Served:
        by_node: dict[int, int] = {}
        endpoints, ways = set(), set()
        revisions: set[str] = set()
        for backend, span in self._services.behind(key):
            owners = self._owners(backend, transport, span)
            revisions.update(map(self._revision_of, owners) if owners else ("",))
            for owner in owners:
                node = self._node_of(owner)
                by_node.setdefault(node, owner)
                endpoints.add(owner)
                ways.add((node, backend.port))
        ports = {port for _, port in ways}
        port = ports.pop() if len(ports) == 1 else 0
        is_of_one = len(revisions) == 1 and "" not in revisions
        return Served(key, by_node, frozenset(endpoints), frozenset(ways), port, masking, is_of_one)

    def _owners(self, backend: Backend, transport: int, span: Span) -> set[int]:
        """Who had that port, or else that address, while it was behind the Service."""
        lines = self._ownership.timelines(backend.address, backend.port, transport, self._place)
        found = [{one.endpoint for one in line.during(span.from_ns, span.to_ns)} for line in lines]
        return found[0] or found[1]

    def _key(self, address: bytes, port: int, transport: int) -> tuple[ServiceKey | None, Masking]:
        key = self._services.at(address, port, transport)
        if key is None and self._have_hosts(address):
            address = EVERY_HOST
            key = self._services.at(address, port, transport)
        return key, self._services.masking_at(address, port, transport)
