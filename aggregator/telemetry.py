"""What the aggregator says about itself: its log's events, its metrics as Prometheus reads them, the minute's line.

Used from the event loop's thread alone.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, Hello
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from aggregator.catalog.model import Problem
from aggregator.catalog.watching import Refreshed
from aggregator.clusterwatch import ClusterWatch
from aggregator.compacting import GivenBack
from aggregator.health import Health
from aggregator.live import Live
from aggregator.metrics import Own, Totals, metrics_of
from aggregator.records import SECOND_NS, Refused
from aggregator.reflector import State
from aggregator.resolve.resources import Resource
from aggregator.store import Taken
from aggregator.topology.snapshot import Graph
from telemetry.log import Log, fault
from telemetry.process import resident_bytes

_MOST_STANDING: Final = 10_000
_QUIET_SECONDS: Final = 600.0
# A loop that did not make a snapshot for so long stands still.
_LONGEST_ROUND_SECONDS: Final = 60.0
# Of a column, to know how many rows a message has without unpacking it.
_FLOW_ID_BYTES: Final = 4


class Telemetry(Collector):
    """An abnormal state is told once, however often it is met; and anew after ten minutes in which it was not."""

    def __init__(self, log: Log) -> None:
        self.started = time.time()
        self.live: Live | None = None
        self.cluster: ClusterWatch | None = None
        self.health: Health | None = None
        self._log = log
        self._totals = Totals()
        self._minute = Totals()
        self._agents: Counter[str] = Counter()
        self._standing: dict[tuple[str, str], float] = {}  # when it was last met
        self._left_out: dict[str, tuple[str, ...]] = {}
        self._checkpoint_bytes = 0
        self._catalog_problems = 0

    # --- agents ---

    def agent_connected(self, hello: Hello) -> None:
        self._agents[hello.host] += 1
        self._log.write("agent_connected", agent=hello.host, agent_version=hello.agent_version, boot_id=hello.boot_id)

    def agent_left(self, hello: Hello) -> None:
        self._agents[hello.host] -= 1
        if not self._agents[hello.host]:
            del self._agents[hello.host]
        self._log.write("agent_left", agent=hello.host)

    def agent_refused(self, hello: Hello, refused: Refused) -> None:
        """A stranger's words may be of any length."""
        self._count("refused", refused.reason)
        if self._begins("agent_refused", f"{hello.host[:100]} {refused.reason}"):
            self._log.write("agent_refused", agent=hello.host[:100], reason=str(refused))

    def batch_taken(self, hello: Hello, batch: Batch, size_bytes: int, taken: Taken) -> None:
        for totals in (self._totals, self._minute):
            totals.batches += 1
            totals.received_bytes += size_bytes
            totals.repeated_batches += not taken.is_new and taken.refused is None
            if taken.is_new:
                totals.records += (len(batch.flows.flow) + len(batch.requests.flow)) // _FLOW_ID_BYTES
        if taken.refused is not None:
            self._count("refused", taken.refused.reason)
            if self._begins("batch_refused", f"{hello.host} {taken.refused.reason}"):
                self._log.write("batch_refused", agent=hello.host, sequence=batch.sequence, reason=str(taken.refused))

    def caller_refused(self, listener: str, caller: str, reason: str) -> None:
        """Someone who showed no token, or another one; `caller` is an address without its port."""
        self._count("refused", "token")
        if self._begins("caller_refused", f"{listener} {caller}"):
            self._log.write("caller_refused", listener=listener, caller=caller, reason=reason)

    def agent_asked_again(self, hello: Hello) -> None:
        self._log.write("agent_asked_again", agent=hello.host)

    # --- the disk ---

    def damaged(self, file: Path, at_byte: int, cut_bytes: int, reason: str) -> None:
        self._log.write("journal_damaged", file=str(file), at_byte=at_byte, cut_bytes=cut_bytes, reason=reason)

    def unusable(self, what: str, error: Exception) -> None:
        self._count("refused", "unusable")
        if self._begins("record_unusable", what):
            self._log.write("record_unusable", what=what, reason=fault(error))

    def journal_failed(self, sentence: str) -> None:
        if self._begins("journal_failed", ""):
            self._log.write("journal_failed", reason=sentence)

    def checkpointed(self, size_bytes: int) -> None:
        self._checkpoint_bytes = size_bytes
        for totals in (self._totals, self._minute):
            totals.checkpoints += 1
        for event in ("journal_failed", "checkpoint_failed"):
            self._standing.pop((event, ""), None)

    def checkpoint_failed(self, sentence: str) -> None:
        if self._begins("checkpoint_failed", ""):
            self._log.write("checkpoint_failed", reason=sentence)

    # --- readers, the catalog, the graph ---

    def watched(self, response: pb.WatchTopologyResponse) -> None:
        for totals in (self._totals, self._minute):
            totals.sent_changes += len(response.delta.changes)

    def exported(self, form: str, left_out: Sequence[str]) -> None:
        self._totals.exports += 1
        if tuple(left_out) != self._left_out.get(form, ()):
            self._left_out[form] = tuple(left_out)
            if left_out:
                self._log.write("export_left_out", form=form, count=len(left_out), reason=left_out[0])

    def malformed(self, transport: str) -> None:
        self._count("refused", f"{transport}_malformed")

    def request_failed(self, reason: str) -> None:
        self._log.write("request_failed", reason=reason)

    def certificate_unreadable(self, sentence: str) -> None:
        if self._begins("certificate_unreadable", sentence):
            self._log.write("certificate_unreadable", reason=sentence)

    def catalog_read(self, refreshed: Refreshed, problems: Sequence[Problem]) -> None:
        self._catalog_problems = len(problems)
        for problem in refreshed.appeared:
            self._log.write("catalog_problem", place=str(problem.place), reason=problem.sentence)
        for problem in refreshed.solved:
            self._log.write("catalog_problem_ended", place=str(problem.place))

    def kubernetes_state(self, resource: Resource, state: State) -> None:
        if state.stale_since_ns is None:
            self._log.write("kubernetes_current", resource=resource.name)
            return
        since = datetime.fromtimestamp(state.stale_since_ns / SECOND_NS, UTC).isoformat(timespec="seconds")
        self._log.write("kubernetes_stale", resource=resource.name, since=since, reason=state.reason)

    def kubernetes_fault(self, part: str, error: Exception) -> None:
        if self._begins("kubernetes_fault", part):
            self._log.write("kubernetes_fault", part=part, reason=fault(error))

    def health_fault(self, error: Exception) -> None:
        if self._begins("third_parties_fault", ""):
            self._log.write("third_parties_fault", reason=fault(error))

    def snapshot(self, changes: Sequence[pb.Change]) -> None:
        for change in changes:
            if change.kind == pb.CHANGE_KIND_HOST_STALE:
                last_seen = change.host.last_seen.ToJsonString()
                self._log.write("host_stale", stale_host=change.host.name, last_seen=last_seen)
            elif change.kind == pb.CHANGE_KIND_HOST_BACK:
                self._log.write("host_back", stale_host=change.host.name)

    def snapshots_made(self, error: Exception | None) -> None:
        """After each round: what kept one of them from being made, or None."""
        if error is None:
            self._standing.pop(("snapshot_failed", ""), None)
            return
        for totals in (self._totals, self._minute):
            totals.failed_snapshots += 1
        if self._begins("snapshot_failed", ""):
            self._log.write("snapshot_failed", reason=fault(error))

    def given_back(self, given: GivenBack) -> None:
        *counts, _ = given._asdict().items()
        self._totals.given_back.update(dict(counts))
        self._log.write(
            "given_back",
            hosts=given.hosts,
            endpoints=given.endpoints,
            flows=given.flows,
            names=given.names,
            definitions=given.definitions,
            seconds=round(given.seconds, 3),
        )

    # --- itself ---

    @property
    def alive(self) -> bool:
        return self.live is None or time.monotonic() - self.live.worked_at < _LONGEST_ROUND_SECONDS

    @property
    def ready(self) -> bool:
        return self.live is not None and self.alive and not self.live.failing

    def summarise(self) -> None:
        """The minute's line."""
        minute, self._minute = self._minute, Totals()
        live = self.live
        graph = live.usual.newest.graph if live else Graph.of(pb.Topology())
        self._log.write(
            "aggregator_summary",
            agents=len(self._agents),
            nodes=len(graph.nodes),
            edges=len(graph.edges),
            watchers=live.watchers if live else 0,
            batches=minute.batches,
            records=minute.records,
            refused=dict(minute.refused),
            snapshot_seconds=round(live.snapshot_seconds, 4) if live else 0.0,
            journal_bytes=live.store.position - live.store.saved_position if live else 0,
            working_set_bytes=resident_bytes(),
        )

    def collect(self) -> Iterator[Metric]:
        own = Own(
            self.started,
            len(self._agents),
            self._catalog_problems,
            self._checkpoint_bytes,
            sum(map(len, self._left_out.values())),
        )
        yield from metrics_of(own, self._totals, self.live, self.cluster, self.health)

    def _count(self, name: str, reason: str) -> None:
        for totals in (self._totals, self._minute):
            getattr(totals, name)[reason] += 1

    def _begins(self, event: str, key: str) -> bool:
        """Whether this is news. Strangers choose keys, so what is remembered has a bound."""
        now = time.monotonic()
        last = self._standing.get((event, key))
        if last is None and len(self._standing) >= _MOST_STANDING:
            self._standing.clear()
        self._standing[event, key] = now
        return last is None or now - last >= _QUIET_SECONDS
