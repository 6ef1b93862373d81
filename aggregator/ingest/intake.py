"""Batches of all hosts, each counted once: definitions learned, ids and times translated. Pure; one thread."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from plumbline.v1.columns import UNNAMED, Columns
from plumbline.v1.flow_pb2 import ENDPOINT_KIND_PROCESS, Batch, Hello, HostStatus

from aggregator.ingest.decoding import Checked, nanoseconds
from aggregator.ingest.portion import Ints, Portion
from aggregator.ingest.sequences import Sequences
from aggregator.ingest.tables import UNKNOWN, Tables, WireIds
from aggregator.records import FOREVER_NS, SECOND_NS, Blind, Endpoint, HostKey, Name, Owned, Status, Told

OTHER, UNKNOWN_COMMAND = "(other)", "(unknown)"
_CLOCK_SAMPLES: Final = 32
# A smaller difference is the way of the batch, not the clock of the host.
_CLOCK_NOISE_NS: Final = 50_000_000
_DEFAULT_INTERVAL_NS: Final = SECOND_NS


@dataclass(slots=True)
class Epoch:
    """One life of one agent. `number` is dense over all epochs, `key` is the agent's own."""

    number: int
    host: int
    key: int
    interval_ns: int = _DEFAULT_INTERVAL_NS
    boot_id: str = ""
    version: str = ""
    sequences: Sequences = field(default_factory=Sequences)
    endpoints: WireIds = field(default_factory=WireIds)
    flows: WireIds = field(default_factory=WireIds)
    names: WireIds = field(default_factory=WireIds)
    clock_samples_ns: list[int] = field(default_factory=list)
    catch_all: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def clock_offset_ns(self) -> int:
        """What to add to the agent's times."""
        offset = min(self.clock_samples_ns, default=0)
        return offset if abs(offset) > _CLOCK_NOISE_NS else 0


