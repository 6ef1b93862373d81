"""Third parties by what requests call them: the target that was given to a proxy, or the Host. Pure."""

from collections.abc import Callable
from typing import TypeAlias

from plumbline.v1 import topology_pb2 as pb

from aggregator.ingest.tables import Tables
from aggregator.records import End
from aggregator.resolve.asking import outside_name
from aggregator.resolve.names import DnsMemory, host_name
from aggregator.resolve.services import Services
from aggregator.resolve.vertices import Ends

# Whether an address, as an endpoint sees it, is or was one of ours.
IsOurs: TypeAlias = Callable[[bytes, int], bool]


class ThirdParties:
    """Of one that was asked for, from any thread. `apart`: ends that were named so, and the proxies on the way: which
    of them a client's flows reach, each request says."""

    def __init__(
        self, tables: Tables, dns: DnsMemory, services: Services, is_ours: IsOurs, ends: Ends, cluster: str
    ) -> None:
        self._tables = tables
        self._dns = dns
        self._services = services
        self._names_version = services.names_version
        self._is_ours = is_ours
        self._ends = ends
        self._cluster = cluster
        self._known: dict[tuple[str, str], int | None] = {}
        self._ours: set[str] = set()  # what was asked for of proxies, and is no third party
        self.apart: list[int] = []
        self._is_apart: set[int] = set()

    def refresh(self) -> None:
        """What Services' names stand for may have changed since they were asked for. From the store's thread."""
        if self._names_version != self._services.names_version:
            self._names_version = self._services.names_version
            for text, source in list(self._known):
                self._known[text, source] = self._made(text, source)

    def named_by_host(self, text: str) -> int | None:
        """The third party behind a Host header, or None when it names none."""
        return self._named(text, "host")

    def behind_proxy(self, one: int, text: str) -> int | None:
        """The third party that a client's flow was to reach; None where the target names none, one of ours, or the
        server itself, as this client was told by DNS."""
        value, name = self._tables.flows.values[one], host_name(text)
        if name in self._ours:
            return None
        is_server = bool(name) and self._dns.was_told(value.endpoint, value.peer_address, name)
        return None if is_server else self._named(text, "proxy")

    def note_proxy(self, one: int, text: str, target: int) -> None:
        """That this flow's `target` was given that target."""
        self._named(text, "host")
        self._named(text, "proxy")
        name, client = host_name(text), self._tables.flows.values[one].endpoint
        if any(self._is_ours(address, client) for address in self._dns.addresses_of(name)):
            self._ours.add(name)
        if self.behind_proxy(one, text) is not None and target >= 0:
            self._put_apart(target)

    def _named(self, text: str, source: str) -> int | None:
        if (text, source) not in self._known:
            self._known[text, source] = self._made(text, source)
        return self._known[text, source]

    def _made(self, text: str, source: str) -> int | None:
        name = outside_name(self._services, host_name(text))
        if not name:
            return None
        third = self._ends.id_of(End(name, pb.NODE_KIND_THIRD_PARTY, name, self._cluster, name_source=source))
        self._put_apart(third)
        return third

    def _put_apart(self, end: int) -> None:
        """Once: it is asked for anew whenever Services' names may stand for something else."""
        if end not in self._is_apart:
            self._is_apart.add(end)
            self.apart.append(end)
