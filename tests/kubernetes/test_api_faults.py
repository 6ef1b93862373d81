"""A real API server that is restarted, slow, silent, forgetful, refuses, or lies: what is known stays, what is stale
says since when, it recovers by itself, and nothing is asked for more often than is stated (docs/operate.md).

What was asked is counted by the API server's own audit, or by who stands before it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregator.reflector import State
from aggregator.resolve import kubernetes
from aggregator.resolve.objects import Slice
from aggregator.resolve.resources import RESOURCES
from tests.kubernetes.control import ControlPlane
from tests.kubernetes.lab.lab import LabFailed
from tests.kubernetes.relay import Liar, Wire, liar, wire
from tests.kubernetes.watching import AGENT, Watching, watching

IMAGE = "--image=nothing.example.test/nothing:1"
# Of the others there are no kinds here.
ALL = {one.name for one in RESOURCES if not one.optional}
WEB = "default/deployment/web"


@pytest.fixture(scope="module")
def control() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(autouse=True)
def _nothing_left(control: ControlPlane) -> Iterator[None]:
    yield
    control.kubectl("delete", "deployment", "web", "--ignore-not-found", check=False)


@pytest.fixture
def on_wire(
    control: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Watching, Wire], Awaitable[None]]], None]:
    """Runs a test's body beside a watch whose bytes it holds in its hands."""

    def do(test: Callable[[Watching, Wire], Awaitable[None]], given: str = "") -> None:
        async def whole() -> None:
            async with (
                wire(given or control.kubeconfig, tmp_path) as (between, config),
                watching(control, tmp_path, monkeypatch, config) as one,
            ):
                await test(one, between)

        control.inside(lambda: asyncio.run(whole()))

    return do