class Intake:
    """`current` is the newest epoch of each host. Budgets keep the tables bounded: what is beyond has a catch-all."""

    def __init__(self, tables: Tables, max_flows: int, max_names: int) -> None:
        self.tables = tables
        self.epochs: dict[tuple[int, int], Epoch] = {}
        self.current: dict[int, Epoch] = {}
        self._max_flows, self._max_names = max_flows, max_names
        self._next_epoch = 0

    def hello(self, hello: Hello, received_ns: int, default_cluster: str) -> Epoch:
        """Of a checked hello; one that is known changes nothing but what it says of the agent."""
        host = self.tables.hosts.id(HostKey(hello.cluster or default_cluster, hello.host))
        epoch = self.epoch(host, hello.epoch)
        epoch.interval_ns = max(nanoseconds_of(hello), SECOND_NS // 10)
        epoch.boot_id, epoch.version = hello.boot_id, hello.agent_version
        if hello.HasField("clock"):
            self._sample_clock(epoch, received_ns - nanoseconds(hello.clock))
        self.current[host] = epoch
        return epoch

    def epoch(self, host: int, key: int) -> Epoch:
        known = self.epochs.get((host, key))
        if known is None:
            known = self.epochs[host, key] = Epoch(self._next_epoch, host, key)
            self._next_epoch += 1
        return known

    def restore(self, epochs: list[Epoch], current: dict[int, Epoch], next_epoch: int) -> None:
        self.epochs = {(epoch.host, epoch.key): epoch for epoch in epochs}
        self.current, self._next_epoch = current, next_epoch

    @property
    def next_epoch(self) -> int:
        return self._next_epoch

    def take(self, epoch: Epoch, checked: Checked, received_ns: int) -> Portion | None:
        """None for a batch that was counted before."""
        batch = checked.batch
        if not epoch.sequences.add(batch.sequence):
            return None
        if batch.HasField("sent"):
            self._sample_clock(epoch, received_ns - nanoseconds(batch.sent))
        learning = _Learning(self, epoch, received_ns)
        learning.define(batch)
        clock = learning.clock
        begins, ends = (clock(times) for times in (checked.bucket_from_ns, checked.bucket_to_ns))
        flows = self._columns(epoch, checked.flows, begins, ends, learning.lost)
        requests = self._columns(epoch, checked.requests, begins, ends, learning.lost)
        for name in ("name", "host"):
            requests[name] = _named(epoch, requests[name])
        self._note_use(flows, received_ns)
        status = learning.status(batch)
        times = [int(begins.min())] if len(begins) else [status.time_ns] if status else [received_ns]
        return Portion(
            host=epoch.host,
            epoch=epoch.number,
            received_ns=received_ns,
            begins_ns=min(times[0], received_ns),
            through_ns=status.time_ns if batch.HasField("host_status") and status else 0,
            flows=flows,
            requests=requests,
            new_flows=learning.new_flows,
            changed_endpoints=learning.changed_endpoints,
            owned=learning.owned(batch),
            told=learning.told(batch),
            status=status,
        )

    def _columns(
        self, epoch: Epoch, columns: Columns, begins: Ints, ends: Ints, lost: dict[str, int]
    ) -> dict[str, Ints]:
        if not len(columns["flow"]):
            return {name: np.empty(0, np.int64) for name in (*columns, "from_ns", "to_ns") if name != "bucket"}
        flow = epoch.flows.translate(columns["flow"])
        known = flow != UNKNOWN
        kept = {name: column.astype(np.int64) for name, column in columns.items() if name not in ("bucket", "flow")}
        kept["flow"] = flow
        kept["from_ns"], kept["to_ns"] = begins[columns["bucket"]], ends[columns["bucket"]]
        if known.all():
            return kept
        lost["undefined_flow"] = lost.get("undefined_flow", 0) + int(len(known) - known.sum())
        return {name: column[known] for name, column in kept.items()}

    def _note_use(self, flows: dict[str, Ints], received_ns: int) -> None:
        table, at = self.tables.flows, flows["flow"]
        np.add.at(table.active, at, flows["connections"] + flows["adopted"] - flows["closed"])
        np.bitwise_or.at(table.protocols, at, flows["protocols"])
        table.last_ns[at] = received_ns

    def _sample_clock(self, epoch: Epoch, sample_ns: int) -> None:
        epoch.clock_samples_ns.append(sample_ns)
        del epoch.clock_samples_ns[:-_CLOCK_SAMPLES]

    def flows_left(self) -> bool:
        return len(self.tables.flows) < self._max_flows

    def names_left(self) -> bool:
        return len(self.tables.names) < self._max_names


class _Learning:
    """The definitions of one batch."""

    def __init__(self, intake: Intake, epoch: Epoch, received_ns: int) -> None:
        self._intake, self._epoch, self._received_ns = intake, epoch, received_ns
        self._tables = intake.tables
        self._offset_ns = epoch.clock_offset_ns
        self.lost: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.new_flows: list[int] = []
        self.changed_endpoints: list[int] = []

    def clock(self, times_ns: Ints) -> Ints:
        """By the aggregator's clock; nothing was counted in the future."""
        return np.minimum(times_ns + self._offset_ns, self._received_ns)

    def define(self, batch: Batch) -> None:
        self._define_endpoints(batch)
        for name in batch.names:
            value = Name(int(name.kind), name.text)
            known = self._tables.names.find(value)
            if known == UNKNOWN and self._intake.names_left():
                known = self._tables.names.id(value)
            if known == UNKNOWN:
                known = UNNAMED - 1
                _count(self.dropped, "names_beyond_budget")
            self._epoch.names.put(name.id, known)
        self._define_flows(batch)

    def _define_endpoints(self, batch: Batch) -> None:
        for one in batch.endpoints:
            endpoint = Endpoint(
                self._epoch.host,
                int(one.kind),
                one.pod_uid,
                one.container_id,
                one.unit,
                one.command,
                one.network_namespace,
            )
            known = self._epoch.endpoints.get(one.id)
            if known == UNKNOWN:
                self._epoch.endpoints.put(one.id, self._add_endpoint(endpoint))
            elif self._tables.endpoints[known] != endpoint:
                self._tables.endpoints[known] = endpoint
                self.changed_endpoints.append(known)

    def _define_flows(self, batch: Batch) -> None:
        addresses, flows = self._tables.addresses, self._tables.flows
        for one in batch.flow_definitions:
            endpoint = self._endpoint(one.endpoint)
            known = self._epoch.flows.get(one.id)
            if known == UNKNOWN and not self._intake.flows_left():
                self._epoch.flows.put(one.id, self._catch_all(int(one.role), int(one.transport)))
                _count(self.dropped, "flows_beyond_budget")
                continue
            row = [
                *(endpoint, addresses.id(one.local_address), addresses.id(one.peer_address), one.port),
                *(int(one.role), int(one.transport)),
                *(addresses.id(one.asked_address) if one.asked_address else 0, one.asked_port),
                *(self._epoch.number, self._received_ns, self._received_ns, 0, 0),
            ]
            if known == UNKNOWN:
                known = flows.add(row)
                self._epoch.flows.put(one.id, known)
            elif known in self._epoch.catch_all.values():
                continue
            else:
                row[-4:] = [
                    int(column[known]) for column in (flows.created_ns, flows.last_ns, flows.active, flows.protocols)
                ]
                flows.set(known, row)
            self.new_flows.append(known)

    def owned(self, batch: Batch) -> list[Owned]:
        return [
            Owned(
                endpoint=self._endpoint(one.endpoint),
                address=one.address,
                port=one.port,
                transport=int(one.transport),
                realm=int(one.realm),
                network_namespace=one.network_namespace,
                listening=one.listening,
                from_ns=nanoseconds(getattr(one, "from")) + self._offset_ns,
                to_ns=nanoseconds(one.to) + self._offset_ns if one.HasField("to") else FOREVER_NS,
            )
            for one in batch.ownerships
        ]

    def told(self, batch: Batch) -> list[Told]:
        return [
            Told(self._endpoint(one.endpoint), one.name, tuple(one.addresses), nanoseconds(one.time) + self._offset_ns)
            for one in batch.dns_answers
        ]

    def status(self, batch: Batch) -> Status | None:
        """What the host said, and what ingest itself had to leave out of it."""
        if not batch.HasField("host_status"):
            if not (self.lost or self.dropped):
                return None
            return Status(self._received_ns, self.lost, self.dropped, 1.0, (), ())
        said = self._said(batch.host_status)
        lost, dropped = dict(self.lost), dict(self.dropped)
        for target, counts in ((lost, said.lost), (dropped, said.dropped)):
            for reason, count in counts.items():
                _count(target, reason, count)
        return replace(said, lost=lost, dropped=dropped)

    def _said(self, status: HostStatus) -> Status:
        time_ns = nanoseconds(status.time) + self._offset_ns if status.HasField("time") else self._received_ns
        return Status(
            time_ns=min(time_ns, self._received_ns),
            lost={one.reason: one.count for one in status.lost},
            dropped={one.reason: one.count for one in status.dropped},
            coverage=min(max(status.coverage, 0.0), 1.0),
            blind=tuple(
                Blind(
                    nanoseconds(getattr(one, "from")) + self._offset_ns,
                    nanoseconds(one.to) + self._offset_ns if one.HasField("to") else FOREVER_NS,
                    one.reason,
                )
                for one in status.blind
            ),
            addresses=tuple(status.addresses),
        )

    def _endpoint(self, wire_id: int) -> int:
        known = self._epoch.endpoints.get(wire_id)
        if known == UNKNOWN:
            _count(self.lost, "undefined_endpoint")
            known = self._process(UNKNOWN_COMMAND)
            self._epoch.endpoints.put(wire_id, known)
        return known

    def _catch_all(self, role: int, transport: int) -> int:
        known = self._epoch.catch_all.get((role, transport))
        if known is None:
            row = [
                self._process(OTHER),
                0,
                0,
                0,
                role,
                transport,
                0,
                0,
                self._epoch.number,
                *(self._received_ns,) * 2,
                0,
                0,
            ]
            known = self._epoch.catch_all[role, transport] = self._tables.flows.add(row)
            self.new_flows.append(known)
        return known

    def _process(self, command: str) -> int:
        return self._add_endpoint(Endpoint(self._epoch.host, ENDPOINT_KIND_PROCESS, "", "", "", command, 0))

    def _add_endpoint(self, endpoint: Endpoint) -> int:
        self._tables.endpoints.append(endpoint)
        known = len(self._tables.endpoints) - 1
        self.changed_endpoints.append(known)
        return known


def nanoseconds_of(hello: Hello) -> int:
    """The interval that an agent announced; the usual one when it said none."""
    interval = hello.interval.seconds * SECOND_NS + hello.interval.nanos
    return interval if 0 < interval < 3600 * SECOND_NS else _DEFAULT_INTERVAL_NS


def _named(epoch: Epoch, wire_ids: Ints) -> Ints:
    names = epoch.names.translate(wire_ids)
    return np.where(wire_ids <= UNNAMED, wire_ids, np.where(names == UNKNOWN, UNNAMED, names))


def _count(counts: dict[str, int], reason: str, count: int = 1) -> None:
    counts[reason] = counts.get(reason, 0) + count
