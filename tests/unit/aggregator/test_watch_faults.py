"""A fault of ours in what is learned from the cluster's API: told, counted, made good, and nobody else's matter."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator import parts
from aggregator.clusterwatch import ClusterWatch
from aggregator.live import Live
from aggregator.records import SECOND_NS
from aggregator.resolve import workloads
from aggregator.resolve.api import NoSuchKind, Page
from aggregator.resolve.deployed.deployed import Deployed
from aggregator.resolve.entrances.entrances import Entrances
from aggregator.resolve.resources import Resource
from aggregator.resolve.scaling.scaling import Scaling
from aggregator.resolve.services import Services
from aggregator.resolve.workloads import Workloads
from aggregator.settings import Settings
from aggregator.store import Store
from tests.unit.aggregator.objects import Raw, by, meta, port, raw_pod
from tests.unit.aggregator.restarts import Damages

PAUSE_SECONDS = 0.3
# Each part, and what it does with each thing that comes.
FAULTS = [
    ("names", Workloads, "pods"),
    ("names", Workloads, "take_named"),
    ("services", Services, "learn"),
    ("rollouts", Deployed, "specs"),
    ("rollouts", Deployed, "take_events"),
    ("scale", Scaling, "pods"),
    ("exposure", Entrances, "services"),
]


class Server:
    """The API as a watch of it sees it, with objects by resource; `say` is an event of one."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Raw]] = {}
        self._events: dict[str, asyncio.Queue[Raw]] = {}

    async def page(self, resource: Resource, more: str) -> Page:
        return Page(list(self.objects.get(resource.name, ())), "1", "")

    async def watch(self, resource: Resource, version: str, seconds: int) -> AsyncGenerator[Raw, None]:
        yield {}
        while True:
            yield await self._events.setdefault(resource.name, asyncio.Queue()).get()

    async def plural_of(self, api_version: str, kind: str) -> str:
        if api_version == "acme.test/v1":
            raise ValueError("an answer that nobody foresaw")
        raise NoSuchKind(f"{api_version} has no {kind}.")

    def say(self, resource: str, kind: str, raw: Raw) -> None:
        self._events.setdefault(resource, asyncio.Queue()).put_nowait({"type": kind, "object": raw})


