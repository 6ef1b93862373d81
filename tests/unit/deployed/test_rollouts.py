"""A rollout is told when it begins, goes on, is stuck, done or rolled back; and once."""

from typing import Any

import pytest
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.jsonform import to_json

from aggregator.records import SECOND_NS
from aggregator.resolve.deployed import byhand
from aggregator.resolve.deployed.deployed import Deployed
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.warnings import read_warning
from aggregator.resolve.objects import Pod
from tests.unit.deployed.objects import (
    LIMIT,
    RESTART,
    TIMES,
    Raw,
    changed,
    deployment,
    image,
    limit,
    observed,
    pod,
    replica_set,
    spec,
)

WEB = "shop/deployment/web"


class Cluster:
    """A Deployment, told of as an API server would, at seconds that tests set."""

    def __init__(self, is_listed: bool = True) -> None:
        self.second = 0.0
        self.deployed = Deployed(
            Deployers(),
            lambda meta: f"{meta.namespace}/{meta.kind.lower()}/{meta.name}",
            lambda uid: "" if uid in ("uid-n1", "uid-scaler") else WEB,
            lambda uid: WEB if uid == "uid-scaler" else "",
        )
        self.raw = deployment()
        if is_listed:
            self.deployed.generations([replica_set("web", 1)], ())
            self.see()
            self.deployed.listed.add("Deployment")

    @property
    def now_ns(self) -> int:
        return round((1000 + self.second) * SECOND_NS)

    def see(self, raw: Raw | None = None) -> list[pb.Event]:
        """It is so by now."""
        self.raw = raw or self.raw
        self.deployed.specs([spec(self.raw)], (), self.now_ns)
        return self.events()

    def events(self) -> list[pb.Event]:
        return self.deployed.take_events(self.now_ns)

    def change(self, *how: Any, **more: Any) -> list[pb.Event]:
        return self.see(changed(self.raw, *how, **more))

    def observe(self, *counts: int, **more: Any) -> list[pb.Event]:
        return self.see(observed(self.raw, *counts, **more))

    def revise(self, number: int, second: int, marked: str = "", scaled: int = 0) -> list[pb.Event]:
        self.deployed.generations([replica_set("web", number, second, marked, scaled)], ())
        return self.events()

    def run(self, *pods: Pod) -> list[pb.Event]:
        self.deployed.pods(pods, ())
        return self.events()

    @property
    def workload(self) -> dict[str, Any]:
        return to_json(self.deployed.workloads()[WEB])


def states(events: list[pb.Event]) -> list[str]:
    assert len({event.node for event in events}) <= 1
    return [to_json(event)["state"] if event.kind == pb.EVENT_KIND_ROLLOUT else to_json(event)["kind"]
            for event in events]  # fmt: skip


def test_a_rollout_from_its_begin_to_its_end() -> None:
    cluster = Cluster()
    assert cluster.change(image("registry.example/web:2"), "helm", {}) == []
    # Until its controller says what it is called, for a moment.
    assert cluster.revise(2, 1) == []
    (begun,) = cluster.observe(0, 3, revision="2")
    assert (begun.revision, begun.previous_revision, begun.object) == ("hash2", "hash1", "deployment/web")
    assert [(one.path, one.before, one.after) for one in begun.changes] == [
        ("containers[app].image", "registry.example/web:1", "registry.example/web:2")
    ]
    assert not begun.by_hand and to_json(begun)["state"] == "begun"
    assert states(cluster.observe(1, 3, 4)) == ["progressing"]
    assert states(cluster.observe(2, 3, 4)) == []
    assert states(cluster.observe(3, 3, 3)) == ["done"]
    assert states(cluster.observe(3, 2, 3)) == []
    (told,) = cluster.workload["rollouts"]
    assert (told["state"], told["revision"], told["wanted"], told["ended"] is None) == ("done", "hash2", 3, False)


