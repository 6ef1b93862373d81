"""What an estate holds, as a snapshot looks at it: both ends of every flow, who listens, which hosts there are.

No I/O and no clock of its own. Used from the store's thread, but where a method says otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.addresses import PRIVATE, network

from aggregator.ingest.tables import Tables
from aggregator.records import SECOND_NS, End
from aggregator.resolve.ends import Resolver
from aggregator.resolve.holders import Said
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import NO_HOST, Place
from aggregator.resolve.podnames import PodNames
from aggregator.resolve.presence import Presence
from aggregator.resolve.resolved import Resolved
from aggregator.resolve.services import Services
from aggregator.resolve.settling import Settler, Settling
from aggregator.settings import Settings
from aggregator.topology.background import Background, Surroundings
from aggregator.topology.columns import RequestRows
from aggregator.topology.coverage import Covered, HostCoverage
from aggregator.topology.events import Events
from aggregator.topology.firstseen import FirstSeen
from aggregator.topology.flows import Facts, Flows, Texts, facts_of
from aggregator.topology.hosts import hosts_of
from aggregator.topology.hot import HotRows
from aggregator.topology.lives import Lives
from aggregator.topology.lookups import is_among
from aggregator.topology.usage import Usage

Ints = npt.NDArray[np.int64]
# So many take some 0.1 s.
_RESOLVED_AT_ONCE: Final = 10_000
# Names that a client had found at a resolver, by which it is known later that they are gone.
MOST_ANSWERED: Final = 200_000


@dataclass(slots=True)
class Around:
    """What the cluster's API tells beside names. It is not kept: it is told anew when the watch begins."""

    value: Surroundings = field(default_factory=Surroundings)


@dataclass(frozen=True, slots=True)
class Held:
    """What snapshots are made of; each part is changed by the estate."""

    tables: Tables
    ownership: Ownership
    dns: DnsMemory
    coverage: dict[int, HostCoverage]
    hot: HotRows
    lives: Lives
    first_seen: FirstSeen
    pods: PodNames
    services: Services
    events: Events
    usage: Usage
    around: Around

    def counts(self) -> dict[str, int]:
        """How many of what. From any thread."""
        return {
            "hosts": len(self.tables.hosts),
            "endpoints": len(self.tables.endpoints),
            "flows": len(self.tables.flows),
            "names": len(self.tables.names),
            "definitions": self.tables.definitions(),
            "claims": len(self.ownership),
            "dns_answers": len(self.dns),
            "pods": len(self.pods),
            "service_backends": len(self.services),
            "events": len(self.events),
            "usage_rows": len(self.usage),
        }

    def dropped(self) -> dict[str, int]:
        """What found no room, by reason. From any thread."""
        return {
            "claims_full": self.ownership.dropped,
            "addresses_full": self.ownership.forgotten,
            "dns_answers_full": self.dns.dropped,
            "first_seen_full": self.first_seen.dropped,
            "pods_full": self.pods.dropped,
            "service_backends_full": self.services.dropped,
            "events_full": self.events.dropped,
            "usage_full": self.usage.dropped,
        }


