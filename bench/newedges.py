"""From a new edge's batch to a watcher's delta, while a synthetic fleet reports 100,000 records a second.

python -m bench.newedges [--json] [--edges 10000] [--records 100000] [--calls 200]

A real aggregator in a process of its own, and the fleet in another. A further agent tells of a new edge each 100 ms,
every second one with a new client that has an address of its own; a watcher subscribes as any program does. Both ends
of each wait are of this process's one clock.
"""

import itertools
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import psutil
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1 import topology_pb2
from plumbline.v1.columns import FLOW_TYPES, REQUEST_TYPES, pack_flows, pack_requests
from plumbline.v1.flow_pb2_grpc import ReportServiceStub
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub

from bench.common import Figure, flags, median, progress, quantile, show
from bench.fleet import HostAgent, service_address, stamp
from tests.cluster.product import PLUMB, free_ports

PAUSE_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 20
_HOST: Final = "announcer"


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--edges", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=200)
    asked = parser.parse_args()
    show(new_edges(asked.edges, asked.records, asked.calls), asked.json)


def new_edges(edges: int, records: int, calls: int) -> list[Figure]:
    progress(f"new edges: {edges:,} edges are known, {records:,} records a second")
    with _aggregator() as site, _fleet(site.agents_port, edges, records) as fleet:
        watcher = Watcher(site.readers_port)
        watcher.wait_for(edges)
        time.sleep(_SETTLE_SECONDS)
        processes = [psutil.Process(one.pid) for one in (site.process, fleet)]
        begin, used = time.monotonic(), [sum(one.cpu_times()[:2]) for one in processes]
        waits = watcher.waits(Announcer(site.agents_port).tell(calls))
        seconds = time.monotonic() - begin
        cores = [(sum(one.cpu_times()[:2]) - before) / seconds for one, before in zip(processes, used, strict=True)]
        memory = processes[0].memory_info().rss / 1e6
    return [
        Figure(f"new edge to watcher, {edges:,} edges, {records:,} records/s: median", median(waits) * 1e3, "ms"),
        Figure("  p99", quantile(waits, 0.99) * 1e3, "ms", "< 1,000", f"of {len(waits)}"),
        Figure("  longest", max(waits) * 1e3, "ms"),
        Figure("  CPU of the aggregator meanwhile", cores[0], "cores", note=f"{memory:,.0f} MB resident"),
        Figure("  CPU of the fleet that reports", cores[1], "cores"),
    ]


class Watcher:
    """When each edge was first told, by the client's id and port."""

    def __init__(self, port: int) -> None:
        self._first: dict[tuple[str, int], float] = {}
        self._known: set[str] = set()
        self._ended = ""
        threading.Thread(target=self._follow, args=(port,), daemon=True).start()

    def wait_for(self, edges: int) -> None:
        while len(self._known) < edges * 0.9:
            self._check()
            time.sleep(0.2)

    def waits(self, sent: dict[tuple[str, int], float]) -> list[float]:
        """Raises RuntimeError for an edge that never came."""
        end = time.monotonic() + 30
        while not sent.keys() <= self._first.keys():
            if time.monotonic() > end:
                raise RuntimeError(f"{len(sent.keys() - self._first.keys())} of {len(sent)} edges never came")
            self._check()
            time.sleep(0.05)
        return [self._first[edge] - at for edge, at in sent.items()]

    def _check(self) -> None:
        """An edge that nobody listens for any more is not one that never came."""
        if self._ended:
            raise RuntimeError(f"the watch ended: {self._ended}")

    def _follow(self, port: int) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            try:
                for event in TopologyServiceStub(channel).WatchTopology(topology_pb2.WatchTopologyRequest()):
                    self._take(event, time.monotonic())
            except grpc.RpcError as error:
                self._ended = str(error)

    def _take(self, event: topology_pb2.WatchTopologyResponse, now: float) -> None:
        changed = (change.edge for change in event.delta.changes if change.HasField("edge"))
        for edge in itertools.chain(event.snapshot.part.edges, changed):
            self._first.setdefault((edge.source, edge.port), now)
            self._known.add(edge.id)


