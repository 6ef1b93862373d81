"""Everything the aggregator knows, as one mutable value: batches change it, snapshots are made of it.

No I/O and no clock of its own: the same hellos and batches with the same times give the same estate, so a
journal can be replayed. Whoever calls holds a lock.
"""

import pickle
from collections.abc import Generator, Iterator

import numpy as np
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.columns import CONTRACT_VERSION

from aggregator.compacting import GivenBack, compacted
from aggregator.held import Around
from aggregator.ingest.batches import Ingest, Ingested
from aggregator.ingest.decoding import check_batch, decode
from aggregator.ingest.tables import Tables
from aggregator.kept import Kept
from aggregator.outside import Steps as OutsideSteps
from aggregator.records import SECOND_NS, HostKey, JournalRecord, RecordKind, Refused
from aggregator.resolve.names import DnsMemory
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place
from aggregator.resolve.podnames import PodNames, names_of
from aggregator.resolve.services import Services
from aggregator.settings import Settings
from aggregator.snapshots import Held, Made, Snapshots, Steps
from aggregator.state import State
from aggregator.steps import Step, at_once
from aggregator.topology.columns import Rows
from aggregator.topology.coverage import RESTARTED, HostCoverage
from aggregator.topology.events import Events, events_of
from aggregator.topology.firstseen import FirstSeen
from aggregator.topology.hot import HotRows
from aggregator.topology.lives import Lives
from aggregator.topology.usage import Usage

# From an agent's hello to its first inventory of the host, with much room.
_CLAIMED_AGAIN_NS = 15 * SECOND_NS


