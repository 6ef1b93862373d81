"""What the aggregator says about itself: its log's events, its metrics as Prometheus reads them, the minute's line.

Used from the event loop's thread alone.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, Hello
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aggregator.catalog.model import Problem
from aggregator.catalog.watching import Refreshed
from aggregator.live import Live
from aggregator.records import Refused
from aggregator.settings import VERSION
from aggregator.store import Taken
from telemetry.log import Log, fault

_MOST_STANDING: Final = 10_000
# A stranger's hello is told of before it is found to be none.
_LONGEST_WORD: Final = 128
# A loop that did not make a snapshot for so long stands still.
_LONGEST_ROUND_SECONDS: Final = 60.0
# Of a column, to know how many rows a message has without unpacking it.
_FLOW_ID_BYTES: Final = 4


@dataclass(slots=True)
class Totals:
    """Since the start, and since the last summary."""

    batches: int = 0
    repeated_batches: int = 0
    records: int = 0
    received_bytes: int = 0
    sent_changes: int = 0
    exports: int = 0
    checkpoints: int = 0
    failed_snapshots: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Telemetry(Collector):
    """An abnormal state is told when it begins and when it ends, however often it is met in between."""

    def __init__(self, log: Log) -> None:
        self.started = time.time()
        self.live: Live | None = None
        self._log = log
        self._totals = Totals()
        self._minute = Totals()
        self._agents: Counter[str] = Counter()
        self._standing: set[tuple[str, str]] = set()
        self._left_out: dict[str, tuple[str, ...]] = {}
        self._checkpoint_bytes = 0
        self._catalog_problems = 0

    # --- agents ---

    def agent_connected(self, hello: Hello) -> None:
        host = hello.host[:_LONGEST_WORD]
        self._agents[host] += 1
        version, boot_id = hello.agent_version[:_LONGEST_WORD], hello.boot_id[:_LONGEST_WORD]
        self._log.write("agent_connected", agent=host, agent_version=version, boot_id=boot_id)

    def agent_left(self, hello: Hello) -> None:
        host = hello.host[:_LONGEST_WORD]
        self._agents[host] -= 1
        if not self._agents[host]:
            del self._agents[host]
        self._log.write("agent_left", agent=host)

    def agent_refused(self, hello: Hello, refused: Refused) -> None:
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
            self._standing.discard((event, ""))

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

    def snapshot(self, _topology: pb.Topology, changes: Sequence[pb.Change]) -> None:
        for change in changes:
            if change.kind == pb.CHANGE_KIND_HOST_STALE:
                last_seen = change.host.last_seen.ToJsonString()
                self._log.write("host_stale", stale_host=change.host.name, last_seen=last_seen)
            elif change.kind == pb.CHANGE_KIND_HOST_BACK:
                self._log.write("host_back", stale_host=change.host.name)

    def snapshots_made(self, error: Exception | None) -> None:
        """After each round: what kept one of them from being made, or None."""
        if error is None:
            self._standing.discard(("snapshot_failed", ""))
            return
        for totals in (self._totals, self._minute):
            totals.failed_snapshots += 1
        if self._begins("snapshot_failed", ""):
            self._log.write("snapshot_failed", reason=fault(error))

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
        topology = live.usual.newest.topology if live else pb.Topology()
        self._log.write(
            "aggregator_summary",
            agents=len(self._agents),
            nodes=len(topology.nodes),
            edges=len(topology.edges),
            watchers=live.watchers if live else 0,
            batches=minute.batches,
            records=minute.records,
            refused=dict(minute.refused),
            snapshot_seconds=round(live.snapshot_seconds, 4) if live else 0.0,
            journal_bytes=live.store.position - live.store.saved_position if live else 0,
            working_set_bytes=_resident_bytes(),
        )

    def collect(self) -> Iterator[Metric]:
        for name, meaning, value in self._gauges():
            yield GaugeMetricFamily(f"plumbline_aggregator_{name}", meaning, value=value)
        for name, meaning, value in self._counters():
            yield CounterMetricFamily(f"plumbline_aggregator_{name}", meaning, value=value)
        refused = CounterMetricFamily(
            "plumbline_aggregator_refused", "Hellos and batches that could not be used.", labels=["reason"]
        )
        for reason, count in sorted(self._totals.refused.items()):
            refused.add_metric([reason], count)
        yield refused
        dropped = CounterMetricFamily(
            "plumbline_aggregator_dropped", "What of the agents' words was given up.", labels=["reason"]
        )
        for reason, count in sorted(self.live.store.estate.dropped().items() if self.live else ()):
            dropped.add_metric([reason], count)
        yield dropped
        build = GaugeMetricFamily("plumbline_aggregator_build_info", "Always 1.", labels=["version"])
        build.add_metric([VERSION], 1)
        yield build

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        yield "start_time_seconds", "When this aggregator began, seconds since 1970.", self.started
        yield "agents", "Hosts whose agent has a stream open.", len(self._agents)
        yield "working_set_bytes", "Resident memory of this process.", _resident_bytes()
        yield "catalog_problems", "Places in the catalog that cannot be used as written.", self._catalog_problems
        yield "checkpoint_bytes", "Size of the newest checkpoint.", self._checkpoint_bytes
        yield "export_left_out", "What the exports could not say.", sum(map(len, self._left_out.values()))
        live = self.live
        if live is None:
            return
        topology = live.usual.newest.topology
        yield "nodes", "Nodes of the graph, of the usual window.", len(topology.nodes)
        yield "edges", "Edges of the graph, of the usual window.", len(topology.edges)
        yield "stale_hosts", "Hosts whose agent is silent.", sum(host.stale for host in topology.hosts)
        yield "watchers", "Readers that watch the graph.", live.watchers
        yield "snapshot_seconds", "What the newest snapshot took.", live.snapshot_seconds
        yield "journal_bytes", "Journal that no checkpoint covers yet.", live.store.position - live.store.saved_position
        for name, value in live.store.estate.held().items():
            yield f"known_{name}", f"How many {name} are held.", value

    def _counters(self) -> Iterator[tuple[str, str, float]]:
        totals = self._totals
        yield "batches", "Batches received.", totals.batches
        yield "repeated_batches", "Batches that were known already.", totals.repeated_batches
        yield "records", "Rows of flows and requests merged.", totals.records
        yield "received_bytes", "Bytes of batches.", totals.received_bytes
        yield "snapshots", "Snapshots made of the usual window.", self.live.snapshots if self.live else 0
        yield "failed_snapshots", "Rounds in which a snapshot could not be made.", totals.failed_snapshots
        yield "sent_changes", "Changes sent to watchers.", totals.sent_changes
        yield "exports", "Exports served.", totals.exports
        yield "checkpoints", "Checkpoints written.", totals.checkpoints

    def _count(self, name: str, reason: str) -> None:
        for totals in (self._totals, self._minute):
            getattr(totals, name)[reason] += 1

    def _begins(self, event: str, key: str) -> bool:
        """Whether this is news. Strangers choose keys, so what is remembered has a bound."""
        if (event, key) in self._standing:
            return False
        if len(self._standing) >= _MOST_STANDING:
            self._standing.clear()
        self._standing.add((event, key))
        return True


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
