"""Client flows that ask a Service: to whom they lead, by which name, and what their servers can tell of them. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection

from aggregator.ingest.tables import Tables
from aggregator.records import AS_TIME_TELLS, FOREVER_NS, NOBODY_KNOWN, Flow, Way, text_of
from aggregator.resolve.asking import Asking
from aggregator.resolve.claimed import Claimed
from aggregator.resolve.hosts import HostAddresses
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.resolved import NOT_SHOWN, Columns, Ints
from aggregator.resolve.services import EVERY_HOST, Masking, Services
from aggregator.resolve.serving import HostGroups, Served, Serving
from aggregator.resolve.vertices import Ends, Ways, service_end


class ServedFlows:
    """`groups` and `names` are what columns refer to. `node_of`: the vertex of an endpoint, `end_of` its end."""

    def __init__(
        self,
        tables: Tables,
        services: Services,
        dns: DnsMemory,
        ownership: Ownership,
        hosts: HostAddresses,
        ends: Ends,
        end_of: Callable[[int], int],
        revision_of: Callable[[int], str],
        cluster: str,
    ) -> None:
        self.groups = HostGroups()
        self.ways = Ways()
        self._tables = tables
        self._services = services
        self._hosts = hosts
        self._ends = ends
        self._end_of = end_of
        self._cluster = cluster
        self._claimed = Claimed(tables, ownership)
        self._serving = Serving(services, ownership, cluster, self._node_of, hosts.have, revision_of)
        self._asking = Asking(services, self._serving, dns)
        self._served: dict[int, Served] = {}
        self._of_many: set[int] = set()  # of these, those that may have met several

    def resolve(self, found: Columns, one: int) -> bool:
        """False where it asks at no Service's address: then all but its port is still to be found."""
        value = self._tables.flows.values[one]
        found.port[one] = value.port
        is_open = value.far_endpoint in (AS_TIME_TELLS, NOBODY_KNOWN)
        served = self._serving.of(value) if self._is_near(value) and is_open else None
        found.elsewhere[one] = False
        self.forget(one)
        if served is None:
            return False
        self._served[one] = served
        if served.by_node and not served.is_certain and value.far_endpoint == AS_TIME_TELLS:
            self._of_many.add(one)
        found.until_ns[one], found.moved[one] = FOREVER_NS, False
        found.far[one] = found.far_host[one] = found.met[one] = NOT_SHOWN
        if value.far_endpoint == NOBODY_KNOWN or not served.by_node:
            found.target[one] = self._ends.id_of(service_end(served.key, self._cluster))
        else:
            self._lead(found, one, served)
        return True

    def _lead(self, found: Columns, one: int, served: Served) -> None:
        """To the one node behind it. Which of several it was, the servers' own rows tell."""
        if not served.is_certain:
            found.target[one], found.elsewhere[one] = NOT_SHOWN, True
            return
        if self.groups.is_full:
            self.groups.keep({int(found.far_host[each]) for each in self._served})
        endpoints = self._tables.endpoints.values
        found.far[one] = endpoint = next(iter(served.by_node.values()))
        found.target[one], found.port[one] = self._end_of(endpoint), served.port
        found.met[one] = endpoint if served.is_of_one_revision else NOT_SHOWN
        found.far_host[one] = self.groups.id_of(frozenset(endpoints[each].host for each in served.endpoints))

    def name_ways(self, found: Columns, one: int) -> None:
        """By which names it asks; after its target is found."""
        value, target = self._tables.flows.values[one], int(found.target[one])
        translated = self._translated(one, value)
        if self._is_near(value):
            is_ours = target >= 0 and self._ends.values[target].endpoint >= 0
            node = self._ends.vertices[target] if is_ours else -1
            found.via[one] = self.ways.of(self._asking.ways(value, translated, node))
        else:
            found.via[one] = self.ways.of((Way(translated, False),) if translated else ())

    def _is_near(self, value: Flow) -> bool:
        return self._claimed.place(value.endpoint).cluster == self._cluster

    def _translated(self, one: int, value: Flow) -> str:
        """What a client asked for where that was another address than the one that answered."""
        if one in self._served:
            return self._served[one].name
        if not any(value.asked_address):
            return ""
        name = self._serving.name_at(value.asked_address, value.asked_port, value.transport)
        return name or f"{text_of(value.asked_address)}:{value.asked_port}"

    def asked_by(self, via: Ints) -> dict[tuple[int, int, int], frozenset[int]]:
        """By client's node, server's node and port: the ways by which clients asked that may have met others."""
        found: defaultdict[tuple[int, int, int], set[int]] = defaultdict(set)
        for one in self._of_many:
            source = self._node_of(self._tables.flows.values[one].endpoint)
            for node, port in self._served[one].ways:
                found[source, node, port].add(int(via[one]))
        return {way: frozenset(ways) for way, ways in found.items()}

    def of(self, one: int) -> Served | None:
        """Who answers a client's flow that asks a Service."""
        return self._served.get(one)

    def _node_of(self, endpoint: int) -> int:
        return self._ends.vertices[self._end_of(endpoint)]

    def is_own(self, one: int) -> bool:
        """Whether it may be led back to whom it is of: then its server sees a host, too."""
        served = self._served.get(one)
        return served is not None and self._node_of(self._tables.flows.values[one].endpoint) in served.by_node

    def masking(self, one: int) -> Masking:
        """Whether its server's end sees a host instead of it."""
        served = self._served.get(one)
        return served.masking if served is not None else Masking.NEVER

    def forget(self, one: int) -> None:
        self._served.pop(one, None)
        self._of_many.discard(one)

    def of_endpoints(self, endpoints: Collection[int]) -> list[int]:
        """Flows that one of these may answer."""
        if not endpoints:
            return []
        return [one for one, served in self._served.items() if not served.endpoints.isdisjoint(endpoints)]

    def take_changed(self, owned: set[bytes]) -> set[bytes]:
        """Addresses that clients ask and that may lead elsewhere by now: `owned` are those that others have by now."""
        self._serving.forget()
        asked = self._services.in_front_of(owned) | self._services.take_changed()
        asked |= self._asking.addresses_of(self._services.take_renamed())
        return asked | self._hosts.addresses() if EVERY_HOST in asked else asked
