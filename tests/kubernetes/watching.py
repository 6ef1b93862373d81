"""A watch of a real API server that runs, and what a test asks of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aggregator.clusterwatch import ClusterWatch
from aggregator.live import Live
from aggregator.records import SECOND_NS
from aggregator.reflector import State
from aggregator.resolve.kubernetes import Kubernetes
from aggregator.resolve.resources import Resource
from aggregator.settings import Settings
from aggregator.store import Store
from tests.kubernetes.control import ControlPlane
from tests.unit.aggregator.restarts import Damages

AGENT = "plumbline/test"


class Watching:
    """A watch that runs, an aggregator's store that learns from it, and the cluster that it is about."""

    def __init__(
        self, control: ControlPlane, live: Live, watch: ClusterWatch, told: list[tuple[str, bool, bool]]
    ) -> None:
        self.control, self.live, self.watch, self.told = control, live, watch, told
        self.windows = 0

    async def kubectl(self, *arguments: str, text: str = "") -> str:
        return await asyncio.to_thread(self.control.kubectl, *arguments, text=text)

    async def apply(self, thing: dict[str, Any]) -> str:
        """Its uid."""
        await self.kubectl("apply", "--filename=-", text=json.dumps(thing))
        return await self.uid_of(thing["kind"].lower(), thing["metadata"]["name"])

    async def uid_of(self, kind: str, name: str) -> str:
        return await self.kubectl("get", kind, name, "--output=jsonpath={.metadata.uid}")

    def state(self, name: str) -> State:
        return next(state for known, state, _ in self.watch.states() if known == name)

    def workloads(self) -> list[str]:
        """Of the pods that live."""
        pods = self.live.store.estate.pods
        # In the one thread that touches the store: it learns while this looks.
        names = self.live.making._alone.submit(lambda: [pods.of(uid) for uid in pods.living()]).result(30)
        return sorted(f"{one.namespace}/{one.kind}/{one.name}" for one in names if one is not None)

    async def stale(self) -> set[str]:
        """As a reader of the graph is told; of a window that nobody looked at yet."""
        self.windows += 1
        graph = await self.live.graph((100 + self.windows) * SECOND_NS)
        assert all(source.reason and source.HasField("since") for source in graph.message.stale)
        return {source.name for source in graph.message.stale}

    async def until(self, what: str, holds: Callable[[], object], seconds: float = 60) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            states = {name: state.reason for name, state, _ in self.watch.states() if state.stale_since_ns}
            pytest.fail(f"after {seconds:g} s still not: {what}; {self.workloads()}, stale: {states}")

    async def until_true(self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """The same for what takes its time to be asked."""
        try:
            async with asyncio.timeout(seconds):
                while not await holds():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"after {seconds:g} s still not: {what}")

    async def all_current(self) -> None:
        await self.until(
            "all is current", lambda: all(not one.stale_since_ns for _, one, _ in self.watch.states()), 120
        )


@asynccontextmanager
async def watching(
    control: ControlPlane, folder: Path, monkeypatch: pytest.MonkeyPatch, config: str = ""
) -> AsyncIterator[Watching]:
    monkeypatch.setenv("KUBECONFIG", config or control.kubeconfig)
    settings = Settings(data=folder)
    live = Live(settings, Store(settings, Damages()))
    await live.open()
    api = await Kubernetes.connect(AGENT)
    told: list[tuple[str, bool, bool]] = []

    def hear(resource: Resource, state: State) -> None:
        told.append((resource.name, state.stale_since_ns is not None, state.refused))

    watch = ClusterWatch(api, live, hear)
    live.aside.stale = watch.stale
    task = asyncio.create_task(watch.run())
    try:
        yield Watching(control, live, watch, told)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await live.close()
