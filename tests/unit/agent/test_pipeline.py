"""The whole agent on a scripted kernel and a real stream: what is announced and counted arrives, named and once."""

import asyncio
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from plumbline.v1.flow_pb2 import NAME_KIND_HOST, NAME_KIND_ROUTE, PROTOCOL_HTTP, DnsAnswer

from agent import pipeline
from agent.identity.cgroup import find_cgroup_root
from agent.records import DnsSeen, Kernel, KernelRefused, ListenerSeen, NameSeen, QuicSeen
from agent.settings import Settings
from agent.upgrade import OpenKernel
from tests.unit.agent.aggregators import FakeDisk, Reports, serve, until
from tests.unit.agent.kernels import LOOPBACK, SERVER, ScriptedKernel, flow
from tests.unit.agent.quic.said import datagrams

BIG = 0xF000_0000_0000_0000
Test = Callable[[ScriptedKernel, FakeDisk], Awaitable[None]]


def with_agent(test: Test, **flags: Any) -> int:
    """Runs a test beside an agent that reports to a disk; returns the agent's exit status."""

    async def both() -> int:
        kernel, disk, stop = ScriptedKernel(), FakeDisk(), asyncio.Event()
        server, address = await serve(Reports(disk))
        settings = Settings(host="alpha", aggregator=address, **flags)
        agent = asyncio.create_task(pipeline.run(settings, stop, lambda *_: kernel))
        try:
            await until(lambda: kernel.drains or agent.done())
            await test(kernel, disk)
        finally:
            stop.set()
            status = await agent
            await server.stop(None)
        assert kernel.closed
        return status

    return asyncio.run(both())


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_counts_arrive_with_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.see(flow(BIG + 1, command="curl", port=41999), flow(BIG + 2, command="nginx", port=41999, role=SERVER))
        kernel.announce(
            NameSeen(BIG + 10, NAME_KIND_ROUTE, b"/users/12", BIG + 1),
            NameSeen(BIG + 11, NAME_KIND_ROUTE, b"/users/345", BIG + 1),
            NameSeen(BIG + 12, NAME_KIND_HOST, b"Shop.Example\n<b>", BIG + 1),
        )
        kernel.count(
            [{"flow": BIG + 1, "connections": 2, "bytes_sent": 100}, {"flow": BIG + 2, "connections": 2}],
            [
                {"flow": BIG + 1, "protocol": PROTOCOL_HTTP, "name": BIG + 10, "host": BIG + 12, "count": 3},
                {"flow": BIG + 1, "protocol": PROTOCOL_HTTP, "name": BIG + 11, "host": BIG + 12, "count": 4},
                {"flow": BIG + 2, "protocol": PROTOCOL_HTTP, "name": 1, "host": 0, "count": 7},
                {"flow": BIG + 2, "protocol": PROTOCOL_HTTP, "name": BIG + 99, "host": 0, "count": 1},
            ],
        )
        await until(lambda: disk.requests == 15)
        names = {one.text: one.id for one in disk.names.values()}
        assert set(names) == {"/users/*", r"shop.example\x0a<b>"}
        rows = [batch.requests for batch in disk.batches if batch.requests.flow]
        named = b"".join(row.name for row in rows)
        # Two routes of the kernel with one text are one; (other) is 1, a name without its text 2.
        assert sorted(memoryview(named).cast("I").tolist()) == sorted([names["/users/*"], 1, 2])
        commands = {disk.endpoints[one.endpoint].command: (one.role, one.port) for one in disk.flows.values()}
        assert commands["curl"] == (1, 41999)
        assert commands["nginx"] == (2, 41999)
        listening = [one for batch in disk.batches for one in batch.ownerships if one.listening and one.port == 41999]
        assert {disk.endpoints[one.endpoint].command for one in listening} == {"nginx"}

    assert with_agent(test) == 0
    told = [event["event"] for event in events(capsys.readouterr().out)]
    start = ["agent_starting", "kernel_attached", "kernel_part_missing", "host_read"]
    assert [one for one in told if one in start] == start
    assert told[-1] == "agent_stopped"


def test_a_new_flow_is_reported_at_once_and_known_ones_at_the_interval() -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        await asyncio.sleep(0.3)
        before = len(kernel.drains)
        began = time.monotonic()
        kernel.count([{"flow": BIG + 1, "connections": 1}])
        kernel.see(flow(BIG + 1))
        await until(lambda: disk.connections, 2)
        assert time.monotonic() - began < 0.5
        # A storm of new flows does not become a storm of drains.
        for one in range(2, 100):
            kernel.see(flow(BIG + one, port=one))
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - began
        assert len(kernel.drains) - before <= seconds / 0.15 + 2

    assert with_agent(test, interval_seconds=30) == 0


