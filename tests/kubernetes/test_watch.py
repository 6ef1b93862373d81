"""The watch of a real API server: pods become workloads, and whatever the server does, nothing is missed.

Pods are not run here: what they are part of is said before they are.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregator.resolve.resources import RESOURCES
from tests.kubernetes.control import ControlPlane
from tests.kubernetes.watching import Watching, watching

READ = (
    "pods services nodes namespaces events endpointslices.discovery.k8s.io deployments.apps statefulsets.apps "
    "daemonsets.apps controllerrevisions.apps horizontalpodautoscalers.autoscaling "
    "ingresses.networking.k8s.io"
)
IMAGE = "--image=nothing.example.test/nothing:1"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rollouts.acme.test"},
    "spec": {
        "group": "acme.test",
        "scope": "Namespaced",
        "names": {"plural": "rollouts", "singular": "rollout", "kind": "Rollout"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}
# After an API server was gone they try it again after up to a minute, and one waits for another.
CONTROLLERS_WAIT_SECONDS = 180


@pytest.fixture(scope="module")
def control() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture
def run(control: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test's body where the API server answers."""

    def do(test: Callable[[Watching], Any], config: str = "") -> None:
        async def whole() -> None:
            async with watching(control, tmp_path, monkeypatch, config) as one:
                await test(one)

        control.inside(lambda: asyncio.run(whole()))

    return do


def test_pods_are_part_of_what_controllers_made_them(run: Callable[..., None]) -> None:
    async def test(one: Watching) -> None:
        await one.kubectl("create", "deployment", "web", IMAGE, "--replicas=3")
        await one.kubectl("create", "cronjob", "nightly", IMAGE, "--schedule=0 0 1 1 *")
        await one.kubectl("create", "job", "--from=cronjob/nightly", "by-hand")
        await one.kubectl("create", "job", "once", IMAGE)
        await one.kubectl("run", "toolbox", IMAGE)
        web = ["default/deployment/web"] * 3
        wanted = sorted([*web, "default/cronjob/nightly", "default/job/once", "default/pod/toolbox"])
        await one.until("all are named", lambda: one.workloads() == wanted)
        # Each was named once, and right: metadata that comes in any order makes no name that is worse for a while.
        assert one.live.store.estate.pods.version == 6
        await one.kubectl("delete", "deployment/web", "job/once", "pod/toolbox", "cronjob/nightly", "--wait=false")
        await one.until("none is left", lambda: not one.workloads())
        assert one.live.store.estate.held()["pods"] == 6
        # Of a kind that this cluster lacks there is nothing to be watched.
        asked = {(state.lists, state.watches, state.absent) for _, state, _ in one.watch.states()}
        assert asked == {(1, 1, False), (1, 0, True)}
        assert one.told == []

    run(test)


def test_a_custom_controller_s_pods_are_its_own(run: Callable[..., None]) -> None:
    async def test(one: Watching) -> None:
        await one.apply(CRD)
        await one.kubectl("wait", "--for=condition=Established", "crd/rollouts.acme.test")
        rollout = {"apiVersion": "acme.test/v1", "kind": "Rollout", "metadata": {"name": "api"}}
        owner = {"name": "api", "kind": "Rollout", "apiVersion": "acme.test/v1", "controller": True}
        owner["uid"] = await one.apply(rollout)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "api-1", "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "c", "image": "nothing.example.test/nothing:1"}]},
        }
        await one.apply(pod)
        await one.until("it is named", lambda: one.workloads() == ["default/rollout/api"])
        assert {name for name, _, _ in one.watch.states()} == {one.name for one in RESOURCES} | {"rollouts.acme.test"}
        await one.kubectl("delete", "rollout/api", "pod/api-1", "--wait=false")
        await one.until("it is gone", lambda: not one.workloads())

    run(test)


