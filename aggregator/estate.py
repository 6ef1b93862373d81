"""Everything the aggregator knows, as one mutable value: batches change it, snapshots are made of it.

No I/O and no clock of its own: the same hellos and batches with the same times give the same estate, so a
journal can be replayed. Whoever calls holds a lock.
"""

import pickle
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.ingest.batches import Ingest, Ingested
from aggregator.ingest.decoding import check_batch, decode
from aggregator.records import FOREVER_NS, End, HostKey, JournalRecord
from aggregator.resolve.ends import Resolved, Resolver, Times
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership, Place
from aggregator.resolve.settling import Settler
from aggregator.settings import Settings
from aggregator.topology.columns import (
    COUNTER,
    FlowRows,
    Rows,
)
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.edge import Drawn
from aggregator.topology.flows import Facts, Flows, Texts, facts_of
from aggregator.topology.graph import add_edges, edges_of, nodes_of, stamp
from aggregator.topology.hosts import hosts_of, understood_shares
from aggregator.topology.hot import HotRows

Ints = npt.NDArray[np.int64]
_CHECKPOINT_FORMAT: Final = 1
_MOST_FIRST_SEEN: Final = 500_000


class Estate:
    """The state of all hosts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ingest = Ingest(settings.max_flows, settings.max_names)
        self._ownership = Ownership(self._place_of)
        self._dns = DnsMemory()
        self._coverage: dict[int, HostCoverage] = {}
        self._hot = HotRows(int(settings.retention_seconds * 1e9))
        self._times = Times()
        self._active = np.zeros(64, np.int64)
        self._protocols = np.zeros(64, np.int64)
        self._first_seen: dict[str, int] = {}
        self._connect()

    def _connect(self) -> None:
        """What can be made anew from the rest, and is not in a checkpoint."""
        inside = tuple(ip_network(text, strict=False) for text in self._settings.inside)
        tables, cluster = self._ingest.tables, self._settings.cluster
        self._resolver = Resolver(tables, self._ownership, self._dns, self._coverage, inside, cluster)
        self._settler = Settler(self._resolver, self._coverage, self._times)
        self._resolved: Resolved | None = None
        self._facts: Facts | None = None
        self._resolved_at: tuple[int, ...] = ()

    # --- what agents say ---

    def hello(self, hello: flow.Hello, received_ns: int) -> int:
        """The highest sequence of this epoch that is known. Raises Refused."""
        named = flow.Hello()
        named.CopyFrom(hello)
        named.cluster = hello.cluster or self._settings.cluster
        host, epoch, is_new = self._ingest.hello(named, received_ns)
        coverage = self._coverage.setdefault(host, HostCoverage())
        if is_new:
            last_ns = coverage.covered[-1][1] if coverage.covered else received_ns
            self._ownership.close(host, last_ns)
            self._close_connections(host)
            coverage.new_epoch(epoch.interval_ns, received_ns)
        coverage.heard(received_ns)
        return epoch.sequences.highest

    def batch(self, key: HostKey, epoch: int, batch: flow.Batch, received_ns: int) -> bool:
        """False when this number was applied before. Raises Refused; then nothing of it is applied."""
        checked = check_batch(batch)
        host = self._ingest.tables.hosts.id_of(HostKey(key.cluster or self._settings.cluster, key.name))
        ingested = self._ingest.batch(host, epoch, checked)
        if ingested is None:
            return False
        self._apply(ingested, received_ns)
        return True

    def replay(self, record: JournalRecord) -> None:
        """One record of the journal. Raises Refused for one that was refused when it came."""
        request = decode(record.payload)
        if request.HasField("hello"):
            self.hello(request.hello, record.received_ns)
        else:
            cluster, _, name = record.host.rpartition("/")
            self.batch(HostKey(cluster, name), record.epoch, request.batch, record.received_ns)

    def _apply(self, one: Ingested, received_ns: int) -> None:
        coverage = self._coverage[one.host]
        coverage.heard(received_ns)
        for from_ns, to_ns in zip(*(span.tolist() for span in one.spans), strict=True):
            coverage.saw(from_ns, to_ns)
        if one.status is not None:
            coverage.saw(one.status.time_ns, one.status.time_ns)
            coverage.status(one.status)
        for owned in one.owned:
            self._ownership.add(owned)
        for told in one.told:
            self._dns.add(told)
        rows = Rows.of(one.flows, one.requests)
        self._note_flows(rows.flows)
        self._times.note(rows.requests.flow, rows.requests.from_ns, rows.requests.to_ns)
        self._hot.add(rows)

    def _note_flows(self, rows: FlowRows) -> None:
        self._grow(len(self._ingest.tables.flows))
        self._times.note(rows.flow, rows.from_ns, rows.to_ns)
        opened = rows.counts[:, COUNTER["connections"]] + rows.counts[:, COUNTER["adopted"]]
        np.add.at(self._active, rows.flow, opened - rows.counts[:, COUNTER["closed"]])
        np.bitwise_or.at(self._protocols, rows.flow, rows.protocols)

    def _close_connections(self, host: int) -> None:
        """What a former agent saw open: the new one finds what still is."""
        tables = self._ingest.tables
        for one, value in enumerate(tables.flows.values[: len(self._active)]):
            if tables.endpoints.values[value.endpoint].host == host:
                self._active[one] = 0

    # --- what readers get ---

    def topology(self, window_ns: int, now_ns: int) -> pb.Topology:
        """Everything of the window, background edges included; its position is left empty."""
        resolved = self._resolve(now_ns)
        oldest_ns, raw = self._hot.since(now_ns - window_ns)
        rows = self._settler.settled(raw, resolved, now_ns)
        resolved = self._resolve(now_ns)  # settling may have made flows
        edges = edges_of(rows, self._flows(resolved), self._texts(), self._is_self)
        self._remember_first(edges)
        topology = pb.Topology(cluster=self._settings.cluster)
        getattr(topology.window, "from").CopyFrom(stamp(min(oldest_ns, now_ns - window_ns)))
        topology.window.to.CopyFrom(stamp(now_ns))
        add_edges(topology, edges)
        listens, listeners = self._listeners(now_ns)
        topology.nodes.extend(nodes_of(edges, resolved.ends, listens, listeners))
        topology.hosts.extend(self._hosts(rows.flows, now_ns))
        return topology

    def _hosts(self, rows: FlowRows, now_ns: int) -> list[pb.Host]:
        tables = self._ingest.tables
        of_endpoint = np.array([endpoint.host for endpoint in tables.endpoints.values], np.int64)
        facts = self._facts_of_flows()
        understood = understood_shares(rows, of_endpoint[facts.endpoint[rows.flow]], len(tables.hosts))
        return hosts_of(tables.hosts.values, self._coverage, understood, self._settings.cluster, now_ns)

    def age(self, now_ns: int) -> None:
        """Lets old rows take less room. To be called every few seconds."""
        resolved = self._resolve(now_ns)
        self._hot.age(now_ns, lambda rows: self._settler.settled(rows, resolved, now_ns))

    def numbers(self) -> dict[str, float]:
        """How much is held, for the aggregator's own metrics."""
        tables = self._ingest.tables
        return {
            "hosts": len(tables.hosts),
            "endpoints": len(tables.endpoints),
            "flows": len(tables.flows),
            "names": len(tables.names),
            "undefined_rows": self._ingest.undefined_rows,
        }

    def checkpoint(self) -> bytes:
        """All of it, for `restore`."""
        held = {name: value for name, value in vars(self).items() if name not in self._MADE_ANEW}
        held["_ownership"] = self._ownership.claims()
        return pickle.dumps((_CHECKPOINT_FORMAT, held))

    @classmethod
    def restore(cls, settings: Settings, content: bytes) -> "Estate":
        """Raises ValueError for a checkpoint of another format. The content must be our own: it is unpickled."""
        number, held = pickle.loads(content)  # noqa: S301 - our own file, behind a checksum
        if number != _CHECKPOINT_FORMAT:
            raise ValueError(f"checkpoint format {number} is not {_CHECKPOINT_FORMAT}")
        estate = cls(settings)
        claims = held.pop("_ownership")
        vars(estate).update(held)
        estate._ownership = Ownership(estate._place_of)
        for claim in claims:
            estate._ownership.add(claim)
        estate._connect()
        return estate

    _MADE_ANEW = frozenset(["_settings", "_resolver", "_settler", "_resolved", "_resolved_at", "_facts", "_ownership"])

    # --- in between ---

    def _resolve(self, now_ns: int) -> Resolved:
        state = (self._ownership.version, self._dns.version, len(self._ingest.tables.flows), self._addresses_known())
        if self._resolved is None or state != self._resolved_at or self._resolved.provisional:
            self._resolved = self._resolver.resolve(self._times, now_ns)
            self._resolved_at = state
        return self._resolved

    def _addresses_known(self) -> int:
        return hash(tuple(sorted((host, known.addresses) for host, known in self._coverage.items())))

    def _flows(self, resolved: Resolved) -> Flows:
        facts = self._facts_of_flows()
        self._grow(len(facts.role))
        return Flows(
            ends=resolved.ends,
            source=resolved.source,
            target=resolved.target,
            vertices=resolved.vertices,
            outside=resolved.outside,
            shared=resolved.shared,
            facts=facts,
            protocols=self._protocols,
            active=self._active,
        )

    def _facts_of_flows(self) -> Facts:
        values = self._ingest.tables.flows.values
        if self._facts is None or len(self._facts.role) != len(values):
            self._facts = facts_of(values)
        return self._facts

    def _grow(self, size: int) -> None:
        missing = size - len(self._active)
        if missing > 0:
            self._active = np.concatenate([self._active, np.zeros(missing + size, np.int64)])
            self._protocols = np.concatenate([self._protocols, np.zeros(missing + size, np.int64)])

    def _texts(self) -> Texts:
        return Texts([name.text for name in self._ingest.tables.names.values], self._resolver.named_by_host)

    def _listeners(self, now_ns: int) -> tuple[dict[str, set[int]], Sequence[End]]:
        ports: dict[str, set[int]] = {}
        ends = []
        for endpoint, some in self._ownership.listening(now_ns).items():
            end = self._resolver.ends.values[self._resolver.end_of(endpoint)]
            ports.setdefault(end.id, set()).update(some)
            ends.append(end)
        return ports, ends

    def _remember_first(self, edges: Sequence[Drawn]) -> None:
        for edge in edges:
            edge.first_ns = min(edge.first_ns, self._first_seen.get(edge.id, FOREVER_NS))
            if edge.id in self._first_seen or len(self._first_seen) < _MOST_FIRST_SEEN:
                self._first_seen[edge.id] = edge.first_ns

    def _is_self(self, end: End) -> bool:
        if end.endpoint < 0:
            return False
        value = self._ingest.tables.endpoints.values[end.endpoint]
        return value.command == "plumb" or value.unit.startswith("plumbline")

    def _place_of(self, endpoint: int) -> Place:
        value = self._ingest.tables.endpoints.values[endpoint]
        return Place(value.host, self._ingest.tables.hosts.values[value.host].cluster, value.network_namespace)
