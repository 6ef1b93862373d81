"""How soon the truth is seen: from an agent's start to its first edge, and from a call to a watcher.

python -m bench.start [--json] [--starts 5] [--calls 50]      (root; nginx-light, wrk)

All times are of one clock. A watcher subscribes as any program does; an agent reports once a second, as is usual. The
second part is once alone, and once while a synthetic fleet reports 100,000 records a second to the same aggregator.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub

from bench.common import Figure, flags, median, progress, quantile, show, write
from bench.stage import CLIENT_HOST, SERVER_HOST, Missing, Pair, agents, stage
from tests.cluster.cluster import Cluster
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import PYTHON, ProgramFailed, wait_until
from tests.cluster.product import PLUMB, Product

CALLS = Path(__file__).with_name("calls.py")
FIRST_PORT = 20_000
RECORDS_A_SECOND, FLEET_EDGES = 100_000, 1_000


class Watcher:
    """When each edge was first told, by (source, port), in seconds of the monotonic clock."""

    def __init__(self, address: str) -> None:
        self.first: dict[tuple[str, int], float] = {}
        threading.Thread(target=self._follow, args=(address,), daemon=True).start()

    def _follow(self, address: str) -> None:
        # Until the aggregator ends: that is the end of the measurement.
        with grpc.insecure_channel(address) as channel, suppress(grpc.RpcError):
            for event in TopologyServiceStub(channel).WatchTopology(pb.WatchTopologyRequest()):
                now = time.monotonic()
                told = [*event.snapshot.part.edges, *(change.edge for change in event.delta.changes)]
                for edge in told:
                    self.first.setdefault((edge.source, edge.port), now)


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50)
    asked = parser.parse_args()
    try:
        with stage() as (cluster, product):
            # First: the starts are of one machine under several names, and then it is open whose its addresses are.
            calls = new_edges(cluster, product, asked.calls)
            figures = first_edges(cluster, product, asked.starts) + calls
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"start: {error}")
        return 4
    show(figures, asked.json)
    return 0


def first_edges(cluster: Cluster, product: Product, starts: int) -> list[Figure]:
    """Each start is of another host's name, so that its edges are new; traffic flows all the time."""
    pair = Pair(cluster, CLIENT_HOST, SERVER_HOST)
    load = pair.start_wrk(600, delay_ms=20)
    watcher = Watcher(product.address)
    seconds = []
    for number in range(starts):
        progress(f"start {number + 1} of {starts}")
        host = f"{CLIENT_HOST}{number}"
        flags_of_agent = ["--host", host, "--cgroup-root", str(cluster.cgroup_root(CLIENT_HOST))]
        begin = time.monotonic()
        agent = subprocess.Popen(
            [*PLUMB, "agent", *flags_of_agent, "--aggregator", f"127.0.0.1:{product.agents_port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(partial(_first_of, watcher, host), "the first edge of a new agent", 30)
        finally:
            agent.terminate()
            agent.wait(20)
        seconds.append(_first_of(watcher, host) - begin)
    load.end()
    return [
        Figure("agent's start to its first edge at a watcher", median(seconds), "s", "<= 10"),
        Figure("  longest", max(seconds), "s"),
    ]


def new_edges(cluster: Cluster, product: Product, calls: int) -> list[Figure]:
    server, client = cluster.unit(SERVER_HOST, "late"), cluster.unit(CLIENT_HOST, "early")
    command = [PYTHON, CALLS, "serve", FIRST_PORT, 2 * calls]
    server.start("serve", command, listens=[f"{server.ipv4}:{FIRST_PORT + 2 * calls - 1}"])
    found = []
    with agents(product, CLIENT_HOST, SERVER_HOST):
        watcher = Watcher(product.address)
        for part, (name, busy) in enumerate((("alone", False), ("under 100,000 records a second", True))):
            progress(f"new edges, {name}")
            first = FIRST_PORT + part * calls
            with _fleet(product) if busy else _nothing():
                call = [PYTHON, CALLS, "call", server.ipv4, first, calls]
                lines = client.run(f"call-{part}", call, timeout_seconds=3 * calls).splitlines()
                began = {int(port): int(ns) / 1e9 for port, ns in (line.split() for line in lines)}
                seen = {(client.node_id, port): at for port, at in began.items()}
                wait_until(partial(watcher.first.keys().__ge__, seen.keys()), "every edge", 20)
            waits = [watcher.first[edge] - at for edge, at in seen.items()]
            found += _figures(name, waits, "< 1,000" if busy else "", "new edge under load" if busy else "")
    return found


def _figures(name: str, waits: Sequence[float], budget: str, row: str) -> list[Figure]:
    return [
        Figure(f"call to watcher, {name}: median of {len(waits)}", median(waits) * 1e3, "ms"),
        Figure("  p99", quantile(waits, 0.99) * 1e3, "ms", budget, row=row),
    ]


def _first_of(watcher: Watcher, host: str) -> float:
    """0 when there is none yet."""
    return min((at for (source, _), at in watcher.first.copy().items() if source.startswith(f"{host}/")), default=0.0)


@contextmanager
def _fleet(product: Product) -> Iterator[None]:
    words = [str(product.agents_port), str(FLEET_EDGES), str(RECORDS_A_SECOND)]
    fleet = subprocess.Popen([sys.executable, "-m", "bench.background", *words])
    try:
        time.sleep(15)
        yield
    finally:
        fleet.kill()
        fleet.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


if __name__ == "__main__":
    sys.exit(main())