def test_a_flow_that_appears_during_a_drain_does_not_wait_for_the_next_interval() -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        def appears() -> None:
            kernel.during_drain = lambda: None
            kernel.see(flow(BIG + 2))
            kernel.count([{"flow": BIG + 2, "connections": 3}])

        await asyncio.sleep(0.3)
        began = time.monotonic()
        kernel.during_drain = appears
        kernel.see(flow(BIG + 1))
        await until(lambda: disk.connections.total() == 3, 2)
        assert time.monotonic() - began < 0.7

    assert with_agent(test, interval_seconds=30) == 0


def test_what_was_counted_last_is_delivered_at_the_end() -> None:
    delivered: list[FakeDisk] = []

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        delivered.append(disk)
        kernel.known[BIG + 1] = flow(BIG + 1)
        kernel.count([{"flow": BIG + 1, "connections": 9}])

    assert with_agent(test, interval_seconds=60) == 0
    assert delivered[0].connections.total() == 9


def test_a_quic_connection_counts_under_the_name_in_its_hello_and_to_the_end() -> None:
    """One whose hello has come to half when the agent ends is counted without a name."""
    delivered: list[FakeDisk] = []
    whole, half = datagrams("api.pay.example"), datagrams("cut.example", words=9)[1:]

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        delivered.append(disk)
        for at, said in ((1, whole), (2, half)):
            kernel.announce(*(QuicSeen(BIG + 50 + at, 1, time.time_ns(), one) for one in said))
            kernel.see(flow(BIG + at, transport=17, server_name=BIG + 50 + at))
        kernel.count([{"flow": BIG + 1, "connections": 5}, {"flow": BIG + 2, "connections": 7}])
        await until(lambda: disk.connections.total() == 5)
        (name,) = kernel.connections.values()
        kernel.see(flow(BIG + 3, transport=17, server_name=name))
        kernel.count([{"flow": BIG + 3, "connections": 2}])

    assert with_agent(test, interval_seconds=0.1) == 0
    disk = delivered[0]
    found = Counter[str]()
    for one, count in disk.connections.items():
        found[disk.flows[one].server_name] += count
    assert found == {"api.pay.example": 7, "": 7}
    assert disk.lost == {"quic_unfinished": 1}


def test_a_lost_announcement_is_looked_up_and_what_nobody_knows_is_counted_as_lost() -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.known[BIG + 1] = flow(BIG + 1, command="late")
        kernel.count(
            [{"flow": BIG + 1, "connections": 1}, {"flow": BIG + 7, "connections": 1}, {"flow": 1, "bytes_sent": 5}],
            [{"flow": BIG + 7, "count": 1}],
            lost={"ring_full": 3},
        )
        await until(lambda: disk.lost)
        assert disk.lost == {"ring_full": 3, "unknown_flow": 2}
        assert {one.command for one in disk.endpoints.values()} >= {"late", "(other)"}

    assert with_agent(test, interval_seconds=0.1) == 0


def test_answers_of_dns_and_listeners_are_told() -> None:
    answer = (
        b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03api\x03pay\x07example\x00\x00\x01\x00\x01"
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07"
    )

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.see(flow(BIG + 1, port=53, transport=17))
        now_ns = time.time_ns()
        kernel.announce(
            DnsSeen(BIG + 1, now_ns, answer),
            DnsSeen(BIG + 1, now_ns, b"garbage"),
            ListenerSeen(1, LOOPBACK, 9099, 6, "quiet", os.getpid(), now_ns),
        )

        def answers() -> list[DnsAnswer]:
            return [one for batch in disk.batches for one in batch.dns_answers]

        await until(answers)
        (told,) = answers()
        assert (told.name, told.ttl.seconds) == ("api.pay.example", 60)
        assert [one[-4:] for one in told.addresses] == [b"\xc0\x00\x02\x07"]
        claims = [one for batch in disk.batches for one in batch.ownerships if one.port == 9099]
        assert [(one.address, one.listening, one.network_namespace > 0) for one in claims] == [(LOOPBACK, True, True)]

    assert with_agent(test) == 0


def test_coverage_is_of_what_others_say() -> None:
    """Own reports are not understood: they would be all there is on a quiet host."""

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.see(flow(BIG + 1, process_id=os.getpid()), flow(BIG + 2, port=41999))
        kernel.count(
            [
                {"flow": BIG + 1, "bytes_sent": 9_000},
                {"flow": BIG + 2, "bytes_sent": 60, "bytes_received": 40, "parsed_bytes": 25},
            ]
        )
        await until(lambda: any(batch.flows.flow for batch in disk.batches))
        await until(lambda: any(batch.HasField("host_status") for batch in disk.batches))
        assert min(batch.host_status.coverage for batch in disk.batches if batch.HasField("host_status")) == 0.25

    assert with_agent(test) == 0