class Estate:
    """The state of all hosts; `pods`, `services` and `events` are what the cluster's own API says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._retention_ns = int(settings.retention_seconds * SECOND_NS)
        self._ingest = Ingest(settings.max_flows, settings.max_names, settings.max_endpoints)
        ingest = self._ingest
        self._ownership = Ownership(lambda one: _place_of(ingest.tables, one), lambda one: ingest.tables.holder_of(one))
        self._dns = DnsMemory()
        self._coverage: dict[int, HostCoverage] = {}
        self._hot = HotRows(self._retention_ns)
        self._lives = Lives()
        self._usage = Usage(self._retention_ns)
        self._first_seen = FirstSeen()
        self.pods = PodNames()
        self.services = Services()
        self.events = Events()
        self.around = Around()
        self._presence: tuple[tuple[int, bool], ...] = ()
        self._is_damaged = False
        self._snapshots = self._made_of_all()

    def _made_of_all(self) -> Snapshots:
        """It can be made anew from the rest, and is not in a checkpoint."""
        hosts = (self._ingest.tables, self._ownership, self._dns, self._coverage, self._hot, self._lives)
        cluster = (self.pods, self.services, self.events)
        self._held = Held(*hosts, self._first_seen, *cluster, self._usage, self.around)
        return Snapshots(self._settings, self._held)

    def hello(self, hello: flow.Hello, received_ns: int) -> int:
        """The highest sequence of this epoch that is known. Raises Refused.

        Asks nobody whether there is room, so that a replay hears all that was heard: `check_room` does.
        """
        named = flow.Hello()
        named.CopyFrom(hello)
        named.cluster = hello.cluster or self._settings.cluster
        host, epoch, is_new = self._ingest.hello(named, received_ns)
        if host not in self._coverage and len(self._coverage) >= self._settings.max_hosts:
            self._forget_silent(received_ns)
        coverage = self._coverage.setdefault(host, HostCoverage())
        if is_new:
            # Until it has claimed again what still is so: nobody's address may become a stranger's meanwhile.
            self._ownership.close(host, received_ns + _CLAIMED_AGAIN_NS)
            if epoch.continues:
                coverage.new_epoch(epoch.interval_ns, received_ns, "")
            else:
                self._close_connections(host)
                coverage.new_epoch(epoch.interval_ns, received_ns, hello.gap_reason or RESTARTED)
        coverage.heard(received_ns)
        return epoch.sequences.highest

    def check_room(self, hello: flow.Hello, now_ns: int) -> None:
        """Raises Refused when there are as many hosts as there may be, and this is another one."""
        most = self._settings.max_hosts
        host = self._ingest.tables.hosts.known(HostKey(hello.cluster or self._settings.cluster, hello.host))
        if host in self._coverage or len(self._coverage) < most:
            return
        if all(not known.is_gone(now_ns, self._retention_ns) for known in self._coverage.values()):
            raise Refused("hosts_full", f"{most} hosts report already; start another aggregator for the others.")

    def _forget_silent(self, now_ns: int) -> None:
        """The host that is silent for the longest time; it left the graph before."""
        host, known = min(self._coverage.items(), key=lambda one: one[1].heard_ns)
        if known.is_gone(now_ns, self._retention_ns):
            del self._coverage[host]
            self._ingest.tables.epochs.pop(host, None)
            self._ownership.close(host, known.heard_ns)
            self._close_connections(host)

    def has_lost_definitions(self, hello: flow.Hello) -> bool:
        """Whether an agent that said hello must say again what its batches refer to."""
        host = self._ingest.tables.hosts.known(HostKey(hello.cluster or self._settings.cluster, hello.host))
        return host is not None and self._ingest.tables.epochs[host].definitions_lost

    def batch(self, key: HostKey, epoch: int, batch: flow.Batch, received_ns: int, is_replay: bool = False) -> bool:
        """False when this number was there before. Raises Refused; then nothing of it is applied."""
        host = self._ingest.tables.hosts.known(HostKey(key.cluster or self._settings.cluster, key.name))
        if host is None:
            raise Refused("epoch_unknown", "A batch came before its agent's hello.")
        try:
            checked = check_batch(batch)
        except Refused:
            self._ingest.refuse(host, epoch, batch.sequence)
            raise
        ingested = self._ingest.batch(host, epoch, checked, received_ns, is_replay)
        if ingested is None:
            return False
        self._apply(ingested, received_ns)
        return True

    def lacks(self, key: HostKey, epoch: int, batch: flow.Batch) -> bool:
        """See Ingest."""
        host = self._ingest.tables.hosts.known(HostKey(key.cluster or self._settings.cluster, key.name))
        return host is not None and self._ingest.lacks(host, epoch, batch)

    def refuse(self, key: HostKey, epoch: int, sequence: int) -> None:
        """A batch that can never be used is known all the same."""
        host = self._ingest.tables.hosts.known(HostKey(key.cluster or self._settings.cluster, key.name))
        if host is not None:
            self._ingest.refuse(host, epoch, sequence)

    def replay_damaged(self) -> None:
        """Records were lost between the last one that was replayed and the next: of whom, their numbers tell."""
        self._is_damaged = True
        for epoch in self._ingest.tables.epochs.values():
            epoch.greeted = False

    def replay(self, record: JournalRecord, is_whole: bool = True) -> None:
        """One record of the journal. Raises Refused for one that was refused when it came, and for one whose
        definitions may lie before the beginning of a journal that is not whole."""
        if record.kind is RecordKind.PODS:
            self.pods.learn(names_of(record.payload))
            return
        if record.kind is RecordKind.EVENTS:
            self.events.add(events_of(record.payload))
            return
        request = decode(record.payload)
        cluster, _, name = record.host.rpartition("/")
        key = HostKey(cluster, name)
        if request.HasField("hello"):
            request.hello.cluster = cluster
            self.hello(request.hello, record.received_ns)
            return
        if not is_whole and request.batch.sequence > 1 and not self._ingest.has_batches(key, record.epoch):
            raise Refused("cut", "What this batch refers to is in no file any more; its agent will say it again.")
        if self._is_damaged and self._ingest.follows(key, record.epoch):
            self._replay_lost_hello(key, record, request.batch)
        self.batch(key, record.epoch, request.batch, record.received_ns, is_replay=True)

    def _replay_lost_hello(self, key: HostKey, record: JournalRecord, batch: flow.Batch) -> None:
        hello = flow.Hello(contract_version=CONTRACT_VERSION, host=key.name, cluster=key.cluster, epoch=record.epoch)
        hello.clock.CopyFrom(batch.sent)
        self.hello(hello, record.received_ns)
        epoch = self._ingest.tables.epochs[self._ingest.tables.hosts.id_of(key)]
        epoch.greeted, epoch.definitions_lost = False, True

    def _apply(self, one: Ingested, received_ns: int) -> None:
        coverage = self._coverage[one.host]
        coverage.heard(received_ns)
        if one.is_gap:
            coverage.interrupted(one.missing)
        for from_ns, to_ns in sorted(zip(*(span.tolist() for span in one.spans), strict=True)):
            coverage.saw(from_ns, to_ns)
        if one.status is not None:
            coverage.saw(one.status.time_ns, one.status.time_ns)
            coverage.status(one.status)
        coverage.gave_up("direction_unknown_bytes", self._ingest.undirected_bytes(one.flows))
        for owned in one.owned:
            self._ownership.add(owned)
        for told in one.told:
            self._dns.add(told)
        rows = Rows.of(one.flows, one.requests)
        self._lives.note(rows.flows)
        self._lives.note_times(rows.requests.flow, rows.requests.from_ns, rows.requests.to_ns)
        self._hot.add(rows)
        self._usage.add(one.host, one.resources)
        self._snapshots.heard(rows)

    def _close_connections(self, host: int) -> None:
        """What a former agent saw open: the new one finds what still is."""
        tables = self._ingest.tables
        self._lives.grow(len(tables.flows))
        for one in np.flatnonzero(self._lives.active).tolist():
            if tables.endpoints.values[tables.flows.values[one].endpoint].host == host:
                self._lives.active[one] = 0

    def topology(self, window_ns: int, now_ns: int) -> pb.Topology:
        """Everything of the window, background edges included; its position is left empty."""
        return self._snapshots.topology(window_ns, now_ns)

    def snapshot(self, window_ns: int, now_ns: int) -> Steps:
        """The same in steps."""
        return self._snapshots.steps(window_ns, now_ns)

    def news(self, window_ns: int, now_ns: int) -> Made | None:
        """The newest snapshot of a window with what is new in shape; None where nothing is."""
        return self._snapshots.news(window_ns, now_ns)

    def outside(self, now_ns: int) -> OutsideSteps:
        """What was called outside since this was asked last, in steps."""
        return self._snapshots.outside.steps(now_ns)

    def age(self, now_ns: int) -> None:
        """Lets old rows take less room. To be called every few seconds."""
        at_once(self.ageing(now_ns))

    def ageing(self, now_ns: int) -> Generator[Step, None, None]:
        """The same in steps, the first of which is ALONE. One at a time."""
        presence = tuple((len(one.covered), one.is_stale(now_ns)) for one in self._coverage.values())
        # An agent came, went or came back: which end tells of what may be certain now where it was not.
        is_new = presence != self._presence
        yield from self._hot.age(now_ns, self._snapshots.settling(now_ns).settled, is_new)
        self._presence = presence
        self._lives.sleep(self._hot.oldest_end_ns(now_ns))
        self._usage.age(now_ns)
        for some in (self._ownership, self.pods, self.services, self.events):
            some.forget(now_ns - self._retention_ns)

    def held(self) -> dict[str, int]:
        """How many of what are held, for the aggregator's own metrics."""
        return self._held.counts()

    def dropped(self) -> dict[str, int]:
        """What of the agents' words was given up, by reason."""
        return {**self._ingest.dropped, **self._held.dropped()}

    def checkpoint(self) -> Kept:
        """All of it, for `restore`. What grows large is copied and not yet pickled: agents wait for this."""
        tables = self._ingest.tables
        changing = pickle.dumps((tables.epochs, self._dns, self._coverage, self._lives, self.pods, self.services))
        ingest = (tables.as_of_now(), self._ingest.dropped.copy())
        ownership = (self._ownership.claims(), self._ownership.ours.copy())
        first_seen, events, usage = self._first_seen.as_of_now(), self.events.payload(), self._usage.as_of_now()
        return Kept([changing, ingest, ownership, first_seen, events, usage, *self._hot.parts()])

    @classmethod
    def restore(cls, settings: Settings, content: bytes) -> "Estate":
        """Raises ValueError for a checkpoint of another format. The content must be our own: it is unpickled."""
        return cls.of(settings, State.of(Kept.of(content)))

    @classmethod
    def of(cls, settings: Settings, state: State) -> "Estate":
        """The state is its own from now on."""
        estate = cls(settings)
        estate._dns, estate._coverage, estate._lives = state.dns, state.coverage, state.lives
        estate.pods, estate.services, estate.events = state.pods, state.services, Events.of(state.events)
        estate._ingest.restore(state.tables, state.dropped)
        estate._first_seen, estate._usage = state.first_seen, state.usage
        estate._usage.keep_for(estate._retention_ns)
        estate._hot.restore(state.hot)
        estate._ownership.remember(state.ours)
        for claim in state.claims:
            estate._ownership.add(claim)
        estate._snapshots = estate._made_of_all()
        return estate

    def without_unused(self, now_ns: int) -> tuple["Estate", GivenBack]:
        """One that knows the same, and takes this one's place: this one must not change any more."""
        state, given = compacted(State.of(self.checkpoint()), now_ns, self._retention_ns)
        same = Estate.of(self._settings, state)
        same.around = self.around  # who has this one learns for that one
        same._snapshots = same._made_of_all()
        same._ownership.dropped, same._ownership.forgotten = self._ownership.dropped, self._ownership.forgotten
        same.events.dropped = self.events.dropped
        return same, given

    def warming(self, now_ns: int) -> Iterator[Step]:
        """Names the ends of all flows, some in each step, which are ALONE: agents need not wait for all of them."""
        return self._snapshots.warming(now_ns)


def _place_of(tables: Tables, endpoint: int) -> Place:
    value = tables.endpoints.values[endpoint]
    return Place(value.host, tables.hosts.values[value.host].cluster, value.network_namespace)
