"""Pods become what a person deployed, in whatever order the API tells of them and of their owners."""

from itertools import permutations
from typing import Any

import pytest

from aggregator.records import SECOND_NS
from aggregator.resolve.objects import Meta, Pod, read_meta, read_pod, read_service, read_slice
from aggregator.resolve.workloads import PodName, Workloads
from tests.unit.aggregator.objects import by, owner, pod, raw_pod

HASH = {"pod-template-hash": "5d8f"}
WEB = pod("web-5d8f-x1", by("ReplicaSet", "web-5d8f"), labels=HASH)
CHAIN = owner("ReplicaSet", "web-5d8f", by("Deployment", "web")), owner("Deployment", "web")


def told(*objects: Pod | Meta, second: float = 0.0, workloads: Workloads | None = None) -> dict[str, str]:
    """What pods are part of, by name."""
    workloads = Workloads() if workloads is None else workloads
    return {one.pod: f"{one.namespace}/{one.kind}/{one.name}" for one in names(workloads, *objects, second=second)}


def names(workloads: Workloads, *objects: Pod | Meta, second: float = 0.0) -> list[PodName]:
    now_ns, found = round(second * SECOND_NS), []
    for one in objects:
        if isinstance(one, Pod):
            workloads.pods([one], (), now_ns)
        else:
            workloads.owners([one], (), now_ns)
        found += workloads.take_named(now_ns)
    return found + workloads.take_named(now_ns)


@pytest.mark.parametrize("order", list(permutations([WEB, *CHAIN])))
def test_any_order_gives_one_name_and_no_worse_one_before(order: tuple[Pod | Meta, ...]) -> None:
    found = names(Workloads(), *order)
    containers = (("a" * 64, "app"),)
    assert found == [PodName("uid-web-5d8f-x1", "shop", "deployment", "web", "web-5d8f-x1", "5d8f", "n1", containers)]


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        (pod("db-0", by("StatefulSet", "db")), [owner("StatefulSet", "db")], "shop/statefulset/db"),
        (
            pod("nightly-1-z", by("Job", "nightly-1", "batch/v1")),
            [owner("Job", "nightly-1", by("CronJob", "nightly", "batch/v1")), owner("CronJob", "nightly")],
            "shop/cronjob/nightly",
        ),
        (pod("once-z", by("Job", "once", "batch/v1")), [owner("Job", "once")], "shop/job/once"),
        (
            pod("api-7c-z", by("ReplicaSet", "api-7c")),
            [owner("ReplicaSet", "api-7c", by("Rollout", "api", "argoproj.io/v1alpha1")), owner("Rollout", "api")],
            "shop/rollout/api",
        ),
        (
            pod("pg-0", by("StatefulSet", "pg")),
            [owner("StatefulSet", "pg", by("Postgres", "main", "acme.io/v1")), owner("Postgres", "main")],
            "shop/postgres/main",
        ),
        (pod("toolbox"), [], "shop/pod/toolbox"),
        (pod("etcd-n1", by("Node", "n1", "v1")), [], "shop/pod/etcd-n1"),
    ],
)
def test_the_top_of_the_chain(first: Pod, others: list[Meta], expected: str) -> None:
    assert told(first, *others) == {first.name: expected}


def test_a_static_pod_is_known_by_what_its_cgroup_is_called() -> None:
    hashed = "0123456789abcdef0123456789abcdef"
    one = pod("etcd-n1", by("Node", "n1", "v1"), annotations={"kubernetes.io/config.hash": hashed})
    workloads = Workloads()
    assert [name.uid for name in names(workloads, one)] == [hashed]
    # Its object is made anew, its cgroup goes on.
    again = one._replace(uid="uid-of-another")
    workloads.pods([again], [one.uid], 0)
    assert not workloads.take_ended()
    assert not names(workloads, again)[1:]
    workloads.pods([], [again.uid], 0)
    assert workloads.take_ended() == [hashed]


def test_a_custom_kind_is_asked_for_and_waited_for_until_nobody_watches_it() -> None:
    workloads = Workloads()
    rollout = by("Rollout", "api", "argoproj.io/v1alpha1")
    first = pod("api-7c-z", by("ReplicaSet", "api-7c")), owner("ReplicaSet", "api-7c", rollout)
    assert not told(*first, workloads=workloads)
    assert ("argoproj.io/v1alpha1", "Rollout") in workloads.take_wanted()
    workloads.give_up(("argoproj.io/v1alpha1", "Rollout"))
    assert told(workloads=workloads) == {"api-7c-z": "shop/rollout/api"}


