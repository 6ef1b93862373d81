"""Hellos and batches into rows. A message that cannot be used is refused with its reason, whole."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1.addresses import MANY

from aggregator.ingest.decoding import Checked, check_batch, check_hello, nanoseconds
from aggregator.ingest.readings import owned_of, status_of, told_of
from aggregator.ingest.tables import Epoch, Tables
from aggregator.records import SECOND_NS, Endpoint, Flow, HostKey, Name, Owned, Refused, Status, Told

Array = npt.NDArray[np.int64]
FIXED_NAMES = {wire.NO_NAME: "", wire.OTHER_NAME: "(other)", wire.UNNAMED: "(unnamed)"}


@dataclass(frozen=True, slots=True)
class Ingested:
    """One batch in the aggregator's own ids and times. Columns are int64; `bucket` became from_ns and to_ns."""

    host: int
    spans: tuple[Array, Array]  # from and to of every bucket, also of those without a row
    flows: dict[str, Array]
    requests: dict[str, Array]
    resources: dict[str, Array]
    owned: list[Owned] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    status: Status | None = None
    is_gap: bool = False  # something before it was lost on the way to the disk, or on it
    missing: int = 0  # how many batches before it: of those the agent does not know


class Ingest:
    """Applies what agents send, in order, each number once."""

    def __init__(self, max_flows: int, max_names: int, max_endpoints: int) -> None:
        self.tables = Tables()
        self.dropped: Counter[str] = Counter()  # what was given up, by reason
        self._undirected = np.zeros(64, np.bool_)  # by flow id; what is not in it is not
        self._max_flows = max_flows
        self._max_names = max_names
        self._max_endpoints = max_endpoints

    def restore(self, tables: Tables, dropped: Counter[str]) -> None:
        """What another start had: the tables say all of the rest."""
        self.tables, self.dropped = tables, dropped
        self._undirected = np.array([one.role == pb.ROLE_UNSPECIFIED for one in tables.flows.values], np.bool_)

    def hello(self, hello: pb.Hello, received_ns: int) -> tuple[int, Epoch, bool]:
        """(host id, its epoch, whether this epoch is new). Raises Refused."""
        check_hello(hello)
        host = self.tables.hosts.id_of(HostKey(hello.cluster, hello.host))
        present = self.tables.epochs.get(host)
        offset = received_ns - nanoseconds(hello.clock) if hello.HasField("clock") else 0
        if present is not None and present.number == hello.epoch:
            if hello.HasField("clock"):
                present.heard(nanoseconds(hello.clock), received_ns)
            present.greeted = True
            return host, present, False
        epoch = Epoch(
            hello.epoch, hello.boot_id, max(hello.interval.seconds * SECOND_NS + hello.interval.nanos, 1), offset
        )
        if present is not None and (hello.continues_epoch, hello.boot_id) == (present.number, present.boot_id):
            # The clock is the same, and the seam must not show.
            epoch.continues, epoch.clock_offset_ns = True, present.clock_offset_ns
            epoch.heard(nanoseconds(hello.clock), received_ns)
        for number, text in FIXED_NAMES.items():
            epoch.names.define(number, self.tables.names.id_of(Name(0, text)))
        self.tables.epochs[host] = epoch
        return host, epoch, True

    def batch(
        self, host: int, epoch_number: int, checked: Checked, received_ns: int, is_replay: bool = False
    ) -> Ingested | None:
        """None for a batch that was applied before. Raises Refused."""
        batch = checked.batch
        epoch = self.tables.epochs.get(host)
        if epoch is None or epoch.number != epoch_number:
            raise Refused("epoch_unknown", "A batch came before its agent's hello.")
        if batch.sequence in epoch.sequences:
            return None
        was_asked = epoch.definitions_lost
        is_gap, missing = epoch.gap_before(batch.sequence)
        self._define(host, epoch, batch)
        self._note_sequence(epoch, batch.sequence)
        if batch.flows.flow and not is_replay:
            epoch.definitions_lost = False  # they came before: its agent was asked when it connected
            if was_asked:
                epoch.told_again()
        if batch.HasField("sent"):
            epoch.heard(nanoseconds(batch.sent), received_ns)
        offset = epoch.clock_offset_ns
        # Nothing has happened after it was told.
        from_ns, to_ns = checked.bucket_from_ns + offset, checked.bucket_to_ns + offset
        spans = (np.minimum(from_ns, received_ns), np.minimum(to_ns, received_ns))
        return Ingested(
            host=host,
            spans=spans,
            flows=_timed(self._flow_ids(epoch, checked.flows), spans),
            requests=_timed(self._request_ids(epoch, checked.requests), spans),
            resources=_timed(self._endpoint_ids(epoch, checked.resources), spans),
            owned=self._owned(epoch, batch),
            told=self._told(epoch, batch),
            status=status_of(batch.host_status, offset, received_ns) if batch.HasField("host_status") else None,
            is_gap=is_gap,
            missing=missing,
        )

    def lacks(self, host: int, epoch_number: int, batch: pb.Batch) -> bool:
        """Whether it refers to what was given back. Its agent is asked when it connects, and says it again."""
        epoch = self.tables.epochs.get(host)
        if epoch is None or epoch.number != epoch_number or not epoch.has_given_back:
            return False
        if epoch.definitions_lost or batch.sequence in epoch.sequences:
            return False
        try:
            epoch.definitions_lost = _lacks(epoch, check_batch(batch))
        except Refused:
            return False  # as it will be
        return epoch.definitions_lost

    def undirected_bytes(self, flows: dict[str, Array]) -> int:
        """Of connections of which nobody knows who opened them: no edge has them, since an arrow would be a guess."""
        which = np.zeros(len(flows["flow"]), np.bool_)
        known = flows["flow"] < len(self._undirected)
        which[known] = self._undirected[flows["flow"][known]]
        return int(flows["bytes_sent"][which].sum() + flows["bytes_received"][which].sum())

    def follows(self, key: HostKey, epoch_number: int) -> bool:
        """Whether this epoch is later than the one that is known of that host."""
        host = self.tables.hosts.known(key)
        epoch = None if host is None else self.tables.epochs.get(host)
        return epoch is None or epoch_number > epoch.number

    def has_batches(self, key: HostKey, epoch_number: int) -> bool:
        """Whether any batch of this epoch is known."""
        host = self.tables.hosts.known(key)
        epoch = None if host is None else self.tables.epochs.get(host)
        return epoch is not None and epoch.number == epoch_number and bool(epoch.sequences.highest)

    def refuse(self, host: int, epoch_number: int, sequence: int) -> None:
        """A batch that can never be used is acknowledged too: what comes after it is no gap."""
        epoch = self.tables.epochs.get(host)
        if epoch is not None and epoch.number == epoch_number and sequence:
            self._note_sequence(epoch, sequence)

    def _note_sequence(self, epoch: Epoch, sequence: int) -> None:
        closed = epoch.sequences.closed_gaps
        epoch.sequences.add(sequence)
        self.dropped["sequence_gaps_full"] += epoch.sequences.closed_gaps - closed

    def _define(self, host: int, epoch: Epoch, batch: pb.Batch) -> None:
        tables = self.tables
        for one in batch.endpoints:
            value = Endpoint(
                host, one.kind, one.pod_uid, one.container_id, one.unit, one.command, one.network_namespace
            )
            known = epoch.endpoints.one(one.id)
            is_new = known < 0 or tables.endpoints.values[known] == other_of(host)
            ours = self._endpoint(value) if is_new else tables.endpoints.improve(known, value)
            self.dropped["ids_full"] += not epoch.endpoints.define(one.id, ours)
        for name in batch.names:
            self.dropped["ids_full"] += not epoch.names.define(name.id, self._name(Name(name.kind, name.text)))
        for flow in batch.flow_definitions:
            endpoint = epoch.endpoints.one(flow.endpoint)
            ours = self._flow(endpoint, flow) if endpoint >= 0 else -1
            self.dropped["ids_full"] += not epoch.flows.define(flow.id, ours)

    def _endpoint(self, value: Endpoint) -> int:
        endpoints = self.tables.endpoints
        if endpoints.known(value) is None and len(endpoints) >= self._max_endpoints:
            # One a host for all that have no room: it keeps their sums.
            self.dropped["endpoints_full"] += 1
            value = other_of(value.host)
        return endpoints.id_of(value)

    def _name(self, value: Name) -> int:
        names = self.tables.names
        if names.known(value) is None and len(names) >= self._max_names:
            self.dropped["names_full"] += 1
            value = Name(0, FIXED_NAMES[wire.OTHER_NAME])
        return names.id_of(value)

    def _flow(self, endpoint: int, flow: pb.FlowDefinition) -> int:
        flows = self.tables.flows
        value = Flow(
            endpoint=endpoint,
            local_address=flow.local_address,
            peer_address=flow.peer_address,
            port=flow.port,
            role=flow.role,
            transport=flow.transport,
            asked_address=flow.asked_address,
            asked_port=flow.asked_port,
            server_name=flow.server_name,
        )
        if flows.known(value) is None and len(flows) >= self._max_flows:
            # One for all that has no room: it keeps their sums.
            self.dropped["flows_full"] += 1
            value = other_flow(endpoint, flow.role, flow.transport)
        ours = flows.id_of(value)
        if flow.role == pb.ROLE_UNSPECIFIED:
            if ours >= len(self._undirected):
                more = np.zeros(2 * ours + 2 - len(self._undirected), np.bool_)
                self._undirected = np.concatenate([self._undirected, more])
            self._undirected[ours] = True
        return ours

    def _flow_ids(self, epoch: Epoch, rows: wire.Columns) -> dict[str, Array]:
        ours = {name: column.astype(np.int64) for name, column in rows.items()}
        ours["flow"] = epoch.flows.of(rows["flow"])
        return self._defined(ours)

    def _request_ids(self, epoch: Epoch, rows: wire.Columns) -> dict[str, Array]:
        ours = self._flow_ids(epoch, rows)
        for column in ("name", "host"):
            ids = epoch.names.of(ours[column])
            undefined = ids < 0
            self.dropped["undefined_name"] += int(undefined.sum())
            # Such a row has no name, and counts all the same.
            ours[column] = np.where(undefined, epoch.names.one(wire.NO_NAME), ids)
        return ours

    def _endpoint_ids(self, epoch: Epoch, rows: wire.Columns) -> dict[str, Array]:
        ours = {name: column.astype(np.int64) for name, column in rows.items()}
        ours["endpoint"] = epoch.endpoints.of(rows["endpoint"])
        return self._defined(ours, "endpoint")

    def _defined(self, rows: dict[str, Array], what: str = "flow") -> dict[str, Array]:
        """Without rows of what was never defined, which are counted: their agent is wrong about itself."""
        known = rows[what] >= 0
        if known.all():
            return rows
        self.dropped[f"undefined_{what}"] += int((~known).sum())
        return {name: column[known] for name, column in rows.items()}

    def _owned(self, epoch: Epoch, batch: pb.Batch) -> list[Owned]:
        owned = [one for claim in batch.ownerships if (one := owned_of(epoch, claim)) is not None]
        self.dropped["undefined_endpoint"] += len(batch.ownerships) - len(owned)
        return owned

    def _told(self, epoch: Epoch, batch: pb.Batch) -> list[Told]:
        answers = [answer for answer in batch.dns_answers if answer.name]
        told = [one for answer in answers if (one := told_of(epoch, answer)) is not None]
        self.dropped["undefined_endpoint"] += len(answers) - len(told)
        return told


