"""One snapshot of what an estate holds: rows are settled, both ends named, edges and nodes made.

No I/O and no clock of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.ingest.tables import Tables
from aggregator.records import FOREVER_NS, SECOND_NS, End
from aggregator.resolve.ends import Resolved, Resolver
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.past import Past
from aggregator.resolve.settling import Settler
from aggregator.settings import PRIVATE, Settings
from aggregator.topology.columns import FlowRows, Rows
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.edge import Drawn
from aggregator.topology.flows import Facts, Flows, Texts, facts_of
from aggregator.topology.graph import add_edges, edges_of, nodes_of, stamp
from aggregator.topology.hosts import hosts_of, understood_shares
from aggregator.topology.hot import HotRows
from aggregator.topology.lives import Lives

Ints = npt.NDArray[np.int64]
_MOST_FIRST_SEEN: Final = 500_000
_KEPT_PASTS: Final = 2


@dataclass(slots=True)
class FirstSeen:
    """When each edge was first seen, longer than its rows are kept."""

    by_edge: dict[str, int] = field(default_factory=dict)
    dropped: int = 0

    def note(self, edges: Sequence[Drawn]) -> None:
        """Tells the edges, too."""
        for edge in edges:
            edge.first_ns = min(edge.first_ns, self.by_edge.get(edge.id, FOREVER_NS))
            if edge.id in self.by_edge or len(self.by_edge) < _MOST_FIRST_SEEN:
                self.by_edge[edge.id] = edge.first_ns
            else:
                self.dropped += 1


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


class Snapshots:
    """Keeps what it found out about ends until something about them is new."""

    def __init__(self, settings: Settings, held: Held) -> None:
        inside = tuple(ip_network(text, strict=False) for text in (*PRIVATE, *settings.inside))
        self._cluster = settings.cluster
        self._retention_ns = int(settings.retention_seconds * SECOND_NS)
        self._held = held
        self._resolver = Resolver(held.tables, held.ownership, held.dns, held.coverage, inside, settings.cluster)
        self._settler = Settler(self._resolver, held.coverage, held.lives, self._resolve)
        self._resolved: Resolved | None = None
        self._resolved_at: tuple[int, ...] = ()
        self._resolved_ns = 0
        self._facts: Facts | None = None
        self._pasts: dict[int, Past] = {}

    def topology(self, window_ns: int, now_ns: int) -> pb.Topology:
        """Everything of the window, background edges included; its position is left empty."""
        held = self._held
        span = held.hot.since(now_ns - window_ns)
        resolved = self._resolve(now_ns)
        raw = self._past(window_ns).together(
            span, resolved, lambda rows: self._settler.for_good(rows, resolved, now_ns)
        )
        rows = self._settler.for_now(raw, resolved, now_ns)
        protocols, active = self._lives_of_owners(resolved)
        resolved = self._resolve(now_ns)  # settling may have made flows
        edges = edges_of(rows, self._flows(resolved, protocols, active), self._texts(), self._is_self)
        held.first_seen.note(edges)
        topology = pb.Topology(cluster=self._cluster)
        getattr(topology.window, "from").CopyFrom(stamp(min(span.oldest_ns, now_ns - window_ns)))
        topology.window.to.CopyFrom(stamp(now_ns))
        add_edges(topology, edges)
        listens, listeners = self._listeners(now_ns)
        topology.nodes.extend(nodes_of(edges, resolved.ends, listens, listeners))
        topology.hosts.extend(self._hosts(rows.flows, now_ns))
        return topology

    def _past(self, window_ns: int) -> Past:
        """Of the windows that were asked for last."""
        past = self._pasts.pop(window_ns, None) or Past()
        self._pasts[window_ns] = past
        while len(self._pasts) > _KEPT_PASTS:
            del self._pasts[next(iter(self._pasts))]
        return past

    def settled(self, rows: Rows, now_ns: int) -> Rows:
        """Rows that may be merged over time from now on."""
        return self._settler.for_good(rows, self._resolve(now_ns), now_ns)

    def _hosts(self, rows: FlowRows, now_ns: int) -> list[pb.Host]:
        tables = self._held.tables
        of_endpoint = np.array([endpoint.host for endpoint in tables.endpoints.values], np.int64)
        hosts = of_endpoint[self._facts_of_flows().endpoint[rows.flow]]
        understood = understood_shares(rows, hosts, len(tables.hosts))
        return hosts_of(tables.hosts.values, self._present(now_ns), understood, self._cluster, now_ns)

    def _present(self, now_ns: int) -> dict[int, HostCoverage]:
        coverage = self._held.coverage
        return {host: known for host, known in coverage.items() if not known.is_gone(now_ns, self._retention_ns)}

    def _resolve(self, now_ns: int) -> Resolved:
        held, tables = self._held, self._held.tables
        addresses = hash(tuple(sorted((host, known.addresses) for host, known in held.coverage.items())))
        known = (len(tables.flows), held.lives.woken, tables.endpoints.improved, addresses)
        state = (held.ownership.version, held.dns.version, *known)
        before = self._resolved
        if before is None or state != self._resolved_at or (before.provisional and now_ns != self._resolved_ns):
            before = self._resolved = self._resolver.resolve(held.lives, now_ns, before)
            self._resolved_at, self._resolved_ns = state, now_ns
        return before

    def _lives_of_owners(self, resolved: Resolved) -> tuple[Ints, Ints]:
        """Protocols and open connections by flow; where a far address changed hands, with who had it last."""
        lives = self._held.lives
        owners = {
            one: self._resolver.settle_far(one, int(lives.last_ns[one]))
            for one in np.flatnonzero(resolved.moved & lives.awake[: len(resolved.moved)]).tolist()
        }
        lives.grow(len(self._held.tables.flows))
        protocols, active = lives.protocols, lives.active
        if owners:
            protocols, active = protocols.copy(), active.copy()
        for one, owner in owners.items():
            active[owner] = active[one]
            protocols[owner] |= protocols[one]
        return protocols, active

    def _flows(self, resolved: Resolved, protocols: Ints, active: Ints) -> Flows:
        return Flows(
            ends=resolved.ends,
            source=resolved.source,
            target=resolved.target,
            vertices=resolved.vertices,
            outside=resolved.outside,
            shared=resolved.shared,
            facts=self._facts_of_flows(),
            protocols=protocols,
            active=active,
        )

    def _facts_of_flows(self) -> Facts:
        values = self._held.tables.flows.values
        if self._facts is None or len(self._facts.role) != len(values):
            self._facts = facts_of(values, self._facts)
        return self._facts

    def _texts(self) -> Texts:
        return Texts([name.text for name in self._held.tables.names.values], self._resolver.named_by_host)

    def _listeners(self, now_ns: int) -> tuple[dict[str, set[int]], Sequence[End]]:
        ports: dict[str, set[int]] = {}
        ends, present = [], self._present(now_ns)
        for endpoint, some in self._held.ownership.listening(now_ns).items():
            if self._held.tables.endpoints.values[endpoint].host not in present:
                continue
            end = self._resolver.ends.values[self._resolver.end_of(endpoint)]
            ports.setdefault(end.id, set()).update(some)
            ends.append(end)
        return ports, ends

    def _is_self(self, end: End) -> bool:
        if end.endpoint < 0:
            return False
        value = self._held.tables.endpoints.values[end.endpoint]
        return value.command == "plumb" or value.unit.startswith("plumbline")
