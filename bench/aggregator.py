"""The aggregator's core: records a second, against one message a record; snapshots; a restart; new edges under load.

python -m bench.aggregator [--json] [--quick]

CPU of this process, not time. A record is one row of a batch; rows come in batches of 16,000 as agents pack them, are
decoded, checked, appended to the journal and kept, and age as they do in a running aggregator. The sizes take turns
in one run, forwards and backwards.
"""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1 import topology_pb2 as pb_topology

from aggregator.ingest.decoding import decode
from aggregator.settings import Settings
from aggregator.snapshots import Made
from aggregator.store import Store
from aggregator.topology.changes import changes_between
from aggregator.topology.snapshot import Graph
from bench.common import Figure, cpu_seconds, flags, median, progress, show
from bench.fleet import HostAgent, fleet
from bench.naive import NaiveStore, records
from bench.newedges import new_edges
from bench.wire import cpu_seconds_of_stream

BATCH_ROWS = 16_000
SECOND_NS = 1_000_000_000
WINDOW_NS = 300 * SECOND_NS
# Of a busy estate's flows, in one second.
ACTIVE_SHARE = 0.2


class Observer:
    def damaged(self, file: Path, at_byte: int, cut_bytes: int, reason: str) -> None:
        raise RuntimeError(f"{file} is damaged at {at_byte}: {reason}")

    def unusable(self, what: str, error: Exception) -> None:
        raise error


