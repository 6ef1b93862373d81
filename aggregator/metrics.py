"""The aggregator's own metrics, as Prometheus reads them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from plumbline.v1.topology_pb2 import NODE_KIND_UNRESOLVED
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from aggregator.clusterwatch import ClusterWatch
from aggregator.health import Health
from aggregator.live import Live
from aggregator.records import SECOND_NS
from aggregator.settings import VERSION
from aggregator.topology.snapshot import Graph
from telemetry.process import resident_bytes

_ASKED: Final = {
    "lists": "Lists asked of the cluster's API.",
    "watches": "Watches asked of the cluster's API.",
    "failures": "Lists and watches that failed.",
    "malformed": "Objects that could not be told from others.",
}


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
    given_back: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Own:
    """What is so at this moment."""

    started: float
    agents: int
    catalog_problems: int
    checkpoint_bytes: int
    left_out: int


def metrics_of(
    own: Own, totals: Totals, live: Live | None, cluster: ClusterWatch | None, health: Health | None
) -> Iterator[Metric]:
    for name, meaning, value in _gauges(own, live):
        yield GaugeMetricFamily(f"plumbline_aggregator_{name}", meaning, value=value)
    for name, meaning, value in _counters(totals, live):
        yield CounterMetricFamily(f"plumbline_aggregator_{name}", meaning, value=value)
    yield _by_reason("refused", "Hellos and batches that could not be used.", totals.refused)
    dropped = live.store.estate.dropped() if live else {}
    yield _by_reason("dropped", "What of the agents' words was given up.", dropped)
    yield _by_reason("given_back", "What nothing referred to any more, by kind.", totals.given_back, "kind")
    yield from _of_cluster(cluster) if cluster else ()
    yield from _of_health(health) if health else ()
    build = GaugeMetricFamily("plumbline_aggregator_build_info", "Always 1.", labels=["version"])
    build.add_metric([VERSION], 1)
    yield build


def _by_reason(name: str, meaning: str, counts: Mapping[str, int], label: str = "reason") -> Metric:
    family = CounterMetricFamily(f"plumbline_aggregator_{name}", meaning, labels=[label])
    for reason, count in sorted(counts.items()):
        family.add_metric([reason], count)
    return family


def _of_cluster(cluster: ClusterWatch) -> Iterator[Metric]:
    prefix, label = "plumbline_aggregator_kubernetes", ["resource"]
    objects = GaugeMetricFamily(f"{prefix}_objects", "How many are known.", labels=label)
    since = GaugeMetricFamily(f"{prefix}_stale_since_seconds", "What is known is of then; 0: of now.", labels=label)
    counters = {
        name: CounterMetricFamily(f"{prefix}_{name}", meaning, labels=label) for name, meaning in _ASKED.items()
    }
    for name, state, count in cluster.states():
        objects.add_metric([name], count)
        since.add_metric([name], (state.stale_since_ns or 0) / SECOND_NS)
        for counter, family in counters.items():
            family.add_metric([name], getattr(state, counter))
    yield from (objects, since, *counters.values())
    faults = CounterMetricFamily(f"{prefix}_faults", "Faults of our own in what is learned from it.", labels=["part"])
    for name, count in cluster.faults():
        faults.add_metric([name], count)
    yield faults
    dropped = cluster.learning.dropped()
    yield _by_reason("kubernetes_dropped", "What of the cluster's workloads found no room.", dropped)


def _of_health(health: Health) -> Iterator[Metric]:
    prefix = "plumbline_aggregator_third_parties"
    followed, dropped = health.counts
    meaning = "Clients of third parties of which it is known how those do for them."
    yield GaugeMetricFamily(f"{prefix}_followed", meaning, value=followed)
    yield CounterMetricFamily(f"{prefix}_forgotten", "What had to make room among them.", value=dropped)
    yield CounterMetricFamily(f"{prefix}_left_out", "Rows that were too many to be looked at.", value=health.left_out)
    yield CounterMetricFamily(f"{prefix}_faults", "Faults of our own in looking at them.", value=health.faults)


def _gauges(own: Own, live: Live | None) -> Iterator[tuple[str, str, float]]:
    yield "start_time_seconds", "When this aggregator began, seconds since 1970.", own.started
    yield "agents", "Hosts whose agent has a stream open.", own.agents
    yield "working_set_bytes", "Resident memory of this process.", resident_bytes()
    yield "catalog_problems", "Places in the catalog that cannot be used as written.", own.catalog_problems
    yield "checkpoint_bytes", "Size of the newest checkpoint.", own.checkpoint_bytes
    yield "export_left_out", "What the exports could not say.", own.left_out
    if live is None:
        return
    graph = live.usual.newest.graph
    yield "nodes", "Nodes of the graph, of the usual window.", len(graph.nodes)
    yield "edges", "Edges of the graph, of the usual window.", len(graph.edges)
    for name, meaning, value in unresolved(graph):
        yield f"unresolved_{name}", meaning, value
    yield "stale_hosts", "Hosts whose agent is silent.", sum(host.stale for host in graph.hosts.values())
    yield "watchers", "Readers that watch the graph.", live.watchers
    yield "snapshot_seconds", "What the newest snapshot took.", live.snapshot_seconds
    yield "journal_bytes", "Journal that no checkpoint covers yet.", live.store.position - live.store.saved_position
    for name, value in live.store.estate.held().items():
        yield f"known_{name}", f"How many {name} are held.", value


def unresolved(graph: Graph) -> Iterator[tuple[str, str, float]]:
    """What has an end that nobody knows."""
    unknown = {key for key, node in graph.nodes.items() if node.kind == NODE_KIND_UNRESOLVED}
    edges = [edge for edge in graph.edges.values() if {edge.source, edge.target} & unknown] if unknown else []
    yield "edges", "Edges with an end that nobody knows, of the usual window.", len(edges)
    yield "requests", "Requests of these edges.", sum(edge.requests for edge in edges)
    yield "connections", "Connections of these edges.", sum(edge.connections for edge in edges)


def _counters(totals: Totals, live: Live | None) -> Iterator[tuple[str, str, float]]:
    yield "batches", "Batches received.", totals.batches
    yield "repeated_batches", "Batches that were known already.", totals.repeated_batches
    yield "records", "Rows of flows and requests merged.", totals.records
    yield "received_bytes", "Bytes of batches.", totals.received_bytes
    yield "snapshots", "Snapshots made of the usual window.", live.snapshots if live else 0
    yield "failed_snapshots", "Rounds in which a snapshot could not be made.", totals.failed_snapshots
    yield "sent_changes", "Changes sent to watchers.", totals.sent_changes
    yield "exports", "Exports served.", totals.exports
    yield "checkpoints", "Checkpoints written.", totals.checkpoints
