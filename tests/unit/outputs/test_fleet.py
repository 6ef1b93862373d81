"""Many agents whose aggregator was away come back at once: spread out, in bounded memory, with every count."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from plumbline.v1.flow_pb2 import ENDPOINT_KIND_UNIT, ROLE_CLIENT, TRANSPORT_TCP, FlowDefinition, LocalEndpoint
from plumbline.v1.topology_pb2 import GetTopologyRequest
from plumbline.v1.topology_pb2_grpc import TopologyServiceStub

from agent.outbox import MOST_IN_FLIGHT
from agent.settings import Settings
from tests.cluster.product import free_ports
from tests.unit.agent.test_report import Sending
from tests.unit.outputs.running import until

TREE = Path(__file__).parents[3]
OUTAGE_SECONDS, TICK_SECONDS = 4.0, 0.5
MOST_RESUME_SECONDS = 30.0


class Member(Sending):
    """One agent of the fleet; when its streams were opened."""

    def __init__(self, number: int, aggregator: str) -> None:
        super().__init__(Settings(host=f"host{number}", aggregator=aggregator))
        self.flow = FlowDefinition(
            id=1, endpoint=1, local_address=bytes(16), peer_address=bytes(15) + b"\7", port=80,
            role=ROLE_CLIENT, transport=TRANSPORT_TCP,
        )  # fmt: skip
        self.outbox.note("endpoints", [LocalEndpoint(id=1, kind=ENDPOINT_KIND_UNIT, unit="web.service")])
        self.define()

    async def connected_at(self, streams: int) -> float:
        while self.reachability.streams_total < streams:
            await asyncio.sleep(0.01)
        return time.monotonic()


@contextlib.contextmanager
def aggregator(data: Path, ports: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    flags = [f"--{name}=127.0.0.1:{port}" for name, port in zip(("agents", "grpc", "http"), ports, strict=True)]
    command = [sys.executable, "-m", "cli", "aggregator", *flags, "--data", str(data)]
    log = data.with_suffix(".log")
    with log.open("w") as sink, subprocess.Popen(command, stdout=sink, stderr=sink, text=True, cwd=TREE) as process:
        try:
            end = time.monotonic() + 60
            while '"aggregator_ready"' not in log.read_text():
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def peak_megabytes(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def count_until(fleet: Sequence[Member], end: asyncio.Event) -> None:
    while not end.is_set():
        for member in fleet:
            member.count()
        await asyncio.sleep(TICK_SECONDS)


async def connections(port: int) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = GetTopologyRequest(window=Duration(seconds=3600))
        answer = await TopologyServiceStub(channel).GetTopology(request)
        return sum(edge.connections for edge in answer.topology.edges)


async def away_and_back(data: Path, agents: int) -> dict[str, float]:
    """Figures of one outage."""
    ports = free_ports(3)
    with aggregator(data, ports) as first:
        fleet = [Member(number, f"127.0.0.1:{ports[0]}") for number in range(agents)]
        await asyncio.wait_for(asyncio.gather(*(member.connected_at(1) for member in fleet)), 60)
        end = asyncio.Event()
        counting = asyncio.create_task(count_until(fleet, end))
        await asyncio.sleep(2)
        quiet_megabytes = peak_megabytes(first)
        first.kill()
    await asyncio.sleep(OUTAGE_SECONDS)
    rows = max(member.outbox.waiting.rows for member in fleet)
    flying = max(member.outbox.unacknowledged for member in fleet)
    streams = [member.reachability.streams_total for member in fleet]
    starting = aggregator(data, ports)
    again = await asyncio.to_thread(starting.__enter__)
    try:
        began = time.monotonic()
        waits = (member.connected_at(had + 1) for member, had in zip(fleet, streams, strict=True))
        times = sorted(await asyncio.wait_for(asyncio.gather(*waits), 60))
        end.set()
        await counting
        await until(lambda: all(member.outbox.empty for member in fleet), 60)
        total = sum(member.counted for member in fleet)
        async with asyncio.timeout(20):
            while await connections(ports[1]) < total:
                await asyncio.sleep(0.1)
        shown = await connections(ports[1])
        megabytes = peak_megabytes(again)
    finally:
        starting.__exit__(None, None, None)
    for member in fleet:
        await member.end()
    return {
        "missing": total - shown,
        "rows": rows,
        "flying": flying,
        "resumed_p99_seconds": times[int(0.99 * (agents - 1))] - began,
        "spread_seconds": times[int(0.9 * (agents - 1))] - times[int(0.1 * (agents - 1))],
        "quiet_megabytes": quiet_megabytes,
        "peak_megabytes": megabytes,
    }


@pytest.mark.parametrize("agents", [20, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
def test_agents_that_come_back_at_once(tmp_path: Path, agents: int, record_property: object) -> None:
    found = asyncio.run(away_and_back(tmp_path / "data", agents))
    assert callable(record_property)
    record_property("figures", json.dumps(found))
    assert found["missing"] == 0, found
    assert found["rows"] <= OUTAGE_SECONDS / TICK_SECONDS + 8 and found["flying"] <= MOST_IN_FLIGHT, found
    assert found["resumed_p99_seconds"] < MOST_RESUME_SECONDS, found
    assert found["spread_seconds"] > 0.2, found
    assert found["peak_megabytes"] < 1.5 * found["quiet_megabytes"] + 50, found