def test_a_limit_that_was_changed_by_hand_is_told_at_once_and_its_rollout_is_marked() -> None:
    cluster = Cluster()
    (by_hand,) = cluster.change(limit("256Mi"), "kubectl-set", LIMIT)
    assert states([by_hand]) == ["changed_by_hand"] and by_hand.by_hand
    (field,) = by_hand.changes
    assert (field.path, field.before, field.after, field.manager, field.by_hand) == (
        "containers[app].resources.limits.memory", "128Mi", "256Mi", "kubectl-set", True)  # fmt: skip
    assert cluster.workload["by_hand"][0]["path"] == field.path
    cluster.second = 0.6
    (begun,) = cluster.events()
    assert (begun.state, begun.by_hand, begun.revision) == (pb.ROLLOUT_STATE_BEGUN, True, "")
    assert begun.time == by_hand.time
    cluster.revise(2, 1)
    assert states(cluster.observe(3, 3, revision="2")) == ["done"]


def test_what_found_no_room_stays_counted_when_its_workload_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter that steps back is a new one to whoever reads it, and begins with all that it says."""
    monkeypatch.setattr(byhand, "MOST_SEEN", 0)
    cluster = Cluster()
    cluster.change(limit("256Mi"), "kubectl-set", LIMIT)
    assert cluster.deployed.dropped()["by_hand_full"] == 1
    cluster.deployed.specs((), [spec(cluster.raw).uid], cluster.now_ns)
    assert cluster.deployed.dropped()["by_hand_full"] == 1


def test_where_replicas_change_too_the_revision_is_not_the_one_of_before() -> None:
    """Its controller scales first, says that it observed it, and only then makes a revision."""

    def both(raw: Raw) -> None:
        image("registry.example/web:2")(raw)
        raw["spec"].update(replicas=4)

    cluster = Cluster()
    cluster.change(both, "helm", {})
    assert cluster.observe(0, 3) == [] and cluster.revise(1, 0, scaled=1) == []
    cluster.revise(2, 1)
    (begun,) = cluster.observe(0, 3, revision="2")
    assert (begun.revision, begun.previous_revision) == ("hash2", "hash1")
    cluster.observe(4, 4, 4)
    assert cluster.workload["rollouts"][0]["revision"] == "hash2"


def test_what_was_changed_and_put_back_before_anybody_saw_it_is_what_it_was() -> None:
    cluster = Cluster()
    cluster.change(image("registry.example/web:2"), "helm", {})
    cluster.change(image("registry.example/web:1"), "helm", {})
    told = cluster.observe(3, 3)
    assert (states(told), told[-1].revision) == (["begun", "done"], "hash1")


def test_a_restart_is_a_rollout_and_not_by_hand() -> None:
    def restart(raw: Raw) -> None:
        raw["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}

    cluster = Cluster()
    assert cluster.change(restart, "kubectl-rollout", RESTART) == []
    cluster.revise(2, 1)
    (begun,) = cluster.observe(0, revision="2")
    assert states([begun]) == ["begun"] and not begun.by_hand and begun.changes[0].what == "restart"
    assert cluster.workload["by_hand"] == []


def test_the_same_in_another_order_is_a_rollout_in_which_nothing_changed() -> None:
    """Pods are replaced by it, and what they are to be is the same."""

    def turn(raw: Raw) -> None:
        raw["spec"]["template"]["spec"]["containers"][0]["env"].reverse()

    cluster = Cluster()
    assert cluster.change(turn, "helm", {}) == []
    cluster.revise(2, 1)
    (begun,) = cluster.observe(0, revision="2")
    assert (begun.revision, begun.previous_revision, list(begun.changes)) == ("hash2", "hash1", [])
    assert not begun.by_hand and states(cluster.observe(3, 3)) == ["done"]
    assert cluster.workload["by_hand"] == []


def test_replicas_are_no_rollout_and_an_autoscaler_is_not_by_hand() -> None:
    for manager, expected in (("kube-controller-manager", "spec_changed"), ("kubectl", "changed_by_hand")):
        cluster = Cluster()
        events = cluster.change(lambda raw: raw["spec"].update(replicas=5), manager, {"f:replicas": {}}, part="scale")
        assert states(events) == [expected]
        assert [(one.path, one.before, one.after) for one in events[0].changes] == [("replicas", "3", "5")]
        assert states(cluster.observe(3, 3)) == []
        assert states(cluster.observe(5, 5, 5)) == []


@pytest.mark.parametrize("second", [1, 0], ids=["later", "in the same second"])
def test_an_image_that_does_not_exist_makes_it_stuck_once(second: int) -> None:
    cluster = Cluster()
    cluster.change(image("nothing:1"), "helm", {})
    cluster.revise(2, second)
    assert states(cluster.observe(1, 3, 4, revision="2")) == ["begun", "progressing"]
    (stuck,) = cluster.run(pod("web-2", "web", "hash2", ready=False, reason="ErrImagePull"))
    assert (stuck.reason, stuck.updated, stuck.wanted) == ("ErrImagePull", 1, 3)
    for reason in ("ImagePullBackOff", "ErrImagePull"):
        assert cluster.run(pod("web-2", "web", "hash2", ready=False, reason=reason)) == []
    failure = {"reason": "ProgressDeadlineExceeded", "message": "it has timed out"}
    assert states(cluster.observe(1, 3, 4, **failure)) == []
    assert cluster.workload["rollouts"][0]["state"] == "stuck"
    # Back to what was there before: its ReplicaSet is the one of then.
    cluster.change(image("registry.example/web:1"), "kubectl-rollout", {})
    cluster.revise(3, 0, "hash1")
    (back,) = cluster.observe(3, 3, 4, revision="3")[:1]
    assert (states([back]), back.revision, back.previous_revision) == (["rolled_back"], "hash1", "hash2")
    assert states(cluster.observe(3, 3, 3)) == ["done"]


def test_without_progress_for_too_long_it_is_stuck_and_goes_on_when_it_does() -> None:
    cluster = Cluster()
    cluster.change(image("registry.example/web:2"), "helm", {})
    cluster.revise(2, 1)
    cluster.observe(1, 3, 4, revision="2")
    (stuck,) = cluster.observe(1, 3, 4, reason="ProgressDeadlineExceeded", message="it has timed out")
    assert (stuck.reason, stuck.message) == ("ProgressDeadlineExceeded", "it has timed out")
    assert states(cluster.observe(2, 3, 4)) == ["progressing"]


def test_a_rollout_that_was_going_on_before_is_told_from_where_it_is() -> None:
    cluster = Cluster(is_listed=False)
    cluster.deployed.generations([replica_set("web", 1), replica_set("web", 2, 30)], ())
    assert states(cluster.see(observed(deployment(generation=2), 1, 3, 4, "2"))) == ["progressing"]
    (told,) = cluster.workload["rollouts"]
    assert (told["began"], told["revision"]) == (TIMES.format(30).replace("Z", ".000Z"), "hash2")
    assert states(cluster.observe(3, 3)) == ["done"]


def test_a_rollout_of_which_nobody_knows_when_it_began_says_so() -> None:
    """Without the right to read what keeps its revisions."""
    cluster = Cluster(is_listed=False)
    cluster.see(observed(deployment(generation=2), 1, 3, 4, "2"))
    (told,) = cluster.workload["rollouts"]
    assert (told["state"], told["began"]) == ("progressing", None)


def test_what_was_done_before_is_no_news_and_neither_is_a_pod_that_is_not_ready() -> None:
    for raw in (deployment(), observed(deployment(), 3, 2)):
        cluster = Cluster(is_listed=False)
        cluster.deployed.generations([replica_set("web", 1)], ())
        assert cluster.see(raw) == []
        assert cluster.workload["rollouts"] == []


def test_a_new_workload_begins_with_a_rollout() -> None:
    cluster = Cluster()
    other = deployment("api")
    other["status"] = {}
    cluster.deployed.specs([spec(other)], (), cluster.now_ns)
    cluster.second = 1
    (begun,) = cluster.events()
    assert (begun.node, begun.state, [*begun.changes]) == ("shop/deployment/api", pb.ROLLOUT_STATE_BEGUN, [])


def test_while_it_is_paused_nothing_begins() -> None:
    cluster = Cluster()
    cluster.change(lambda raw: raw["spec"].update(paused=True), "helm", {})
    cluster.observe(3, 3)
    cluster.change(image("registry.example/web:2"), "helm", {})
    cluster.second = 60
    assert cluster.observe(0, 3) == []
    (resumed,) = cluster.change(lambda raw: raw["spec"].update(paused=False), "helm", {})
    assert states([resumed]) == ["spec_changed"]
    cluster.revise(2, 1)
    (begun,) = cluster.observe(0, 3, revision="2")
    assert [one.path for one in begun.changes] == ["containers[app].image"]


def test_which_revisions_run_with_image_and_digest() -> None:
    cluster = Cluster()
    cluster.run(
        pod("a", "web", "hash1"), pod("b", "web", "hash1", "n2"), pod("c", "web", "hash2", "n2", ready=False),
        pod("d", "web", "hash2", ready=False, reason="ErrImagePull"),
    )  # fmt: skip
    by_hash = {one["hash"]: one for one in cluster.workload["revisions"]}
    assert [(key, one["replicas"], one["ready"], one["host_count"]) for key, one in by_hash.items()] == [
        ("hash1", 2, 2, 2), ("hash2", 2, 0, 2)]  # fmt: skip
    assert by_hash["hash1"]["images"] == [
        {"container": "app", "image": "registry.example/web:hash1", "digest": "sha256:hash1"}
    ]
    # What one of them runs is known by it, though the other has not begun.
    assert by_hash["hash2"]["images"][0]["digest"] == "sha256:hash2"
    cluster.deployed.pods([pod("a", "web", "hash1")._replace(leaving=True)], ["uid-b"])
    assert [one["hash"] for one in cluster.workload["revisions"]] == ["hash2"]
    cluster.deployed.specs([], ["uid-web"], cluster.now_ns)
    cluster.deployed.pods([], ["uid-c"])
    assert cluster.deployed.workloads().keys() == {WEB}
    cluster.deployed.pods([], ["uid-d"])
    assert not cluster.deployed.workloads()


def warning(uid: str, count: int = 1, reason: str = "BackOff", about: str = "uid-web", kind: str = "Deployment") -> Raw:
    return {
        "metadata": {"uid": uid},
        "involvedObject": {"kind": kind, "name": "web", "namespace": "shop", "uid": about},
        "reason": reason,
        "message": "Back-off  restarting\nfailed container " + "x" * 500,
        "count": count,
        "lastTimestamp": TIMES.format(9),
    }


def test_warnings_are_told_when_they_begin_and_then_counted() -> None:
    cluster = Cluster()

    def warned(*some: Raw) -> list[pb.Event]:
        cluster.deployed.warned([read_warning(one) for one in some], (), cluster.now_ns)
        return cluster.events()

    (first,) = warned(warning("a"))
    assert (first.node, first.object, first.reason, first.count) == (WEB, "deployment/web", "BackOff", 1)
    assert first.message.startswith("Back-off restarting failed container x") and len(first.message) <= 200
    assert first.time.ToJsonString() == TIMES.format(9)
    assert warned(warning("a"), warning("a", 7), warning("b", 2)) == []
    (other,) = warned(warning("c", reason="FailedCreate"))
    assert other.reason == "FailedCreate"
    cluster.second = 61
    (again,) = warned(warning("a", 8))
    assert again.count == 9
    (of_nobody,) = warned(warning("d", about="uid-n1", kind="Node"))
    assert (of_nobody.node, of_nobody.object) == ("", "node/web")
    (of_its_autoscaler,) = warned(warning("e", about="uid-scaler", kind="HorizontalPodAutoscaler", reason="NoMetrics"))
    assert (of_its_autoscaler.node, of_its_autoscaler.object) == (WEB, "horizontalpodautoscaler/web")


def test_a_custom_controller_s_rollouts_are_told_by_its_pods() -> None:
    cluster = Cluster(is_listed=False)
    old, new = pod("a", "web", "one"), pod("b", "web", "two")._replace(created_ns=2**61)
    assert cluster.run(old) == []
    assert cluster.workload["rollouts"] == []
    (begun,) = cluster.run(new._replace(ready=False))
    assert (states([begun]), begun.revision, begun.previous_revision) == (["begun"], "two", "one")
    assert [(one.path, one.before, one.after) for one in begun.changes] == [
        ("containers[app].image", "registry.example/web:one", "registry.example/web:two")
    ]
    (stuck,) = cluster.run(new._replace(ready=False, waiting="CrashLoopBackOff"))
    assert (states([stuck]), stuck.reason) == (["stuck"], "CrashLoopBackOff")
    (going_on,) = cluster.run(new)
    assert (states([going_on]), going_on.wanted, going_on.updated) == (["progressing"], 2, 1)
    cluster.deployed.pods([], [old.uid])
    assert states(cluster.events()) == ["done"]
    (told,) = cluster.workload["rollouts"]
    assert (told["object"], told["state"], told["revision"]) == ("deployment/web", "done", "two")
    # What it was before comes back.
    cluster.second = 5
    assert states(cluster.run(old._replace(created_ns=2**61 + 1, ready=False))) == ["rolled_back"]
    cluster.deployed.pods([], [new.uid])
    assert states(cluster.run(old)) == ["done"]


def test_pods_of_two_revisions_that_were_there_before_are_no_news() -> None:
    cluster = Cluster(is_listed=False)
    assert cluster.run(pod("a", "web", "one"), pod("b", "web", "two")) == []
    assert cluster.run(pod("c", "web", "")) == []


def partitioned(updated: int, partition: int) -> Raw:
    raw = observed(deployment(), updated)
    raw["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    return raw


def daemons(updated: int, available: int, wanted: int = 3) -> Raw:
    raw = deployment()
    raw["status"] = {
        "observedGeneration": 1,
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": wanted,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }
    return raw


@pytest.mark.parametrize(
    ("kind", "raw", "is_done"),
    [
        ("Deployment", observed(deployment(), 3), True),
        ("Deployment", observed(deployment(), 3, 2), False),
        ("Deployment", observed(deployment(), 3, 3, 4), False),
        ("Deployment", changed(deployment(), limit("1Gi")), False),
        ("StatefulSet", partitioned(1, 2), True),
        ("StatefulSet", partitioned(0, 2), False),
        ("StatefulSet", partitioned(2, 0), False),
        ("DaemonSet", daemons(3, 3), True),
        ("DaemonSet", daemons(2, 3), False),
        ("DaemonSet", daemons(3, 2), False),
        ("DaemonSet", daemons(0, 0, 0), True),
    ],
)
def test_when_a_rollout_is_done(kind: str, raw: Raw, is_done: bool) -> None:
    assert spec(raw, kind).is_done is is_done


def test_what_does_not_move_for_ten_minutes_is_stuck_where_the_api_does_not_say_so() -> None:
    cluster = Cluster(is_listed=False)
    cluster.deployed.listed.add("DaemonSet")

    def see(raw: Raw) -> list[pb.Event]:
        cluster.deployed.specs([spec(raw, "DaemonSet")], (), cluster.now_ns)
        return cluster.events()

    see(daemons(0, 0))
    cluster.second = 1
    assert states(cluster.events()) == ["begun"]
    cluster.second = 601
    assert states(cluster.events()) == []
    cluster.second = 602
    (stuck,) = cluster.events()
    assert (states([stuck]), stuck.reason) == (["stuck"], "NoProgress")
    cluster.second = 2000
    assert states(see(daemons(1, 1))) == ["progressing"]
    assert states(see(daemons(3, 3))) == ["done"]
