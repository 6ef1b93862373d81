"""Faults of our own: told once, counted, and nobody's work ends by them."""

from pathlib import Path
from typing import Any

import pytest
from plumbline.v1.flow_pb2 import ReportRequest
from plumbline.v1.topology_pb2 import GetTopologyRequest

from aggregator.estate import Estate
from tests.unit.aggregator.agents import Agent
from tests.unit.outputs.running import Running, Stream, agent, batch_now, run, running, until


async def requests(aggregator: Running) -> int:
    answer = await aggregator.topology.GetTopology(GetTopologyRequest())
    return sum(edge.requests for edge in answer.topology.edges)


async def snapshots_fail(aggregator: Running, stream: Stream, one: Agent, times: int) -> None:
    while (await aggregator.metrics())["failed_snapshots_total"] < times:
        await stream.say(ReportRequest(batch=batch_now(one)).SerializeToString())


def test_a_snapshot_that_cannot_be_made_leaves_the_last_one_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("Value out of range")

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            await stream.bring(batch_now(one, 3))
            while await requests(aggregator) != 3:
                pass
            with monkeypatch.context() as patched:
                patched.setattr(Estate, "snapshot", broken)
                await snapshots_fail(aggregator, stream, one, 1)  # the last good one has ended
                await stream.bring(batch_now(one, 4))
                await snapshots_fail(aggregator, stream, one, 4)
                (told,) = aggregator.events("snapshot_failed")
                assert "ValueError: Value out of range at" in told["reason"]
                assert (await aggregator.get("/readyz"))[0] == 503
                assert (await aggregator.get("/livez"))[0] == 200
                assert await requests(aggregator) == 3
            while await requests(aggregator) < 7:
                pass
            assert (await aggregator.get("/readyz"))[0] == 200

    run(test)


def test_a_start_whose_first_snapshot_cannot_be_made_is_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("Value out of range")

    async def test() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Estate, "snapshot", broken)
            started = running(tmp_path)
            aggregator = await started.__aenter__()
        one, stream = agent(), Stream(aggregator.channel("agents"))
        await stream.greet(one.hello(0))
        await stream.bring(batch_now(one, 3))
        while await requests(aggregator) != 3:
            pass
        await until(lambda: aggregator.events("snapshot_failed"))
        await started.__aexit__(None, None, None)

    run(test)


def test_a_hello_of_any_length_makes_no_long_line_of_the_log(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            hello = agent().hello(0)
            hello.boot_id = hello.agent_version = "x" * 100_000
            stream = Stream(aggregator.channel("agents"))
            await stream.say(ReportRequest(hello=hello).SerializeToString())
            assert "128 characters" in (await stream.refusal())[1]
            assert max(map(len, aggregator.text.getvalue().splitlines())) < 1000

    run(test)
