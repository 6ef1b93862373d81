"""A real server of the contract's reading half in this process, with a small graph that never changes by itself."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.json_format import ParseDict
from plumbline.v1 import insight_pb2, insight_pb2_grpc, topology_pb2, topology_pb2_grpc

from cli import __main__ as plumb

TREE = Path(__file__).parents[3]
FROM, TO = "2026-01-02T03:04:05Z", "2026-01-02T03:09:05Z"


def shop() -> topology_pb2.Topology:
    """Two units of one host, one of which nobody calls, and a third party."""
    times = {"firstSeen": FROM, "lastSeen": TO}
    whole: dict[str, Any] = {
        "position": {"epoch": "e1", "version": 7},
        "cluster": "default",
        "window": {"from": FROM, "to": TO},
        "nodes": [
            {"id": "alpha/frontend", "kind": "NODE_KIND_UNIT", "name": "frontend", "hostCount": 1, **times},
            {"id": "alpha/backend", "kind": "NODE_KIND_UNIT", "name": "backend", "hostCount": 1, "listens": [8080]},
            {"id": "alpha/idle", "kind": "NODE_KIND_UNIT", "name": "idle", "hostCount": 1, "listens": [9]},
            {"id": "api.pay.test", "kind": "NODE_KIND_THIRD_PARTY", "name": "api.pay.test", "nameSource": "host"},
        ],
        "edges": [
            {
                "id": "x1", "source": "alpha/frontend", "target": "alpha/backend", "protocol": "http", "port": 8080,
                "class": "EDGE_CLASS_TRAFFIC", "requests": 120, "errors": 3, "connections": 4,
                "statuses": {"2xx": 117, "5xx": 3}, "latencyMs": {"mean": 1.5, "p50": 1.2, "p95": 3.25, "p99": 9},
                "failedConnections": {"refused": 2, "timeout": 1}, "bytesSent": 2048, "bytesReceived": 3145728,
                "seenFrom": "SEEN_FROM_BOTH", "coverage": 1, **times,
                "routes": [{"method": "GET", "route": "/items/*", "requests": 120, "errors": 3, "class": "call",
                            "latencyMs": {"mean": 1.5, "p95": 3.25, "p99": 9}}],
            },
            {
                "id": "x2", "source": "alpha/backend", "target": "api.pay.test", "protocol": "tls", "port": 443,
                "class": "EDGE_CLASS_TRAFFIC", "connections": 6, "bytesSent": 10, "bytesReceived": 20,
                "seenFrom": "SEEN_FROM_CLIENT", "encrypted": True, **times,
            },
        ],
        "hosts": [
            {"name": "alpha", "lastSeen": TO, "coverage": 1, "lost": {"ring_full": 5},
             "blind": [{"from": FROM, "to": TO, "reason": "agent restarted"}]},
        ],
        "stale": [{"name": "pods", "since": FROM, "reason": "The API server says 403."}],
    }  # fmt: skip
    return ParseDict(whole, topology_pb2.Topology())


@dataclass
class Served(topology_pb2_grpc.TopologyServiceServicer, insight_pb2_grpc.InsightServiceServicer):
    """What the server says. `events` feeds each watch; None in it breaks the connection. A refusal comes first."""

    topology: topology_pb2.Topology
    answers: dict[str, insight_pb2.AskResponse] = field(default_factory=dict)
    exports: dict[str, bytes] = field(default_factory=dict)
    events: SimpleQueue[topology_pb2.WatchTopologyResponse | None] = field(default_factory=SimpleQueue)
    requests: list[Any] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    refusal: tuple[grpc.StatusCode, str] | None = None
    address: str = ""

    def GetTopology(self, request: Any, context: Any) -> topology_pb2.GetTopologyResponse:  # noqa: N802
        self.requests.append(request)
        if self.refusal:
            context.abort(*self.refusal)
        self.metadata = {item.key: item.value for item in context.invocation_metadata()}
        return topology_pb2.GetTopologyResponse(topology=self.topology)

    def WatchTopology(self, request: Any, context: Any) -> Iterator[topology_pb2.WatchTopologyResponse]:  # noqa: N802
        self.requests.append(request)
        while (event := self.events.get()) is not None:
            yield event
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    def Ask(self, request: Any, context: Any) -> insight_pb2.AskResponse:  # noqa: N802
        self.requests.append(request)
        if request.question not in self.answers:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Nothing of the name {request.subject} was seen.")
        return self.answers[request.question]

    def Export(self, request: Any, context: Any) -> insight_pb2.ExportResponse:  # noqa: N802
        if request.form not in self.exports:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"There is no form {request.form}; use backstage.")
        return insight_pb2.ExportResponse(content=self.exports[request.form])


@pytest.fixture
def served() -> Iterator[Served]:
    service = Served(shop())
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    topology_pb2_grpc.add_TopologyServiceServicer_to_server(service, server)
    insight_pb2_grpc.add_InsightServiceServicer_to_server(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield service
    # A watch that nobody reads any more waits for its next event.
    service.events.put(None)
    server.stop(grace=None).wait()


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Ended:
    """`plumb` with these arguments, in this process."""
    with CliRunner().isolation() as (stdout, stderr, _):
        status = plumb.run(arguments)
        return Ended(status, stdout.getvalue().decode(), stderr.getvalue().decode())


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `plumb`, or another program, as a process of its own that does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, program: Sequence[str] = ("-m", "cli")) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TREE
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits until the condition holds; a test that waits in vain fails here."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.01)