class Site:
    """A store and the agents that report to it; its clock is moved by hand."""

    def __init__(self, edges: int, data: Path) -> None:
        self.edges = edges
        self.now_ns = time.time_ns()
        self.settings = Settings(data=data)
        self.store = self.opened()
        self.agents = fleet(edges, max(2, edges // 2500), self.now_ns)
        self.hellos: dict[str, pb.Hello] = {}
        self.dice = np.random.default_rng(1)
        for agent in self.agents:
            request = agent.hello(self.now_ns)
            self.hellos[agent.name] = request.hello
            self.store.hello(request.hello, request.SerializeToString())
            for definitions in agent.definitions():
                self.take(agent, definitions.SerializeToString())

    def opened(self) -> Store:
        return Store(self.settings, Observer(), lambda: self.now_ns)

    def take(self, agent: HostAgent, payload: bytes) -> None:
        """As a stream's reader does."""
        taken = self.store.batch(self.hellos[agent.name], decode(payload).batch, payload)
        if not taken.is_new:
            raise RuntimeError(f"a batch was not taken: {taken}")

    def batches(self, count: int) -> list[tuple[HostAgent, bytes]]:
        """Of all hosts in turn, one second of the estate's time."""
        since_ns, self.now_ns = self.now_ns, self.now_ns + SECOND_NS
        made = []
        for number in range(count):
            agent = self.agents[number % len(self.agents)]
            made.append((agent, agent.rows(BATCH_ROWS, since_ns, self.now_ns, self.dice).SerializeToString()))
        return made

    def second(self) -> None:
        """What comes in one second of a busy estate."""
        since_ns, self.now_ns = self.now_ns, self.now_ns + SECOND_NS
        for agent in self.agents:
            left = int(len(agent.flows) * 4 * ACTIVE_SHARE)
            while left > 0:
                self.take(
                    agent, agent.rows(min(left, BATCH_ROWS), since_ns, self.now_ns, self.dice).SerializeToString()
                )
                left -= BATCH_ROWS


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that it works")
    asked = parser.parse_args()
    sizes, seconds = ((1000, 10_000), 10) if asked.quick else ((1000, 10_000, 100_000), 60)
    figures = [*ingest(sizes, 6 if asked.quick else 12), *against_naive(), *restart(2 if asked.quick else 8)]
    for edges in (1000, 5000) if asked.quick else (1000, 10_000, 50_000):
        figures += snapshots(edges, seconds if edges < 50_000 else seconds // 2)
    figures += new_edges(1000, 20_000, 30) if asked.quick else new_edges(10_000, 100_000, 200)
    show(figures, asked.json)


def ingest(sizes: Sequence[int], rounds: int) -> list[Figure]:
    """Each round is 8 batches a size, in turn; ages every fifth second as a running aggregator does."""
    plain: dict[int, list[float]] = {edges: [] for edges in sizes}
    synced: dict[int, list[float]] = {edges: [] for edges in sizes}
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        sites = [Site(edges, Path(data) / str(edges)) for edges in sizes]
        for number in range(rounds):
            progress(f"ingest: round {number + 1} of {rounds}")
            for site in sites if number % 2 else reversed(sites):
                plain[site.edges].append(_ingest_round(site, number, sync=False))
                synced[site.edges].append(_ingest_round(site, number, sync=True))
        for site in sites:
            site.store.close()
    found = []
    for edges in sizes:
        found.append(Figure(f"records a second a core, {edges:,} edges", 1 / median(plain[edges]), "records/s"))
        found.append(
            Figure(f"  with a group sync each second, {edges:,} edges", 1 / median(synced[edges]), "records/s")
        )
    for fewer, more in pairwise(sizes):
        ratio = median([b / a for a, b in zip(plain[fewer], plain[more], strict=True)])
        found.append(Figure(f"cost of a record, {more:,} against {fewer:,} edges", ratio, "x", "<= 2"))
    return found


def _ingest_round(site: Site, number: int, sync: bool) -> float:
    batches = site.batches(8)

    def work() -> None:
        for agent, payload in batches:
            site.take(agent, payload)
        if sync:
            site.store.sync()
        if number % 3 == 2:
            site.store.age()

    return cpu_seconds(work)[0] / (len(batches) * BATCH_ROWS)


def against_naive() -> list[Figure]:
    """The same rows as one message a record: merged only, and with the stream that brings them."""
    progress("one message a record")
    merged, streamed = [], []
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        site, naive = Site(1000, Path(data)), NaiveStore()
        for number in range(6):
            batches = site.batches(8)
            agent, payload = batches[0]
            single = records(agent, decode(payload).batch)
            ours = [cpu_seconds(partial(site.take, *one))[0] / BATCH_ROWS for one in batches[:4]]
            theirs = cpu_seconds(partial(naive.add_all, single))[0] / len(single)
            merged.append(theirs / median(ours))
            streamed.append(_streamed(site, batches[4:], naive, single[:4000], number % 2 == 0))
    ratio = median([theirs / ours for ours, theirs in streamed])
    return [
        Figure("times fewer CPU a record than one message each, with its stream", ratio, "x", ">= 100"),
        Figure("  the same without the stream: decoded and merged", median(merged), "x"),
        Figure(
            "  records a second a core with the stream, ours", 1 / median([ours for ours, _ in streamed]), "records/s"
        ),
        Figure("  one message each", 1 / median([theirs for _, theirs in streamed]), "records/s"),
    ]


def _streamed(
    site: Site, batches: Sequence[tuple[HostAgent, bytes]], naive: NaiveStore, single: Sequence[bytes], first: bool
) -> tuple[float, float]:
    """CPU a record, ours and naive; which goes first changes."""
    queue = [agent for agent, _ in batches]

    def ours() -> float:
        payloads = [payload for _, payload in batches]
        return cpu_seconds_of_stream(payloads, lambda payload: site.take(queue.pop(0), payload)) / (
            len(payloads) * BATCH_ROWS
        )

    def theirs() -> float:
        return cpu_seconds_of_stream(single, naive.add) / len(single)

    if first:
        return ours(), theirs()
    later = theirs()
    return ours(), later


def snapshots(edges: int, seconds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        progress(f"snapshots of {edges:,} edges: {seconds} s of data")
        site = Site(edges, Path(data))
        made, aged, compared = [], [], []
        graph = Graph.of(pb_topology.Topology())
        for number in range(seconds):
            site.second()
            if number % 5 == 4:
                aged.append(cpu_seconds(site.store.age)[0])
            if number >= seconds - 3:
                before = graph
                used, graph = cpu_seconds(partial(whole, site.store))
                made.append(used)
                if before.edges:
                    compared.append(cpu_seconds(partial(changes_between, before, graph))[0])
        site.store.close()
    seen = len(graph.edges)
    return [
        Figure(
            f"snapshot, {edges:,} edges", median(made) * 1e3, "ms", note=f"{median(made) / seen * 1e6:.0f} us an edge"
        ),
        Figure("  what changed against the one before", median(compared) * 1e3, "ms"),
        Figure("  ageing, once in 5 s", median(aged) * 1e3, "ms"),
    ]


def whole(store: Store) -> Graph:
    """All steps of a snapshot, one after the other."""
    steps = store.snapshot(WINDOW_NS)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: Made = done.value
            return made.graph


def restart(rounds: int) -> list[Figure]:
    """Of a journal alone, as after a crash before the first checkpoint, and of a checkpoint."""
    progress("restart")
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        site = Site(10_000, Path(data))
        for _ in range(rounds):
            for agent, payload in site.batches(16):
                site.take(agent, payload)
        megabytes = site.store.position / 1e6
        site.store.close()
        site.store = site.opened()
        replayed = site.store.restore().seconds
        size_bytes = site.store.save(*site.store.checkpoint())
        site.store.close()
        site.store = site.opened()
        restored = site.store.restore().seconds
        site.store.close()
    return [
        Figure(
            "restart from a journal alone", replayed, "s", note=f"{megabytes:.0f} MB, {megabytes / replayed:.0f} MB/s"
        ),
        Figure("restart from a checkpoint", restored, "s", note=f"{size_bytes / 1e6:.0f} MB"),
    ]


if __name__ == "__main__":
    main()