@pytest.fixture
def with_liar(
    control: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Watching, Liar], Awaitable[None]]], None]:
    """Runs a test's body beside a watch that is told what the body wants."""

    def do(test: Callable[[Watching, Liar], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with (
                liar(control.kubeconfig, control.directory / "keys", tmp_path) as (between, config),
                watching(control, tmp_path, monkeypatch, config) as one,
            ):
                await test(one, between)

        control.inside(lambda: asyncio.run(whole()))

    return do


async def deploy(one: Watching, replicas: int) -> None:
    await one.all_current()
    await one.kubectl("create", "deployment", "web", IMAGE, f"--replicas={replicas}")
    await one.until("they are named", lambda: one.workloads() == [WEB] * replicas)


def states(one: Watching) -> list[State]:
    return [one.state(name) for name in ALL]


async def leave(one: Watching) -> None:
    """As it was found; what was said of the end is the end, too."""
    await one.kubectl("delete", "deployment", "web", "--wait=false")
    await one.until("none is left", lambda: not one.workloads())


def test_while_all_is_well_nothing_is_asked_twice(control: ControlPlane, on_wire: Callable[..., None]) -> None:
    async def test(one: Watching, _wire: Wire) -> None:
        await deploy(one, 2)
        await leave(one)

    before = control.asked(AGENT)
    on_wire(test)
    assert control.asked(AGENT) - before == {"list": len(ALL), "watch": len(ALL)}


def test_changes_that_the_store_has_forgotten_meanwhile_cost_one_list_each(
    control: ControlPlane, on_wire: Callable[..., None]
) -> None:
    """Without a cache an API server answers 410 as soon as its store was compacted."""
    control.restart_api_server("--watch-cache=false")

    async def test(one: Watching, between: Wire) -> None:
        await deploy(one, 2)
        known = set(one.live.store.estate.pods.living())
        between.open.clear()
        between.cut()
        # Another two, and neither the end of the old ones nor the begin of the new ones will ever be told.
        await one.kubectl("delete", "pods", "--selector=app=web", "--wait=true")
        await one.until_true("two others are there", lambda: pods_but(one, known))
        await asyncio.to_thread(control.compact)
        assert one.workloads() == [WEB] * 2
        assert set(one.live.store.estate.pods.living()) == known
        between.open.set()
        await one.until("others are known", lambda: not known & set(one.live.store.estate.pods.living()))
        assert one.workloads() == [WEB] * 2
        await one.all_current()
        # Of a resource without any change since, the old version may still be good.
        assert {state.lists for state in states(one)} <= {1, 2}
        assert one.state("pods").lists == 2
        await leave(one)

    before = control.asked(AGENT)
    on_wire(test)
    asked = control.asked(AGENT) - before
    print(f"\nforgotten changes: {dict(asked)}", flush=True)
    assert asked["list"] <= 2 * len(ALL)
    assert asked["watch"] <= 3 * len(ALL)


def test_a_list_that_is_forgotten_between_two_pages_begins_anew(
    control: ControlPlane, on_wire: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_PAGE", 2)
    control.kubectl("create", "deployment", "web", IMAGE, "--replicas=5")
    control.kubectl("rollout", "status", "deployment/web", "--timeout=1s", check=False)
    refused = control.asked(AGENT)["410"]

    async def test(one: Watching, between: Wire) -> None:
        between.delay_seconds = 0.5
        for _ in range(100):
            await one.kubectl("annotate", "--overwrite", "deployment/web", f"turn={time.monotonic()}")
            await asyncio.to_thread(control.compact)
            if control.asked(AGENT)["410"] > refused:
                break
        between.delay_seconds = 0.0
        await one.until("they are named", lambda: one.workloads() == [WEB] * 5)
        await one.all_current()
        await leave(one)

    on_wire(test)
    assert control.asked(AGENT)["410"] > refused


@pytest.mark.parametrize("gone", [["kube-apiserver"], ["etcd"]])
def test_an_outage_of_half_a_minute_costs_one_list_each_at_most(
    control: ControlPlane, on_wire: Callable[..., None], gone: list[str]
) -> None:
    """Of the API server, which then knows nothing of before, or of its store alone."""

    async def test(one: Watching, _wire: Wire) -> None:
        await deploy(one, 2)
        for name in gone:
            await asyncio.to_thread(control.kill, name)
        await asyncio.sleep(30)
        assert one.workloads() == [WEB] * 2
        stale = await one.stale()
        asked = sum(state.lists + state.watches - 2 for state in states(one))
        print(f"\n{gone} gone for 30 s: {len(stale)} stale, asked {asked} times", flush=True)
        # After half a second, one, two, four, eight, sixteen: some of them less, none more.
        assert asked <= 8 * len(ALL)
        for name in gone:
            await asyncio.to_thread(control.start_again, name)
        await one.until_true("it can be changed", lambda: scaled(one, 1))
        began = time.monotonic()
        await one.all_current()
        print(f"all current {time.monotonic() - began:.0f} s after it answers again", flush=True)
        # Its controllers have to come back, too.
        await one.until("one is left", lambda: one.workloads() == [WEB], 120)
        assert await one.stale() == set()
        assert {state.lists for state in states(one)} <= {1, 2}
        await leave(one)

    before = control.asked(AGENT)
    on_wire(test)
    print(f"by its audit: {dict(control.asked(AGENT) - before)}", flush=True)


def test_a_slow_api_server_is_late_and_never_stale(control: ControlPlane, on_wire: Callable[..., None]) -> None:
    control.restart_api_server()

    async def test(one: Watching, between: Wire) -> None:
        await deploy(one, 1)
        between.delay_seconds = 2.0
        began = time.monotonic()
        await one.kubectl("scale", "deployment/web", "--replicas=3")
        await one.until("they are named", lambda: one.workloads() == [WEB] * 3)
        print(f"\nslow by 2 s: known after {time.monotonic() - began:.1f} s", flush=True)
        between.cut()
        await one.until("it connects again", lambda: one.state("pods").watches >= 2)
        await one.all_current()
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await one.until("one is gone", lambda: one.workloads() == [WEB] * 2)
        assert {state.lists for state in states(one)} == {1}
        between.delay_seconds = 0.0
        await leave(one)

    on_wire(test)


def test_an_api_server_that_does_not_answer_any_more_is_told_and_asked_seldom(
    control: ControlPlane, on_wire: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections open, and nothing comes: no error of the network tells of it."""
    monkeypatch.setattr(kubernetes, "_SILENT_SECONDS", 10.0)
    monkeypatch.setattr(kubernetes, "_CONNECT_SECONDS", 2.0)

    async def test(one: Watching, between: Wire) -> None:
        await deploy(one, 2)
        connections, since = between.connections, time.time()
        between.open.clear()
        await one.until("all are stale", lambda: {name for name, stale, _ in one.told if stale} >= ALL)
        assert await one.stale() >= ALL
        assert one.workloads() == [WEB] * 2
        # Since the last word, not since it was noticed.
        assert all(0 < (state.stale_since_ns or 0) / 1e9 < since + 0.5 for state in states(one))
        await asyncio.sleep(10)
        print(f"\nsilent for 20 s: {between.connections - connections} connections", flush=True)
        assert between.connections - connections <= 6 * len(ALL)
        await one.kubectl("scale", "deployment/web", "--replicas=1")
        between.open.set()
        await one.until("one is left", lambda: one.workloads() == [WEB])
        await one.all_current()
        assert await one.stale() == set()
        assert one.state("pods").lists == 1
        await leave(one)

    on_wire(test)


def test_a_right_that_is_taken_away_keeps_what_was_known(
    control: ControlPlane, on_wire: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = ",".join(ALL - {"services"})
    control.kubectl("create", "serviceaccount", "guest")
    for role, what in (("most", resources), ("services", "services")):
        control.kubectl("create", "clusterrole", role, "--verb=list,watch", f"--resource={what}")
        control.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", "--serviceaccount=default:guest")

    async def test(one: Watching, between: Wire) -> None:
        await deploy(one, 1)
        await one.kubectl("create", "service", "clusterip", "shop", "--tcp=80")
        uid = await one.uid_of("service", "shop")
        await one.until("it is known", lambda: uid in one.live.store.estate.services.known())
        await one.kubectl("delete", "clusterrolebinding", "services")
        between.cut()
        await one.until("it is told", lambda: ("services", True, True) in one.told)
        assert "403" in one.state("services").reason
        await one.until(
            "all else is current", lambda: {name for name in ALL if one.state(name).stale_since_ns} == {"services"}
        )
        assert await one.stale() == {"services"}
        assert uid in one.live.store.estate.services.known()
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await one.until("all else goes on", lambda: one.workloads() == [WEB] * 2)
        await one.kubectl("delete", "service", "shop")
        await one.kubectl("create", "clusterrolebinding", "services", "--clusterrole=services",
                          "--serviceaccount=default:guest")  # fmt: skip
        await one.until("the end of it is known", lambda: uid not in one.live.store.estate.services.known())
        await one.all_current()
        assert one.state("services").failures <= 4
        await leave(one)

    on_wire(test, control.token("guest"))


def test_errors_of_the_server_are_asked_again_ever_more_seldom(
    control: ControlPlane, with_liar: Callable[..., None]
) -> None:
    async def test(one: Watching, between: Liar) -> None:
        await deploy(one, 1)
        between.status = 500
        control_before = between.asked.copy()
        between.cut()
        await one.until("all are stale", lambda: {name for name, stale, _ in one.told if stale} >= ALL)
        assert await one.stale() >= ALL
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await asyncio.sleep(20)
        asked = between.asked - control_before
        del asked["kinds"]
        print(f"\n500 for 20 s: {dict(asked)}", flush=True)
        # After half a second, one, two, four, eight, sixteen.
        assert sum(asked.values()) <= 7 * len(ALL)
        assert one.workloads() == [WEB]
        between.status = 0
        await one.until("the other is known", lambda: one.workloads() == [WEB] * 2)
        await one.all_current()
        assert {state.lists for state in states(one)} == {1}
        await leave(one)

    with_liar(test)


def test_a_server_that_has_always_forgotten_is_no_reason_for_a_storm(
    control: ControlPlane, with_liar: Callable[..., None]
) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

    async def test(one: Watching, between: Liar) -> None:
        await deploy(one, 1)
        between.lie = lambda _path, answer: gone if "type" in answer else answer
        before = between.asked.copy()
        between.cut()
        await asyncio.sleep(0.1)
        for number in range(20):
            await one.kubectl("annotate", "--overwrite", "pods", "--selector=app=web", f"turn={number}")
            await asyncio.sleep(0.5)
        pods = one.state("pods")
        print(f"\n410 for ever: {dict(between.asked - before)}, of pods {pods.lists} lists", flush=True)
        assert pods.lists <= 8
        assert pods.stale_since_ns is None or pods.reason
        assert one.workloads() == [WEB]
        between.lie = lambda _path, answer: answer
        between.cut()
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await one.until("the other is known", lambda: one.workloads() == [WEB] * 2)
        await one.all_current()
        await leave(one)

    with_liar(test)


def test_half_of_what_is_said_is_no_word_and_the_rest_of_it_comes_again(
    control: ControlPlane, with_liar: Callable[..., None]
) -> None:
    """Cut in the middle of a list, of an event, and of an event that is whole JSON."""
    cuts = 0

    def half(path: str, answer: Any) -> Any:
        nonlocal cuts
        if path == "/api/v1/pods" and cuts < 3 and (answer.get("items") or answer.get("type") == "MODIFIED"):
            cuts += 1
            text = json.dumps(answer).encode()
            return text[: len(text) // 2]
        return answer

    control.kubectl("create", "deployment", "web", IMAGE, "--replicas=3")
    control._await("they are there", lambda: control.kubectl("get", "pods", "--output=name").count("pod/") == 3)

    async def test(one: Watching, between: Liar) -> None:
        await one.until("they are named", lambda: one.workloads() == [WEB] * 3)
        between.lie = half
        between.cut()
        await one.kubectl("label", "pods", "--selector=app=web", "turn=one")
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await one.until("one is gone", lambda: one.workloads() == [WEB] * 2)
        await one.until("it was cut three times", lambda: cuts == 3)
        await one.all_current()
        assert one.state("pods").lists == 1
        await leave(one)

    with_liar(test)


def test_objects_without_labels_status_or_spec_are_what_is_left_of_them(
    control: ControlPlane, with_liar: Callable[..., None]
) -> None:
    def bare(_path: str, answer: Any) -> Any:
        things = answer.get("items") if "items" in answer else [answer.get("object")]
        for thing in things or []:
            thing["metadata"].pop("labels", None)
            thing["metadata"]["annotations"] = None
            thing.pop("status", None)
            if thing.get("kind") != "Status":
                thing["spec"] = "nothing that anybody knows"
        return answer

    async def test(one: Watching, between: Liar) -> None:
        between.lie = bare
        between.cut()
        await deploy(one, 2)
        assert {state.malformed for state in states(one)} == {0}
        await leave(one)

    with_liar(test)


def test_two_pods_with_one_address_and_two_slices_of_it_are_each_what_they_are(
    control: ControlPlane, on_wire: Callable[..., None]
) -> None:
    """As happens while one takes the place of the other; the API server minds neither."""

    async def test(one: Watching, _wire: Wire) -> None:
        await deploy(one, 2)
        names = (await one.kubectl("get", "pods", "--selector=app=web", "--output=name")).split()
        status = json.dumps({"status": {"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}], "phase": "Running"}})
        for name in names:
            await one.kubectl("patch", name, "--subresource=status", "--type=merge", f"--patch={status}")
        uids = [await slice_of(one, name) for name in ("left", "right")]
        await one.until("both are known", lambda: set(uids) <= one.live.store.estate.services.known())
        assert one.workloads() == [WEB] * 2
        known = one.watch._reflectors["endpointslices.discovery.k8s.io"].known
        slices = [known[uid] for uid in uids]
        assert len({one.addresses for one in slices if isinstance(one, Slice)}) == 1
        await one.kubectl("delete", "endpointslice", "left", "right")
        await leave(one)

    on_wire(test)


@pytest.mark.parametrize("kilobytes", [120, 250])
def test_an_object_of_a_quarter_of_a_megabyte_is_an_object_as_any(on_wire: Callable[..., None], kilobytes: int) -> None:
    async def test(one: Watching, _wire: Wire) -> None:
        await deploy(one, 1)
        note = {"metadata": {"annotations": {"note": "x" * (kilobytes * 1000)}}}
        (name,) = (await one.kubectl("get", "pods", "--selector=app=web", "--output=name")).split()
        patch = Path(one.control.directory / "patch.json")
        patch.write_text(json.dumps(note))
        await one.kubectl("patch", name, "--type=merge", f"--patch-file={patch}")
        await one.kubectl("scale", "deployment/web", "--replicas=2")
        await one.until("the other is named", lambda: one.workloads() == [WEB] * 2)
        assert {(state.lists, state.watches, state.failures) for state in states(one)} == {(1, 1, 0)}
        await leave(one)

    on_wire(test)


async def slice_of(one: Watching, name: str) -> str:
    return await one.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.9.9.9"]}],
            "ports": [{"name": "http", "port": 80}],
        }
    )


async def pods_but(one: Watching, known: set[str]) -> bool:
    """Whether there are two of others, as the API server says."""
    found = await one.kubectl("get", "pods", "--selector=app=web", "--output=jsonpath={.items[*].metadata.uid}")
    return len(set(found.split()) - known) == 2 and not set(found.split()) & known


async def scaled(one: Watching, replicas: int) -> bool:
    try:
        await one.kubectl("scale", "deployment/web", f"--replicas={replicas}")
    except LabFailed:
        return False
    return True
