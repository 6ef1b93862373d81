"""CPU time, throttling, memory and OOM kills as the agent tells them, against what the kernel's own files say."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from plumbline.v1.columns import unpack_resources
from plumbline.v1.flow_pb2 import RESOURCE_KIND_MEMORY, RESOURCE_KIND_OOM

from agent import pipeline
from agent.settings import Settings
from tests.cluster.leftovers import cgroup_mount
from tests.cluster.limited import Limited, limited
from tests.unit.agent.aggregators import FakeDisk, Reports, serve, until

pytestmark = pytest.mark.kernel
MB = 1 << 20
ROOT = f"plumbline-resources-{os.getpid()}"
POD = "kubepods/burstable/pod11111111-2222-3333-4444-555555555555"
CONTAINER = "c" * 64
BUSY = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass\n"
GREEDY = "kept = []\nwhile True: kept.append(bytearray(1 << 20))\n"
HOLDS = "import time\nkept = bytearray(60 << 20)\nfor at in range(0, len(kept), 4096): kept[at] = 1\ntime.sleep(60)\n"


class Told:
    """What an agent said, added up as an aggregator does."""

    def __init__(self, disk: FakeDisk) -> None:
        self.disk = disk

    def of(self, unit: str) -> dict[str, int]:
        """Sums of counters, and the last of what it has, by column."""
        found: dict[str, int] = {}
        for batch in self.disk.batches:
            rows = unpack_resources(batch.resources)
            for at in np.flatnonzero(np.isin(rows["endpoint"], self._ids(unit))).tolist():
                for name, column in rows.items():
                    one = int(column[at])
                    if name.endswith(("_ns", "_periods", "_kills")):
                        found[name] = found.get(name, 0) + one
                    elif int(rows["known"][at]) >> RESOURCE_KIND_MEMORY & 1:
                        found[name] = one
        return found

    def known(self, unit: str) -> int:
        return self.of(unit).get("known", 0)

    def _ids(self, unit: str) -> list[int]:
        return [one.id for one in self.disk.endpoints.values() if unit in (one.unit, one.container_id)]


def watched(test: Callable[[Told, Limited], Awaitable[None]], path: str = "system.slice/busy.service") -> None:
    """Runs a test beside an agent that began before the cgroup was there."""

    async def run() -> None:
        disk = FakeDisk()
        server, address = await serve(Reports(disk))
        stop = asyncio.Event()
        root = cgroup_mount() / ROOT
        settings = Settings(host="alpha", cgroup_root=root, aggregator=address, interval_seconds=0.2)
        agent = asyncio.create_task(pipeline.run(settings, stop))
        try:
            await until(lambda: disk.batches, 40)
            with limited(f"{ROOT}/{path}") as cgroup:
                await test(Told(disk), cgroup)
        finally:
            stop.set()
            assert await agent == 0
            await server.stop(None)

    with limited(f"{ROOT}/init.scope"):
        asyncio.run(run())
    assert not Path(cgroup_mount(), ROOT).exists()


def test_cpu_time_and_throttling_are_the_kernels_own_numbers() -> None:
    async def test(told: Told, cgroup: Limited) -> None:
        cgroup.limit_cpu(0.2)
        busy = cgroup.start(BUSY.format(seconds=4))
        assert await asyncio.to_thread(busy.wait, 60) == 0
        used_ns, held = cgroup.cpu_ns(), cgroup.throttled()
        assert held[1] > 10
        await until(lambda: told.of("busy.service").get("cpu_ns", 0) >= used_ns, 15)
        found = told.of("busy.service")
        assert found["cpu_ns"] == used_ns
        names = ("cpu_periods", "cpu_throttled_periods", "cpu_throttled_ns")
        assert tuple(found[name] for name in names) == cgroup.throttled()
        assert found["cpu_limit_millicores"] == 200

    watched(test)


def test_memory_is_the_working_set_and_its_limit() -> None:
    async def test(told: Told, cgroup: Limited) -> None:
        cgroup.limit_memory(100 * MB)
        holder = cgroup.start(HOLDS)
        try:
            await until(lambda: told.of("busy.service").get("memory_bytes", 0) > 60 * MB, 20)
            found = told.of("busy.service")
            assert abs(found["memory_bytes"] - cgroup.usage_bytes()) < 4 * MB
            assert found["memory_limit_bytes"] == 100 * MB
        finally:
            end(holder)

    watched(test)


def test_oom_kills_outlive_the_container() -> None:
    async def test(told: Told, cgroup: Limited) -> None:
        for _ in range(2):
            cgroup.limit_memory(40 * MB)
            assert await asyncio.to_thread(cgroup.start(GREEDY).wait, 60) == -9
        assert cgroup.oom_kills() == 2
        cgroup.remove()
        await until(lambda: told.of(CONTAINER).get("oom_kills", 0) >= 2, 15)
        await asyncio.sleep(3)
        assert told.of(CONTAINER)["oom_kills"] == 2
        assert not told.disk.lost

    watched(test, f"{POD}/{CONTAINER}")


def test_an_oom_kill_elsewhere_is_not_ours() -> None:
    async def test(told: Told, cgroup: Limited) -> None:
        with limited(f"{ROOT}-other/system.slice/busy.service") as other:
            other.limit_memory(40 * MB)
            assert await asyncio.to_thread(other.start(GREEDY).wait, 60) == -9
        await until(lambda: told.known("busy.service") >> RESOURCE_KIND_OOM & 1, 15)
        await asyncio.sleep(3)
        assert told.of("busy.service")["oom_kills"] == 0
        dropped = {one.reason for batch in told.disk.batches for one in batch.host_status.dropped}
        assert "oom_kills_of_unknown" not in dropped

    watched(test)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
