"""Both ends of every flow: the local one by its identity, the far one by who owned its address at that time."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.addresses import MANY

from aggregator.ingest.tables import Tables
from aggregator.records import (
    AS_TIME_TELLS,
    CLIENT,
    FOREVER_NS,
    NOBODY_KNOWN,
    SERVER,
    TOLD_ELSEWHERE,
    End,
    Endpoint,
    Flow,
)
from aggregator.resolve.callers import Callers
from aggregator.resolve.claimed import Claimed
from aggregator.resolve.contested import ContestedFlows
from aggregator.resolve.fresh import Fresh
from aggregator.resolve.holders import Holders, Said
from aggregator.resolve.hosts import HostAddresses
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.podnames import PodNames
from aggregator.resolve.presence import Presence
from aggregator.resolve.resolved import NOT_SHOWN, Bools, Columns, Resolved
from aggregator.resolve.revisions import PodRevisions
from aggregator.resolve.seen import Seen
from aggregator.resolve.served import ServedFlows
from aggregator.resolve.services import Services
from aggregator.resolve.strangers import Network, Strangers
from aggregator.resolve.thirdparties import ThirdParties
from aggregator.resolve.vertices import Ends, named_end, one_of_many
from aggregator.resolve.workloads import PodName
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.lives import Lives


class Resolver:
    """Answers are kept until something is new about what they were made of."""

    def __init__(
        self,
        tables: Tables,
        ownership: Ownership,
        dns: DnsMemory,
        coverage: Mapping[int, HostCoverage],
        inside: Sequence[Network],
        cluster: str,
        presence: Presence,
        pods: PodNames,
        services: Services,
        retention_ns: int,
    ) -> None:
        self._tables = tables
        self._ownership = ownership
        self._dns = dns
        self._strangers = Strangers(ownership, dns, services, inside, cluster)
        self._cluster = cluster
        self.ends = Ends()
        self._end_of_endpoint: dict[int, int] = {}
        self._values: dict[int, Endpoint] = {}  # of the same, as they were then
        self._columns = Columns.of(0)
        self._seen = Seen(tables)
        self._claimed = Claimed(tables, ownership)
        self.third_parties = ThirdParties(tables, dns, services, self._claimed.is_ours, self.ends, cluster)
        self._answering: dict[int, list[int]] = {}  # by client flow, nodes that had its far address in turn
        self._hosts = HostAddresses(tables, coverage, cluster)
        self._improved = 0
        self._pods = pods
        self.served = ServedFlows(
            tables, services, dns, ownership, self._hosts, self.ends, self.end_of, self._revision_of, cluster
        )
        self._revisions = PodRevisions(tables, self._revision_of, self._node_of)
        self._fresh = Fresh(tables, coverage)
        self._callers = Callers(
            tables,
            self.ends,
            self.end_of,
            self._claimed,
            self._hosts,
            services,
            self.served,
            self._strangers,
            self._fresh,
            cluster,
        )
        self._contested = ContestedFlows(
            tables, ownership, presence, self._node_of, self._claimed.place, self.served.of
        )
        self._holders = Holders(self._contested, coverage, presence, self._node_of, retention_ns)

    @property
    def flows_known(self) -> int:
        return len(self._tables.flows)

    def end_of(self, endpoint: int) -> int:
        known = self._end_of_endpoint.get(endpoint)
        if known is None:
            known = self._end_of_endpoint[endpoint] = self.ends.id_of(self._named(endpoint))
            self._values[endpoint] = self._tables.endpoints.values[endpoint]
        return known

    def _named(self, endpoint: int) -> End:
        value = self._tables.endpoints.values[endpoint]
        return named_end(value, endpoint, self._tables.hosts.values[value.host], self._cluster, self.pod_of(value))

    def pod_of(self, value: Endpoint) -> PodName | None:
        """What its pod is part of, if it is in one of this cluster's and that is known."""
        is_ours = value.pod_uid and self._tables.hosts.values[value.host].cluster == self._cluster
        return self._pods.of(value.pod_uid) if is_ours else None

    def _revision_of(self, endpoint: int) -> str:
        """What its pod is marked with, "" for none."""
        pod = self.pod_of(self._tables.endpoints.values[endpoint])
        return pod.revision if pod is not None else ""

    def settle_far(self, one: int, said: Said, now_ns: int) -> tuple[int, bool]:
        """The flow id that says whose the far address was in that row, and whether that is certain for good."""
        verdict = self._holders.whose(one, said, now_ns)
        value = self._tables.flows.values[one]
        return self._tables.flows.id_of(value._replace(far_endpoint=verdict.holder)), verdict.final

    def unanswered(self, one: int) -> int:
        """The flow of what nobody answered to a client of a Service: it is with the Service."""
        return self._tables.flows.id_of(self._tables.flows.values[one]._replace(far_endpoint=NOBODY_KNOWN))

    def is_due(self, lives: Lives) -> bool:
        """Whether a flow has gone on beyond the time for which its answer was found."""
        until_ns = self._columns.until_ns
        return bool((lives.awake[: len(until_ns)] & (lives.last_ns[: len(until_ns)] >= until_ns)).any())

    def resolve_some(self, lives: Lives, now_ns: int, most: int) -> bool:
        """The next ones, that many; whether there are more."""
        self._resolve(lives, now_ns, min(len(self._columns.source) + most, self.flows_known))
        return len(self._columns.source) < self.flows_known

    def resolve(self, lives: Lives, now_ns: int) -> Resolved:
        """Of those that are awake, anew where something about them is; for the others what was found before stays."""
        return self._resolve(lives, now_ns, self.flows_known)

    def _resolve(self, lives: Lives, now_ns: int, size: int) -> Resolved:
        """`size`: of the first ones, all that were resolved before among them."""
        flows = self._tables.flows.values
        lives.grow(size)
        awake = lives.awake[:size].copy()
        self._fresh.look(now_ns)
        found = self._columns = self._columns.grown(size)
        dirty = self._dirty(lives, awake)
        for one in dirty:
            if flows[one].role == CLIENT:
                self._resolve_client(found, one, lives)
            elif flows[one].far_endpoint == AS_TIME_TELLS:
                found.moved[one] = self._claimed.has_moved(flows[one])
        self._index_holders(found, awake)
        touched = self._callers.callings.take_touched()
        for one in self._callers.callings.flows(touched):
            found.shared[one] = self._callers.is_shared(one)
        for one in self._callers.callings.askers(touched) | {one for one in dirty if flows[one].role == SERVER}:
            self._resolve_server(found, one, lives)
        return Resolved(
            self.ends.values,
            self.ends.vertices,
            found.source,
            found.target,
            found.met,
            found.far_host,
            found.port,
            found.via,
            self.served.ways.values,
            found.by_host,
            found.near,
            self.served.asked_by(found.via),
            found.outside,
            found.moved,
            found.elsewhere,
            found.shared | found.in_turn,
            self._revisions.value,
            bool(self._fresh.flows),
        )

    def _index_holders(self, found: Columns, awake: Bools) -> None:
        """Of addresses that changed hands."""
        moved = np.flatnonzero(found.moved & awake).tolist()
        in_turn = self._contested.index(moved, np.flatnonzero(awake).tolist() if moved else ())
        found.in_turn[:] = False
        found.in_turn[in_turn] = True
        before, self._answering = self._answering, dict(self._contested.answering())
        for one in {*before, *self._answering}:
            if awake[one]:
                self._callers.note_client(found, one, self._answering.get(one, ()))

    def _dirty(self, lives: Lives, awake: Bools) -> list[int]:
        """Flows that are awake and must be looked at."""
        found, seen = self._columns, self._seen
        woke, slept = seen.note(awake)
        for one in slept:
            self._callers.forget(one)
            self._fresh.flows.discard(one)
            self.served.forget(one)
        hosts_own, hosts = self._hosts.take_changed()
        owned = self._ownership.take_changed()
        addresses = owned | self.served.take_changed(owned) | self._dns.take_changed() | hosts_own
        which = {*woke, *self._fresh.flows, *self._of_renamed(), *seen.of_peers(addresses), *self._of_hosts(hosts)}
        which.update(np.flatnonzero(awake & (lives.last_ns[: len(awake)] >= found.until_ns)).tolist())
        return sorted(one for one in which if awake[one])

    def _of_renamed(self) -> list[int]:
        """Flows of endpoints that are called otherwise by now, or known to be in another network namespace."""
        pods, values = self._pods.take_changed(), self._tables.endpoints.values
        are_better, self._improved = self._improved != self._tables.endpoints.improved, self._tables.endpoints.improved
        known = self._values.items() if are_better or pods else ()
        # All that are known are many: of most it is enough that they are the same.
        asked = [(one, was) for one, was in known if values[one] is not was or was.pod_uid in pods]
        renamed = {
            one
            for one, was in asked
            if self.ends.values[self._end_of_endpoint[one]] != self._named(one)
            or values[one].network_namespace != was.network_namespace
        }
        for endpoint in renamed:
            del self._end_of_endpoint[endpoint], self._values[endpoint]
        self._values.update((one, values[one]) for one, _ in asked if one not in renamed)
        self._revisions.refresh(pods, are_better)
        return [*self._seen.of_endpoints(renamed, self._columns.far), *self.served.of_endpoints(renamed)]

    def _of_hosts(self, hosts: Collection[int]) -> list[int]:
        """Flows of their endpoints."""
        values = self._tables.endpoints.values if hosts else ()
        endpoints = [one for one, value in enumerate(values) if value.host in hosts]
        return self._seen.of_endpoints(endpoints, self._columns.far)

    def _resolve_client(self, found: Columns, one: int, lives: Lives) -> None:
        value = self._tables.flows.values[one]
        self._fresh.flows.discard(one)
        found.source[one] = self.end_of(value.endpoint)
        found.outside[one] = False
        if not self.served.resolve(found, one):
            self._resolve_target(found, one, value, lives)
        self.served.name_ways(found, one)
        self._callers.note_client(found, one, self._answering.get(one, ()))

    def _resolve_target(self, found: Columns, one: int, value: Flow, lives: Lives) -> None:
        owner = self._owned(found, one, value, int(lives.last_ns[one]))
        if value.peer_address == MANY:
            found.target[one] = self.ends.id_of(one_of_many(value.port, self._cluster))
        elif value.far_endpoint == TOLD_ELSEWHERE:
            found.target[one] = NOT_SHOWN
        elif owner is not None:
            found.target[one] = self.end_of(owner)
        elif (host := self._hosts.behind(value.peer_address, self._claimed.place(value.endpoint))) is not None:
            found.target[one] = self.ends.id_of(host)
        elif self._strangers.is_inside(value.peer_address, self._claimed.place(value.endpoint)):
            if self._fresh.may_be_claimed(value, int(lives.first_ns[one])):
                found.target[one] = NOT_SHOWN
                self._fresh.flows.add(one)
                return
            found.target[one] = self.ends.id_of(self._strangers.bare(value.peer_address, pb.NODE_KIND_UNRESOLVED))
        else:
            found.outside[one] = True
            found.target[one] = self.ends.id_of(self._strangers.outside(value))

    def _resolve_server(self, found: Columns, one: int, lives: Lives) -> None:
        value = self._tables.flows.values[one]
        self._fresh.flows.discard(one)
        found.target[one] = self.end_of(value.endpoint)
        found.port[one] = value.port
        owner = self._owned(found, one, value, int(lives.last_ns[one]))
        self._callers.resolve(found, one, owner, int(lives.first_ns[one]))

    def _owned(self, found: Columns, one: int, value: Flow, time_ns: int) -> int | None:
        """Whose the far end is, where it is one of ours."""
        is_settled = value.far_endpoint != AS_TIME_TELLS
        owner = self._claimed.owner(value, time_ns) if not is_settled else max(value.far_endpoint, NOT_SHOWN)
        owner = None if owner == NOT_SHOWN else owner
        found.until_ns[one] = FOREVER_NS if is_settled else self._claimed.steady_until(value, time_ns)
        found.moved[one] = not is_settled and self._claimed.has_moved(value)
        found.far[one] = NOT_SHOWN if owner is None else owner
        found.far_host[one] = NOT_SHOWN if owner is None else self._tables.endpoints.values[owner].host
        found.met[one] = NOT_SHOWN if owner is None or not self._is_met(found, one, value, owner) else owner
        return owner

    def _is_met(self, found: Columns, one: int, value: Flow, owner: int) -> bool:
        """Whether it is that very pod. A settled flow is of a node, of which several pods may have had the address."""
        if value.far_endpoint == AS_TIME_TELLS:
            return not found.moved[one]
        others = (each for each in self._claimed.holders(value) if self._node_of(each) == self._node_of(owner))
        return len({self._tables.holder_of(each) for each in others}) <= 1

    def _node_of(self, endpoint: int) -> int:
        return self.ends.vertices[self.end_of(endpoint)]