class Announcer:
    """One agent; its edges go to services of the fleet, each to a port that nobody else uses."""

    def __init__(self, port: int) -> None:
        self._agent = HostAgent(_HOST)
        self._out: queue.Queue[pb.ReportRequest | None] = queue.Queue()
        threading.Thread(target=self._report, args=(port,), daemon=True).start()
        self._out.put(self._agent.hello(time.time_ns()))

    def tell(self, calls: int) -> dict[tuple[str, int], float]:
        """When each one was sent."""
        sent = {}
        for number in range(calls):
            time.sleep(PAUSE_SECONDS)
            request, edge = self._call(number)
            sent[edge] = time.monotonic()
            self._out.put(request)
        return sent

    def _call(self, number: int) -> tuple[pb.ReportRequest, tuple[str, int]]:
        now_ns, client = time.time_ns(), number // 2
        batch, own = pb.Batch(), bytes(10) + b"\xff\xff\x0b" + client.to_bytes(3, "big")
        if number % 2 == 0:
            batch.endpoints.add(
                id=client, kind=pb.ENDPOINT_KIND_POD, pod_uid=f"late{client}", network_namespace=10**6 + client
            )
            claim = batch.ownerships.add(endpoint=client, address=own, realm=pb.REALM_CLUSTER)
            getattr(claim, "from").CopyFrom(stamp(now_ns))
        port = 20_000 + number
        batch.flow_definitions.add(
            id=number,
            endpoint=client,
            local_address=own,
            peer_address=service_address(number),
            port=port,
            role=pb.ROLE_CLIENT,
            transport=pb.TRANSPORT_TCP,
        )
        flow_row = {name: np.zeros(1, kind) for name, kind in FLOW_TYPES.items()}
        request_row = {name: np.zeros(1, kind) for name, kind in REQUEST_TYPES.items()}
        flow_row["flow"][0] = request_row["flow"][0] = number
        flow_row["connections"][0] = request_row["count"][0] = 1
        request_row["protocol"][0], request_row["outcome"][0] = pb.PROTOCOL_HTTP, pb.OUTCOME_ANSWERED
        request_row["code"][0], request_row["latency_bucket"][0] = 200, 160
        batch.flows.CopyFrom(pack_flows(flow_row))
        batch.requests.CopyFrom(pack_requests(request_row))
        batch.buckets.append(pb.TimeBucket(**{"from": stamp(now_ns - 10**7), "to": stamp(now_ns)}))
        return self._agent.numbered(batch), (f"{_HOST}/pod-late{client}", port)

    def _report(self, port: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, suppress(grpc.RpcError):
            for _ in ReportServiceStub(channel).Report(iter(self._out.get, None)):
                pass


@dataclass(slots=True)
class Site:
    """A running aggregator."""

    agents_port: int
    readers_port: int
    http_port: int
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the aggregator ended with {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/readyz", timeout=2):
                return True
        except OSError:
            return False


@contextmanager
def _aggregator() -> Iterator[Site]:
    ports = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        listeners = zip(("--agents", "--grpc", "--http"), ports, strict=True)
        words = [word for flag, port in listeners for word in (flag, f"127.0.0.1:{port}")]
        with Path(data, "log").open("wb") as log:
            process = subprocess.Popen([*PLUMB, "aggregator", *words, "--data", data], stdout=log, stderr=log)
        try:
            site = Site(ports[0], ports[1], ports[2], process)
            while not site.is_ready:
                time.sleep(0.1)
            yield site
        finally:
            process.kill()
            process.wait()


@contextmanager
def _fleet(agents_port: int, edges: int, records: int) -> Iterator["subprocess.Popen[bytes]"]:
    words = [str(agents_port), str(edges), str(records)]
    fleet = subprocess.Popen([sys.executable, "-m", "bench.background", *words])
    try:
        yield fleet
    finally:
        fleet.kill()
        fleet.wait()


if __name__ == "__main__":
    main()
