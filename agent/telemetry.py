"""What the agent says about itself: its counters, its metrics as Prometheus reads them, and the minute's summary."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from plumbline.v1.flow_pb2 import PROTOCOL_TCP
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent import clock
from agent.alarms import Alarms
from agent.budgets import DETAIL, Budgets
from agent.coalescing import Portion
from agent.outbox import Outbox
from agent.packing import Status
from agent.reachability import Reachability
from agent.rights import are_missing, listed
from agent.settings import VERSION
from agent.watch import Watch
from telemetry.log import Log
from telemetry.process import resident_bytes

_LOW_COVERAGE = 0.5
_UNREADABLE_EFFECT = (
    "what begins from now on is counted all the same; unknown are the protocols of connections older than the agent, "
    "services that nobody calls, and addresses of pods, which are unresolved in the graph"
)
_HIDDEN_REMEDY = "look whether hidepid, a security module or a user namespace hides /proc from the agent"
# A host whose loop did not come round for so long is not alive.
_LONGEST_ROUND_SECONDS = 30.0


@dataclass(slots=True)
class Totals:
    """Since the start, and since the last summary."""

    flow_rows: int = 0
    request_rows: int = 0
    requests: int = 0
    drains: int = 0
    drain_seconds: float = 0.0
    parsed_bytes: int = 0
    all_bytes: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, portion: Portion, status: Status, seconds: float) -> None:
        self.drains += 1
        self.drain_seconds += seconds
        self.flow_rows += len(portion.flows["flow"])
        self.request_rows += len(portion.requests["flow"])
        # Turns of a connection are no requests.
        real = portion.requests["protocol"] != PROTOCOL_TCP
        self.requests += int(np.sum(portion.requests["count"][real], dtype=np.uint64))
        self.parsed_bytes += status.parsed_bytes
        self.all_bytes += status.all_bytes
        self.lost.update(status.lost)
        self.dropped.update(status.dropped)

    @property
    def coverage(self) -> float:
        return min(1.0, self.parsed_bytes / self.all_bytes) if self.all_bytes else 1.0


class Telemetry(Collector):
    """Reads everything, changes nothing."""

    def __init__(self, log: Log, outbox: Outbox, reachability: Reachability, interval_seconds: float) -> None:
        self.started = time.time()
        self.totals = Totals()
        self.clients_gone = 0
        self.retired = False  # a successor counts, and we wait for our end
        self.watch: Watch | None = None
        self.budgets: Budgets | None = None
        self.kernel_memory: Callable[[], int] = lambda: 0
        self._log = log
        self._outbox = outbox
        self._reachability = reachability
        self._minute = Totals()
        self._edges: set[int] = set()
        self._alarms = (Alarms("losing"), Alarms("dropping"))
        self._coverage_low = False
        self._round_seconds = max(_LONGEST_ROUND_SECONDS, 3 * interval_seconds)
        self._last_round = time.monotonic()
        # Noted at each drain: metrics are read by another thread.
        self._oldest_ns: int | None = None

    @property
    def alive(self) -> bool:
        return self.retired or time.monotonic() - self._last_round < self._round_seconds

    @property
    def ready(self) -> bool:
        return self.watch is not None

    def read(self, processes: int, denied: int, lacking: Sequence[str]) -> None:
        """The host as it was found; `denied` reads about `processes` that were not permitted."""
        # Each process is looked at twice; a few are protected on every machine.
        if not lacking and denied * 10 <= processes:
            return
        reasons = [are_missing(lacking)] if lacking else []
        if denied:
            reasons.append(f"{denied} reads about {processes} processes were not permitted")
        self._log.write(
            "host_unreadable",
            what="open sockets and network namespaces of the processes of others",
            reason="; ".join(reasons),
            effect=_UNREADABLE_EFFECT,
            remedy=f"give the agent {listed(lacking)}" if lacking else _HIDDEN_REMEDY,
        )

    def drained(self, portion: Portion, status: Status, seconds: float) -> None:
        """After every drain; `status` before it is put into the outbox, which adds to it."""
        now = self._last_round = time.monotonic()
        self._oldest_ns = self._outbox.oldest_ns()
        self.totals.add(portion, status, seconds)
        self._minute.add(portion, status, seconds)
        self._edges.update(np.unique(portion.flows["flow"]).tolist())
        for alarms, counts in zip(self._alarms, (status.lost, status.dropped), strict=True):
            for event, reason, count in alarms.look(counts, now):
                self._log.write(event, reason=reason, count=count)

    def summarise(self) -> None:
        """The minute's line, and whether enough of its bytes was understood."""
        minute, self._minute = self._minute, Totals()
        edges, self._edges = len(self._edges), set()
        self._log.write(
            "summary",
            edges=edges,
            flows=minute.flow_rows,
            requests=minute.requests,
            lost=dict(minute.lost),
            dropped=dict(minute.dropped),
            unacknowledged_batches=self._outbox.unacknowledged,
            waiting_rows=self._outbox.waiting.rows,
            lag_seconds=round(self._lag_seconds(), 3),
            working_set_bytes=resident_bytes(),
            kernel_memory_bytes=self.kernel_memory(),
            coverage=round(minute.coverage, 4),
        )
        low = minute.coverage < _LOW_COVERAGE
        if low is not self._coverage_low:
            self._coverage_low = low
            self._log.write("coverage_low" if low else "coverage_restored", coverage=round(minute.coverage, 4))

    def collect(self) -> Iterator[Metric]:
        for name, meaning, value in self._gauges():
            yield GaugeMetricFamily(f"plumbline_agent_{name}", meaning, value=value)
        for name, meaning, value in self._counters():
            yield CounterMetricFamily(f"plumbline_agent_{name}", meaning, value=value)
        for name, meaning, counts in (
            ("lost", "What the kernel could not tell us.", self.totals.lost),
            ("dropped", "Detail given up on purpose; sums are kept.", self.totals.dropped),
        ):
            family = CounterMetricFamily(f"plumbline_agent_{name}", meaning, labels=["reason"])
            for reason, count in sorted(counts.items()):
                family.add_metric([reason], count)
            yield family
        if self.budgets is not None:
            shed = GaugeMetricFamily("plumbline_agent_shed", "1: this detail is not gathered now.", labels=["detail"])
            for one in DETAIL:
                shed.add_metric([one], one in self.budgets.shed)
            yield shed
        build = GaugeMetricFamily("plumbline_agent_build_info", "Always 1.", labels=["version"])
        build.add_metric([VERSION], 1)
        yield build

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        outbox, watch = self._outbox, self.watch
        yield "start_time_seconds", "When this agent began, seconds since 1970.", self.started
        yield "aggregator_connected", "1 while the stream to the aggregator is open.", self._reachability.connected
        yield "clock_offset_seconds", "Aggregator's clock minus this host's.", self._reachability.clock_offset_seconds
        yield "unacknowledged_batches", "Batches sent and not on the aggregator's disk yet.", outbox.unacknowledged
        yield "waiting_rows", "Rows that are in no batch yet.", outbox.waiting.rows
        yield "waiting_spans", "Time spans that waiting rows are kept by.", outbox.waiting.spans
        yield "lag_seconds", "Age of the oldest count that is not acknowledged.", self._lag_seconds()
        yield "working_set_bytes", "Resident memory of this process.", resident_bytes()
        yield "kernel_memory_bytes", "What the kernel keeps for this agent.", self.kernel_memory()
        yield (
            "coverage_ratio",
            "Bytes on understood connections / all bytes but its own reports', since the start.",
            self.totals.coverage,
        )
        if watch is not None:
            yield "flows", "Flows that are known.", watch.flows
            yield "names", "Routes, hosts and DNS names that are known.", watch.names
            yield "endpoints", "Local endpoints that are known.", watch.endpoints
            yield "cgroups", "Cgroups below the root.", watch.cgroups
            yield "cgroups_read", "Containers and units whose CPU time and memory are read.", watch.cgroups_read
            yield "network_namespaces", "Network namespaces whose addresses are known.", watch.namespaces
            yield "listeners", "Sockets that are known to listen.", watch.listeners
            yield "claims", "Owned addresses and ports.", watch.claims
        if self.budgets is not None:
            yield "used_cores", "CPU seconds a second that this process took lately.", self.budgets.throttle.used_cores
            yield "parsers", "Connections that are parsed now.", self.budgets.parsers
            yield "parser_budget", "Connections that may be parsed at once.", self.budgets.limits.parsers

    def _counters(self) -> Iterator[tuple[str, str, float]]:
        totals = self.totals
        yield "drains", "Times that the kernel's counts were read.", totals.drains
        yield "drain_seconds", "Time spent on reading them.", totals.drain_seconds
        yield "flow_rows", "Rows of flows read.", totals.flow_rows
        yield "request_rows", "Rows of requests read.", totals.request_rows
        yield "requests", "Requests of recognised protocols.", totals.requests
        yield "streams", "Streams to the aggregator that were opened.", self._reachability.streams_total
        yield "metrics_clients_gone", "Requests for metrics whose client left before its answer.", self.clients_gone
        yield "acknowledged_batches", "Batches on the aggregator's disk.", self._outbox.acknowledged

    def _lag_seconds(self) -> float:
        return max(0.0, (clock.now_ns() - self._oldest_ns) / 1e9) if self._oldest_ns else 0.0