class Looks:
    """Keeps what it found out until something about it is new."""

    def __init__(self, settings: Settings, held: Held) -> None:
        inside = tuple(network(text) for text in (*PRIVATE, *settings.inside))
        self._cluster = settings.cluster
        self._retention_ns = int(settings.retention_seconds * SECOND_NS)
        self._held = held
        self.presence = Presence(held.hot.flow_rows)
        self.resolver = Resolver(
            held.tables,
            held.ownership,
            held.dns,
            held.coverage,
            inside,
            settings.cluster,
            self.presence,
            held.pods,
            held.services,
            self._retention_ns,
        )
        self.settler = Settler(self.resolver, held.lives, self.resolved)
        self._resolved: Resolved | None = None
        self._resolved_at: tuple[int, ...] = ()
        self._resolved_ns = 0
        self._facts: Facts | None = None
        self._endpoint_hosts = np.empty(0, np.int64)
        self._is_target = np.empty(0, np.bool_)  # of each name
        self._were_there = np.empty(0, np.int64)

    def resolved(self, now_ns: int) -> Resolved:
        held, tables = self._held, self._held.tables
        hosts = hash(tuple(sorted((host, one.interval_ns, one.addresses) for host, one in held.coverage.items())))
        known = (len(tables.flows), held.lives.woken, held.lives.slept, tables.endpoints.improved, hosts)
        state = (held.ownership.version, held.dns.version, held.pods.version, held.services.version, *known)
        before = self._resolved
        if (
            before is None
            or state != self._resolved_at
            or (before.provisional and now_ns != self._resolved_ns)
            or self.resolver.is_due(held.lives)
        ):
            before = self._resolved = self.resolver.resolve(held.lives, now_ns)
            self._resolved_at, self._resolved_ns = state, now_ns
        return before

    def resolve_some(self, now_ns: int) -> bool:
        """Of a table that is new as a whole; whether more are left."""
        return self.resolver.resolve_some(self._held.lives, now_ns, _RESOLVED_AT_ONCE)

    def flows(self, now_ns: int) -> tuple[Resolved, Flows]:
        """A value: what changes later does not show in it."""
        protocols, active = self._lives_of_owners(self.resolved(now_ns), now_ns)
        resolved = self.resolved(now_ns)  # looking for owners may have made flows
        return resolved, Flows(
            ends=resolved.ends,
            source=resolved.source,
            target=resolved.target,
            vertices=resolved.vertices,
            outside=resolved.outside,
            shared=resolved.shared,
            port=resolved.port,
            via=resolved.via,
            ways=resolved.ways,
            by_host=resolved.by_host,
            near=resolved.near,
            asked_by=resolved.asked_by,
            met=resolved.met,
            revisions=resolved.revisions,
            facts=self._facts_of_flows(),
            protocols=protocols,
            active=active,
        )

    def _lives_of_owners(self, resolved: Resolved, now_ns: int) -> tuple[Ints, Ints]:
        """Protocols and open connections by flow; where a far address changed hands, with who had it last."""
        lives = self._held.lives
        owners = {
            one: self.resolver.settle_far(
                one, Said(int(lives.last_ns[one]), int(lives.last_ns[one]), True, False), now_ns
            )[0]
            for one in np.flatnonzero(resolved.moved & lives.awake[: len(resolved.moved)]).tolist()
        }
        lives.grow(len(self._held.tables.flows))
        protocols, active = lives.protocols.copy(), lives.active.copy()
        for one, owner in owners.items():
            active[owner] = active[one]
            protocols[owner] |= protocols[one]
        return protocols, active

    def _facts_of_flows(self) -> Facts:
        values = self._held.tables.flows.values
        if self._facts is None or len(self._facts.role) != len(values):
            self._facts = facts_of(values, self._facts)
        return self._facts

    def name_hosts(self, rows: RequestRows, flows: Flows) -> None:
        """Whom these name: after it `texts` knows them."""
        self.resolver.third_parties.refresh()
        hosts, names, is_target = rows.key("host"), self._held.tables.names.values, self.is_target()
        for host in np.unique(hosts[flows.outside[rows.flow]]).tolist() if flows.outside.any() else ():
            self.resolver.third_parties.named_by_host(names[host].text)
        at = np.flatnonzero(is_target[hosts])
        for one, host in set(zip(rows.flow[at].tolist(), hosts[at].tolist(), strict=True)):
            self.resolver.third_parties.note_proxy(one, names[host].text, int(flows.target[one]))

    def is_target(self) -> npt.NDArray[np.bool_]:
        """Of each name, whether a request's target said it."""
        known = self._is_target
        more = [name.kind == flow.NAME_KIND_TARGET for name in self._held.tables.names.values[len(known) :]]
        self._is_target = np.concatenate([known, np.array(more, np.bool_)]) if more else known
        return self._is_target

    def texts(self) -> Texts:
        """From any thread."""
        third = self.resolver.third_parties
        names = self._held.tables.names.values
        return Texts(names, third.named_by_host, self._is_target, third.behind_proxy, self._were_there)

    def note_answers(self, asked: Ints) -> None:
        """Names that DNS has told of, as `lookups.asked` codes them; of too many, the last ones."""
        if (new := asked[~is_among(asked, self._were_there)]).size:
            known = np.union1d(self._were_there, new)
            self._were_there = known if len(known) <= MOST_ANSWERED else np.unique(new)[:MOST_ANSWERED]

    def endpoint_hosts(self) -> Ints:
        """The host of each endpoint."""
        known, values = self._endpoint_hosts, self._held.tables.endpoints.values
        if len(known) < len(values):
            more = np.array([endpoint.host for endpoint in values[len(known) :]], np.int64)
            self._endpoint_hosts = np.concatenate([known, more])
        return self._endpoint_hosts

    def ends_of(self, endpoints: Sequence[int]) -> list[End]:
        return [self.resolver.ends.values[self.resolver.end_of(one)] for one in endpoints]

    def containers_of(self, endpoints: Sequence[int]) -> list[str | None]:
        """What each is called in its pod, "" where that is not known; None for what is in none, or in one of others."""
        found = []
        for one in endpoints:
            value = self._held.tables.endpoints.values[one]
            pod = self.resolver.pod_of(value)
            found.append(None if pod is None else dict(pod.containers).get(value.container_id, ""))
        return found

    def host_count(self) -> int:
        return len(self._held.tables.hosts)

    def hosts(self, understood: Sequence[float], now_ns: int) -> list[pb.Host]:
        """`understood` by host id; 1 for one that came later."""
        share = [*understood, *(1.0 for _ in range(self.host_count() - len(understood)))]
        return hosts_of(self._held.tables.hosts.values, self._present(now_ns), share, self._cluster, now_ns)

    def _present(self, now_ns: int) -> dict[int, HostCoverage]:
        coverage = self._held.coverage
        return {host: known for host, known in coverage.items() if not known.is_gone(now_ns, self._retention_ns)}

    def settling(self, now_ns: int) -> Settling:
        """For rows that are kept: by what is known of all flows and hosts at this moment."""
        return Settling(self.settler, self.resolved(now_ns), self.coverage(), now_ns)

    def coverage(self) -> Mapping[int, Covered]:
        """A value; groups of hosts too."""
        hosts = {host: known.as_of_now() for host, known in self._held.coverage.items()}
        return {**hosts, **self.resolver.served.groups.coverage(hosts)}

    def listeners(self, now_ns: int) -> tuple[dict[str, set[int]], Sequence[End]]:
        """Ports by node id, and all that listens."""
        ports: dict[str, set[int]] = {}
        ends, present = [], self._present(now_ns)
        for endpoint, some in self._held.ownership.listening(now_ns).items():
            if self._held.tables.endpoints.values[endpoint].host not in present:
                continue
            end = self.resolver.ends.values[self.resolver.end_of(endpoint)]
            ports.setdefault(end.id, set()).update(some)
            ends.append(end)
        return ports, ends

    def background(self, now_ns: int) -> Background:
        """What of it is no use of a node. A value."""
        around, place = self._held.around.value, Place(NO_HOST, self._cluster, 0)
        owners = (
            self._held.ownership.timelines(address, port, flow.TRANSPORT_TCP, place)[0].at(now_ns)
            for address, port in around.keepers
        )
        ends = {self.resolver.ends.values[self.resolver.end_of(one)].id for one in owners if one is not None}
        return Background(self._is_self, frozenset(ends), around)

    def _is_self(self, end: End) -> bool:
        """From any thread."""
        return end.endpoint >= 0 and self.is_own(end.endpoint)

    def is_own(self, endpoint: int) -> bool:
        """Whether it is Plumbline's; from any thread."""
        value = self._held.tables.endpoints.values[endpoint]
        pod = self.resolver.pod_of(value)
        is_pod = pod is not None and pod.workload in self._held.around.value.our_own
        return is_pod or value.command == "plumb" or value.unit.startswith("plumbline")