def test_an_owner_that_does_not_come_is_not_waited_for_for_ever_and_mends_the_name_later() -> None:
    workloads = Workloads()
    assert not told(WEB, second=0, workloads=workloads)
    assert not told(second=9, workloads=workloads)
    assert told(second=11, workloads=workloads) == {WEB.name: "shop/replicaset/web-5d8f"}
    assert not told(second=30, workloads=workloads)
    assert told(*CHAIN, second=40, workloads=workloads) == {WEB.name: "shop/deployment/web"}


def test_without_the_right_to_see_replica_sets_the_template_tells_the_deployment() -> None:
    workloads = Workloads()
    workloads.give_up(("apps/v1", "ReplicaSet"))
    assert told(owner("Deployment", "web"), WEB, workloads=workloads) == {WEB.name: "shop/deployment/web"}
    other = pod("api-7c-z", by("ReplicaSet", "api-7c"), labels={"pod-template-hash": "7c"})
    assert told(other, workloads=workloads) == {other.name: "shop/replicaset/api-7c"}


def test_a_deployment_that_is_made_anew_under_its_name_is_told_with_the_end_of_the_one_before() -> None:
    workloads = Workloads()
    workloads.give_up(("apps/v1", "ReplicaSet"))
    before, anew = owner("Deployment", "web"), owner("Deployment", "web", uid="uid-anew")
    workloads.owners([before], (), 0)
    workloads.owners([before, anew], [before.uid], 0)
    assert told(WEB, workloads=workloads) == {WEB.name: "shop/deployment/web"}


def test_a_pod_keeps_its_name_when_its_owners_are_gone_before_it() -> None:
    workloads = Workloads()
    assert told(WEB, *CHAIN, workloads=workloads)
    workloads.owners([], [one.uid for one in CHAIN], 0)
    changed = WEB._replace(phase="Succeeded")
    assert not told(changed, second=60, workloads=workloads)


def test_a_pod_that_is_gone_before_its_owners_came_is_named_all_the_same() -> None:
    workloads = Workloads()
    job = pod("nightly-1-z", by("Job", "nightly-1", "batch/v1"))
    assert not told(job, workloads=workloads)
    workloads.pods([], [job.uid], 0)
    assert not workloads.take_ended()
    assert told(owner("Job", "nightly-1"), workloads=workloads) == {job.name: "shop/job/nightly-1"}
    assert workloads.take_ended() == [job.uid]
    assert not len(workloads)


def test_a_pod_that_somebody_adopts_is_called_by_who_has_it_now() -> None:
    workloads = Workloads()
    assert told(pod("web-5d8f-x1"), *CHAIN, workloads=workloads) == {WEB.name: "shop/pod/web-5d8f-x1"}
    assert told(WEB, workloads=workloads) == {WEB.name: "shop/deployment/web"}


def test_a_new_owner_that_is_not_known_yet_takes_no_name_away() -> None:
    workloads = Workloads()
    assert told(pod("web-5d8f-x1"), workloads=workloads)
    assert not told(WEB, workloads=workloads)
    assert not told(second=60, workloads=workloads)
    assert told(*CHAIN, second=61, workloads=workloads) == {WEB.name: "shop/deployment/web"}


def test_owners_that_own_each_other_end_somewhere() -> None:
    pair = owner("A", "a", by("B", "b", "x.io/v1")), owner("B", "b", by("A", "a", "x.io/v1"))
    assert told(pod("p", by("A", "a", "x.io/v1")), *pair) == {"p": "shop/b/b"}


def test_what_is_read_of_a_pod() -> None:
    found = read_pod(raw_pod("web", labels={"controller-revision-hash": "web-77"}))
    assert (found.revision, found.node, found.phase, found.host_network) == ("web-77", "n1", "Running", False)
    assert [len(address) for address in found.addresses] == [16, 16]
    assert found.containers == (("a" * 64, "app"),)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"metadata": None, "spec": [], "status": "?"},
        {"metadata": {"uid": "u", "name": 7, "labels": None, "annotations": [], "ownerReferences": [None, 3, {}]}},
        {"metadata": {"uid": "u"}, "status": {"podIPs": [{"ip": None}, "x"], "containerStatuses": {}}},
        {"metadata": {"uid": "u"}, "spec": {"ports": [None], "clusterIPs": "10.0.0.1"}, "endpoints": 3, "ports": {}},
    ],
)
def test_half_an_object_is_read_as_far_as_it_goes(raw: dict[str, Any]) -> None:
    assert read_pod(raw).uid in ("", "u")
    assert read_meta(raw, "Job").owner is None
    assert read_service(raw).addresses == ()
    assert read_slice(raw).ports == ()