def test_an_api_server_that_was_killed_costs_one_list_each_and_hides_nothing(
    run: Callable[..., None], control: ControlPlane
) -> None:
    async def test(one: Watching) -> None:
        await one.kubectl("create", "deployment", "web", IMAGE, "--replicas=2")
        await one.kubectl("run", "toolbox", IMAGE)
        both = ["default/deployment/web"] * 2
        await one.until("they are named", lambda: one.workloads() == [*both, "default/pod/toolbox"])
        await asyncio.to_thread(control.kill, "kube-apiserver")
        await one.until("all say that they are stale", lambda: len(one.told) == len(RESOURCES))
        assert {is_stale for _, is_stale, _ in one.told} == {True}
        assert one.workloads() == [*both, "default/pod/toolbox"]
        assert await one.stale() == {resource.name for resource in RESOURCES}
        await asyncio.to_thread(control.start_again, "kube-apiserver")
        # What changes before the watch is back is what it would miss.
        await asyncio.to_thread(
            control._await, "it answers", lambda: control.kubectl("get", "--raw", "/readyz", check=False) == "ok"
        )
        # Of a pod by itself: controllers wait for up to a minute before they try an API server again.
        await one.kubectl("delete", "pod", "toolbox", "--wait=false")
        await one.all_current()
        await one.until("it is gone", lambda: one.workloads() == both)
        assert {is_stale for _, is_stale, _ in one.told[-len(RESOURCES) :]} == {False}
        assert await one.stale() == set()
        for name, state, _ in one.watch.states():
            # A server that has just begun does not know yet which kinds it lacks: they are asked for again.
            assert state.lists <= (10 if state.absent else 2), name
            assert state.watches + state.failures <= 20, name
        await one.kubectl("delete", "deployment/web", "--wait=false")
        await one.until("none is left", lambda: not one.workloads(), CONTROLLERS_WAIT_SECONDS)

    run(test)


def test_without_a_right_one_resource_is_stale_until_it_is_given(
    run: Callable[..., None], control: ControlPlane
) -> None:
    for thing in ("serviceaccount", "clusterrole", "clusterrolebinding"):
        more = {
            "serviceaccount": [],
            "clusterrole": [
                "--verb=list,watch",
                f"--resource={','.join([*READ.split(), 'jobs.batch', 'cronjobs.batch'])}",
            ],
            "clusterrolebinding": ["--clusterrole=reader", "--serviceaccount=default:reader"],
        }[thing]
        control.kubectl("create", thing, "reader", *more)

    async def test(one: Watching) -> None:
        await one.kubectl("create", "deployment", "web", IMAGE)
        # By its name and its template, since its replica set cannot be seen.
        await one.until("it is named", lambda: one.workloads() == ["default/deployment/web"])
        assert one.told == [("replicasets.apps", True, True)]
        assert "403" in one.state("replicasets.apps").reason
        await one.kubectl("create", "clusterrole", "more", "--verb=list,watch", "--resource=replicasets.apps")
        await one.kubectl(
            "create", "clusterrolebinding", "more", "--clusterrole=more", "--serviceaccount=default:reader"
        )
        await one.all_current()
        assert one.told[-1] == ("replicasets.apps", False, False)
        assert one.workloads() == ["default/deployment/web"]
        await one.kubectl("delete", "deployment/web", "--wait=false")
        await one.until("none is left", lambda: not one.workloads())

    run(test, control.token("reader"))


def test_pods_that_went_while_nobody_watched_are_known_to_be_gone(
    control: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with watching(control, tmp_path, monkeypatch) as one:
            await one.kubectl("run", "first", IMAGE)
            await one.until("it is named", lambda: one.workloads() == ["default/pod/first"])
        control.kubectl("delete", "pod", "first")
        control.kubectl("run", "second", IMAGE)
        async with watching(control, tmp_path, monkeypatch) as one:
            assert one.workloads() == ["default/pod/first"]
            await one.until("the second is there alone", lambda: one.workloads() == ["default/pod/second"])
            assert one.live.store.estate.held()["pods"] == 2
            await one.kubectl("delete", "pod", "second")

    control.inside(lambda: asyncio.run(whole()))
