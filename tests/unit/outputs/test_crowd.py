"""Readers in crowds: agents do not wait for them, and what cannot be made for all is refused to some."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from plumbline.v1.topology_pb2 import GetTopologyRequest, WatchTopologyRequest

from aggregator.estate import Estate
from aggregator.records import SECOND_NS
from tests.unit.outputs.running import Stream, agent, batch_now, run, running

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
USUAL_NS = 300 * SECOND_NS
SLOW_SECONDS = 0.3


@pytest.fixture(autouse=True)
def slow_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Estate.snapshot

    def slow(estate: Estate, window_ns: int, now_ns: int) -> Any:
        if window_ns != USUAL_NS:
            time.sleep(SLOW_SECONDS)
        return (yield from snapshot(estate, window_ns, now_ns))

    monkeypatch.setattr(Estate, "snapshot", slow)


def test_readers_of_many_windows_do_not_hold_up_agents(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            topology = aggregator.topology

            async def ask(seconds: int) -> Any:
                try:
                    await topology.GetTopology(GetTopologyRequest(window=Duration(seconds=seconds)))
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            readers = asyncio.gather(*(ask(10 + at) for at in range(20)))
            await asyncio.sleep(0.05)
            for number in range(1, 4):
                started = time.monotonic()
                assert await stream.bring(batch_now(one)) == number
                # One that is being made is made to its end.
                assert time.monotonic() - started < 2 * SLOW_SECONDS
            codes = await readers
            assert set(codes) == {grpc.StatusCode.OK, FULL}
            assert codes.count(grpc.StatusCode.OK) == 3
            # Those who ask for the same wait for one.
            assert await asyncio.gather(*(ask(100) for _ in range(20))) == [grpc.StatusCode.OK] * 20
            assert await ask(300) == grpc.StatusCode.OK

    run(test)


def test_watchers_of_many_windows_are_refused_before_they_are_a_queue(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            topology = aggregator.topology
            calls = [topology.WatchTopology(WatchTopologyRequest(window=Duration(seconds=10 + at))) for at in range(6)]
            results = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
            refused = [one for one in results if isinstance(one, grpc.aio.AioRpcError)]
            assert [one.code() for one in refused] == [FULL] * 3
            for call in calls:
                call.cancel()

    run(test)


def test_a_disk_that_is_waited_for_has_a_thread_of_its_own(tmp_path: Path) -> None:
    """All others may be busy with questions."""

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            busy = [asyncio.create_task(asyncio.to_thread(time.sleep, 1.5)) for _ in range(64)]
            await asyncio.sleep(0)
            started = time.monotonic()
            assert await stream.bring(batch_now(one)) == 1
            assert time.monotonic() - started < 1
            for task in busy:
                task.cancel()

    run(test)