def test_metrics_and_health(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.see(flow(BIG + 1))
        requests = [
            {"flow": BIG + 1, "protocol": PROTOCOL_HTTP, "count": 7},
            {"flow": BIG + 1, "protocol": 1, "count": 5},
        ]
        kernel.count([{"flow": BIG + 1, "connections": 1}], requests, lost={"ring_full": 2})
        await until(lambda: disk.lost)
        status, text = await asyncio.to_thread(get, "/metrics")
        assert status == 200
        assert "plumbline_agent_requests_total 7.0" in text
        assert 'plumbline_agent_lost_total{reason="ring_full"} 2.0' in text
        assert "plumbline_agent_aggregator_connected 1.0" in text
        assert "plumbline_agent_kernel_memory_bytes 12345.0" in text
        assert (await asyncio.to_thread(get, "/livez"))[0] == 200
        assert (await asyncio.to_thread(get, "/readyz"))[0] == 200
        assert (await asyncio.to_thread(get, "/else"))[0] == 404

    assert with_agent(test, metrics=address) == 0
    told = events(capsys.readouterr().out)
    assert [(one["reason"], one["count"]) for one in told if one["event"] == "losing"] == [("ring_full", 2)]


def run_alone(settings: Settings, open_kernel: OpenKernel) -> int:
    return asyncio.run(pipeline.run(settings, asyncio.Event(), open_kernel))


def refusing(*_: object) -> Kernel:
    raise KernelRefused("the kernel does not permit BPF programs here", "run it as root")


@pytest.mark.parametrize(
    ("flags", "event", "sentence"),
    [
        ({}, "kernel_refused", "the kernel does not permit BPF programs here"),
        ({"cgroup_root": Path("/nowhere")}, "kernel_refused", "/nowhere is no cgroup below"),
        ({"cgroup_root": Path("/proc")}, "kernel_refused", "/proc is no cgroup below"),
    ],
)
def test_a_refusal_is_one_sentence_with_its_remedy(
    flags: dict[str, Any], event: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_alone(Settings(host="alpha", **flags), refusing) == 4
    last = events(capsys.readouterr().out)[-1]
    assert last["event"] == event
    assert last["reason"].startswith(sentence)
    assert last["remedy"]


def test_a_taken_port_for_metrics_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run_alone(Settings(host="alpha", metrics=address), refusing) == 4
    last = events(capsys.readouterr().out)[-1]
    assert (last["event"], last["address"], last["reason"]) == ("metrics_refused", address, "Address already in use")


@pytest.fixture
def idle_root() -> Iterator[Path]:
    """A cgroup of which nobody else knows, with a unit of its own."""
    mount = find_cgroup_root(Path("/proc/self/mounts").read_text())
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root and a cgroup v2 hierarchy: run it with sudo")
    root = mount / f"plumbline-idle-{os.getpid()}"
    (root / "idle.service").mkdir(parents=True)
    yield root
    (root / "idle.service").rmdir()
    root.rmdir()


def test_an_idle_agent_only_says_that_it_lives_and_what_there_is(idle_root: Path) -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        await until(lambda: disk.batches)
        before: Sequence[Any] = list(disk.batches)
        await asyncio.sleep(2.5)
        later = disk.batches[len(before) :]
        assert 1 <= len(later) <= 2
        assert all(batch.ByteSize() < 500 and not batch.flows.flow for batch in later)
        assert all(len(batch.resources.endpoint) <= 4 for batch in later)

    assert with_agent(test, interval_seconds=0.1, cgroup_root=idle_root) == 0


def test_a_kernel_that_breaks_ends_the_agent_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.fails_with = OSError(5, "batch read of a map: Input/output error")
        await asyncio.sleep(0.5)

    assert with_agent(test, interval_seconds=0.1) == 4
    last = events(capsys.readouterr().out)[-1]
    assert last["event"] == "agent_failed"
    assert "Input/output error" in last["reason"]


def test_flows_beyond_the_bound_are_other_and_their_counts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.dictionary.MOST_FLOWS", 10)

    async def test(kernel: ScriptedKernel, disk: FakeDisk) -> None:
        kernel.see(*(flow(BIG + one, port=one, command=f"c{one}") for one in range(1, 51)))
        kernel.count([{"flow": BIG + one, "connections": 1} for one in range(1, 51)])
        await until(lambda: disk.connections.total() == 50)
        others = [one.id for one in disk.flows.values() if disk.endpoints[one.endpoint].command == "(other)"]
        assert [disk.connections[one] for one in others] == [40]
        dropped = [one.count for batch in disk.batches for one in batch.host_status.dropped]
        assert sum(dropped) == 40

    assert with_agent(test, interval_seconds=0.2) == 0


def test_an_agent_ends_at_once_also_when_its_aggregator_ends_with_it() -> None:
    async def once(pause_seconds: float) -> None:
        kernel, stop = ScriptedKernel(), asyncio.Event()
        server, address = await serve(Reports(FakeDisk()))
        agent = asyncio.create_task(
            pipeline.run(Settings(host="alpha", aggregator=address, interval_seconds=0.1), stop, lambda *_: kernel)
        )
        await until(lambda: len(kernel.drains) > 2)
        stop.set()
        await asyncio.sleep(pause_seconds)
        await server.stop(None)
        async with asyncio.timeout(8):
            assert await agent == 0

    async def often() -> None:
        for hundredths in range(12):
            await once(hundredths / 100)

    asyncio.run(often())