def _lacks(epoch: Epoch, checked: Checked) -> bool:
    batch = checked.batch
    endpoints = {one.endpoint for some in (batch.flow_definitions, batch.ownerships) for one in some}
    endpoints.update(answer.endpoint for answer in batch.dns_answers)
    endpoints.update(np.unique(checked.resources["endpoint"]).tolist())
    flows = {*np.unique(checked.flows["flow"]).tolist(), *np.unique(checked.requests["flow"]).tolist()}
    names = {one for column in ("name", "host") for one in np.unique(checked.requests[column]).tolist()}
    return (
        epoch.endpoints.lacks(endpoints, {one.id for one in batch.endpoints})
        or epoch.flows.lacks(flows, {one.id for one in batch.flow_definitions})
        or epoch.names.lacks(names, {one.id for one in batch.names})
    )


def other_of(host: int) -> Endpoint:
    """All of a host that had no room."""
    return Endpoint(host, pb.ENDPOINT_KIND_PROCESS, "", "", "", FIXED_NAMES[wire.OTHER_NAME], 0)


def other_flow(endpoint: int, role: int, transport: int) -> Flow:
    """All of an endpoint's that had no room."""
    return Flow(endpoint, MANY, MANY, 0, role, transport, b"", 0)


def _timed(rows: dict[str, Array], spans: tuple[Array, Array]) -> dict[str, Array]:
    bucket = rows.pop("bucket")
    rows["from_ns"], rows["to_ns"] = spans[0][bucket], spans[1][bucket]
    return rows