class Watched:
    """A watch that runs, and what it learned."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data=folder)
        self.server = Server()
        self.live = Live(settings, Store(settings, Damages()))
        self.told: list[tuple[str, str]] = []
        self.watch = ClusterWatch(
            self.server, self.live, lambda _r, _s: None, None, lambda part, error: self.told.append((part, str(error)))
        )

    async def workloads(self) -> list[str]:
        """Of the pods that live."""
        uids, _ = await self.live.known_of_cluster()
        names = [self.live.store.estate.pods.of(uid) for uid in uids]
        return sorted(one.workload for one in names if one is not None)

    async def services(self) -> set[str]:
        return (await self.live.known_of_cluster())[1]

    def faults(self) -> dict[str, int]:
        return {name: count for name, count in self.watch.faults() if count}


async def until(what: str, holds: Callable[[], Any], seconds: float = 10) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not (await found if asyncio.iscoroutine(found := holds()) else found):
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"after {seconds:g} s still not: {what}")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(parts, "_FIRST_PAUSE_SECONDS", PAUSE_SECONDS)

    def do(test: Callable[[Watched], Any]) -> None:
        async def whole() -> None:
            one = Watched(tmp_path)
            await one.live.open()
            one.server.objects = {
                "pods": [raw_pod("web-1", by("Deployment", "web")), raw_pod("old-1", by("Deployment", "old"))],
                "deployments.apps": [deployment("web"), deployment("old")],
                "services": [service("web", "10.96.0.10")],
            }
            task = asyncio.create_task(one.watch.run())
            try:
                await until("all is named", lambda: named(one, "old", "web"))
                await test(one)
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await one.live.close()

        asyncio.run(whole())

    return do


async def named(one: Watched, *names: str) -> bool:
    return await one.workloads() == [f"shop/deployment/{name}" for name in names]


def deployment(name: str) -> Raw:
    template = {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    return {**meta(name), "spec": {"replicas": 1, "template": template}}


def service(name: str, address: str) -> Raw:
    spec = {"type": "LoadBalancer", "clusterIP": address, "clusterIPs": [address], "ports": [port(80, 8080)]}
    return {**meta(name, f"service-{name}"), "spec": {**spec, "selector": {"app": name}}}


def broken_once(monkeypatch: pytest.MonkeyPatch, whose: type, method: str) -> None:
    """When something comes, the next time."""
    right = getattr(whose, method)

    def wrong(self: Any, *arguments: Any) -> Any:
        if method.startswith("take_") or any(list(one) for one in arguments[:1]):
            monkeypatch.setattr(whose, method, right)
            raise KeyError("nobody foresaw it")
        return right(self, *arguments)

    monkeypatch.setattr(whose, method, wrong)


def broken_for_good(monkeypatch: pytest.MonkeyPatch, whose: type, method: str) -> None:
    def wrong(*_: Any) -> None:
        raise KeyError("nobody foresaw it")

    monkeypatch.setattr(whose, method, wrong)


@pytest.mark.parametrize(("part", "whose", "method"), FAULTS)
def test_what_meets_a_fault_begins_anew_and_misses_nothing(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, part: str, whose: type, method: str
) -> None:
    async def test(one: Watched) -> None:
        broken_once(monkeypatch, whose, method)
        server = one.server
        server.say("deployments.apps", "ADDED", deployment("new"))
        server.say("services", "ADDED", service("new", "10.96.0.11"))
        server.say("pods", "ADDED", raw_pod("new-1", by("Deployment", "new")))
        await until("it is told", lambda: one.told)
        # What goes while it stands still is what it would never hear of.
        assert [source.name for source in one.watch.stale()] == [part]
        assert all(source.reason and source.HasField("since") for source in one.watch.stale())
        server.say("pods", "DELETED", raw_pod("old-1", by("Deployment", "old")))
        server.say("services", "DELETED", service("web", "10.96.0.10"))
        await until("who lives is named, and nobody else", lambda: named(one, "new", "web"))
        await until("it goes on", lambda: not one.watch.stale())
        assert await one.services() == {"service-new"}
        assert {"shop/deployment/new", "shop/deployment/web"} <= set(one.watch.learning.workloads())
        assert one.watch.learning.workloads()["shop/deployment/new"].scale.pods == 1
        graph = await one.live.graph(100 * SECOND_NS)
        assert not graph.message.stale
        assert one.faults() == {part: 1}
        assert one.told == [(part, "'nobody foresaw it'")]

    run(test)


@pytest.mark.parametrize(("part", "whose", "method"), [one for one in FAULTS if one[0] != "names"])
def test_what_meets_a_fault_for_ever_is_tried_seldom_and_all_else_goes_on(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, part: str, whose: type, method: str
) -> None:
    async def test(one: Watched) -> None:
        broken_for_good(monkeypatch, whose, method)
        names = []
        for number in range(20):
            names.append(f"more{number:02}")
            one.server.say("pods", "ADDED", raw_pod(f"{names[-1]}-1", by("Deployment", names[-1])))
            one.server.say("deployments.apps", "ADDED", deployment(names[-1]))
            one.server.say("services", "ADDED", service(names[-1], f"10.96.1.{number}"))
            await until("it is named", lambda: named(one, *sorted(["old", "web", *names])))
        # Begun anew after 0.3 s, 0.6, 1.2, ...
        assert set(one.faults()) == {part}
        assert 1 <= one.faults()[part] <= 4
        assert [source.name for source in one.watch.stale()] == [part]

    run(test)


def test_what_cannot_be_told_of_a_part_is_left_out_of_the_graph(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(one: Watched) -> None:
        whole = one.watch.learning.workloads()
        assert whole["shop/deployment/web"].HasField("scale")
        with monkeypatch.context() as patched:
            broken_for_good(patched, Scaling, "told")
            without = one.watch.learning.workloads()
            assert set(without) == set(whole)
            assert not without["shop/deployment/web"].HasField("scale")
        await until("it is there again", lambda: one.watch.learning.workloads() == whole)
        assert one.faults() == {"scale": 1}

    run(test)


def test_a_pod_that_gets_a_better_name_takes_what_is_known_of_it_along(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its owners are told later than it was waited for them, as when the server does not answer for those."""

    async def test(one: Watched) -> None:
        monkeypatch.setattr(workloads, "_GRACE_NS", SECOND_NS // 10)
        one.server.say("pods", "ADDED", raw_pod("late-5d-1", by("ReplicaSet", "late-5d"), {"app": "late"}))
        learning, worse, better = one.watch.learning, "shop/replicaset/late-5d", "shop/deployment/late"
        await until("it is called by what is known", lambda: learning.workloads().get(worse))
        assert learning.workloads()[worse].scale.pods == 1
        one.server.say("replicasets.apps", "ADDED", meta("late-5d", owner=by("Deployment", "late")))
        one.server.say("deployments.apps", "ADDED", deployment("late"))
        await until("it has its name", lambda: better in learning.workloads())
        await until("nobody has the other", lambda: worse not in learning.workloads(), 3)
        assert (learning.workloads()[better].scale.pods, learning.workloads()[better].revisions[0].replicas) == (1, 1)
        assert not one.faults()

    run(test)


def test_what_owns_a_deployment_may_be_told_after_it(run: Callable[..., None]) -> None:
    """As custom kinds are, which are watched when a pod of theirs was seen: operators' resources own one another."""

    async def test(one: Watched) -> None:
        owned = deployment("made")
        owned["metadata"] |= meta("made", owner=by("Job", "step", "batch/v1"))["metadata"]
        one.server.say("deployments.apps", "ADDED", owned)
        learning, lower, upper = one.watch.learning, "shop/job/step", "shop/cronjob/plan"
        await until("it is called by its owner", lambda: learning.workloads().get(lower))
        one.server.say("jobs.batch", "ADDED", meta("step", owner=by("CronJob", "plan", "batch/v1")))
        await until("it is called by its owner's", lambda: learning.workloads().get(upper))
        found = learning.workloads()
        assert lower not in found
        assert (found[upper].scale.wanted, found[upper].rollouts[0].object) == (1, "deployment/made")
        one.server.say("deployments.apps", "DELETED", owned)
        await until("it is gone", lambda: upper not in learning.workloads())
        assert not one.faults()

    run(test)


def test_an_answer_about_a_kind_that_nobody_foresaw_ends_nothing(run: Callable[..., None]) -> None:
    """Its pods are called by the owner that their reference names."""

    async def test(one: Watched) -> None:
        one.server.say("pods", "ADDED", raw_pod("api-1", by("Rollout", "api", "acme.test/v1")))
        wanted = ["shop/deployment/old", "shop/deployment/web", "shop/rollout/api"]

        async def is_named() -> bool:
            return await one.workloads() == wanted

        await until("it is named", is_named)
        assert one.faults() == {"kinds": 1}

    run(test)
