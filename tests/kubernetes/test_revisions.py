"""Rollouts and changes by hand on a real API server with its real controllers, as `plumb watch` tells of them.

Pods are not run: what a kubelet would say of them is said for it.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.control import ControlPlane
from tests.kubernetes.installed import Plumb, Row, changes, kubelet, states

WEB = "default/deployment/web"
OTHER_PORTS = ("--agents=127.0.0.1:8170", "--grpc=127.0.0.1:8171", "--http=127.0.0.1:8172")
MEMORY = "containers[app].resources.limits.memory"


@pytest.fixture(scope="module")
def control() -> Iterator[ControlPlane]:
    with ControlPlane() as plane, kubelet(plane):
        yield plane


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def plumb(control: ControlPlane, folder: Path) -> Iterator[Plumb]:
    with Plumb(control, folder) as found:
        yield found


def workload(kind: str, name: str, image: str = "example.test/app:1", **env: str) -> Row:
    labels = {"app": name}
    container = {
        "name": "app",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "resources": {"limits": {"memory": "128Mi"}},
    }
    more: Row = {"serviceName": name} if kind == "StatefulSet" else {}
    spec = {"replicas": 3, **more, "selector": {"matchLabels": labels}}
    spec["template"] = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def deploy(control: ControlPlane, thing: Row, manager: str = "helm") -> None:
    control.kubectl("apply", f"--field-manager={manager}", "--filename=-", text=json.dumps(thing))


def shown(plumb: Plumb) -> set[str]:
    """Workloads that the API tells of."""
    _, graph = plumb.ask("graph")
    return {one["id"] for one in graph["workloads"]}


def by_hand(plumb: Plumb) -> list[tuple[str, str]]:
    status, answer = plumb.ask("drift")
    assert status == 0
    assert {one["kind"] for one in answer["findings"]} <= {"changed_by_hand"}
    return [(one["subject"], one["object"]) for one in answer["findings"]]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_rollout_is_told_with_what_changed(control: ControlPlane, plumb: Plumb, kind: str) -> None:
    name = f"first-{kind.lower()}"
    node = f"default/{kind.lower()}/{name}"
    deploy(control, workload(kind, name, LOG="info"))
    made = plumb.until_done(node)
    assert states(made)[0] == "begun" and states(made)[-1] == "done"
    assert "changed_by_hand" not in states(made)
    deploy(control, workload(kind, name, "example.test/app:2", LOG="debug"))
    told = plumb.until_done(node, len(made))
    assert (states(told)[0], states(told)[-1]) == ("begun", "done") and "changed_by_hand" not in states(told)
    assert changes(told[0]) == [
        ("containers[app].env[LOG]", "", "", "helm"),
        ("containers[app].image", "example.test/app:1", "example.test/app:2", "helm"),
    ]
    assert not told[0]["by_hand"]
    assert told[0]["revision"] and told[0]["previous_revision"] == made[-1]["revision"] != told[0]["revision"]
    # And back to what was there before.
    control.kubectl("rollout", "undo", f"{kind.lower()}/{name}")
    back = plumb.until_done(node, len(made) + len(told))
    assert "rolled_back" in states(back) and "begun" not in states(back)
    begun = next(one for one in back if one["state"] == "rolled_back")
    assert (begun["revision"], begun["previous_revision"]) == (made[-1]["revision"], told[0]["revision"])
    control.kubectl("delete", kind.lower(), name)


def test_an_image_that_nobody_can_pull_is_stuck(control: ControlPlane, plumb: Plumb) -> None:
    node = "default/deployment/lost"
    deploy(control, workload("Deployment", "lost"))
    since = len(plumb.until_done(node))
    control.kubectl("set", "image", "deployment/lost", "app=example.test/missing:1", "--field-manager=helm")
    plumb.until("it is stuck", lambda: "stuck" in states(plumb.happened(node, since)))
    stuck = next(one for one in plumb.happened(node, since) if one["state"] == "stuck")
    assert (stuck["reason"], stuck["wanted"]) == ("ImagePullBackOff", 3)
    control.kubectl("delete", "deployment", "lost")


def test_a_limit_by_hand_is_told_within_two_seconds(control: ControlPlane, plumb: Plumb) -> None:
    deploy(control, workload("Deployment", "web"))
    since = len(plumb.until_done(WEB))
    began = time.monotonic()
    control.kubectl("set", "resources", "deployment/web", "--containers=app", "--limits=memory=256Mi")
    told = plumb.until("it is told", lambda: plumb.happened(WEB, since))[0]
    arrived = next(at for at, row in plumb.rows if row.get("happened") == told)
    print(f"told {arrived - began:.3f} s after kubectl was started")
    assert arrived - began < 2
    assert (told["kind"], told["by_hand"]) == ("changed_by_hand", True)
    assert changes(told) == [(MEMORY, "128Mi", "256Mi", "kubectl-set")]
    rollout = plumb.until_done(WEB, since)[1]
    assert (rollout["state"], rollout["by_hand"]) == ("begun", True)
    assert by_hand(plumb) == [(WEB, MEMORY)]


def test_replicas_and_a_restart_are_marked_as_they_should(control: ControlPlane, plumb: Plumb) -> None:
    since = len(plumb.happened(WEB))
    control.kubectl("rollout", "restart", "deployment/web")
    told = plumb.until_done(WEB, since)
    assert "changed_by_hand" not in states(told)
    assert [one["what"] for one in told[0]["changes"]] == ["restart"] and not told[0]["by_hand"]
    assert by_hand(plumb) == [(WEB, MEMORY)]
    since += len(told)
    control.kubectl("scale", "deployment/web", "--replicas=4")
    (scaled,) = plumb.until("it is told", lambda: plumb.happened(WEB, since))
    assert (scaled["kind"], changes(scaled)) == ("changed_by_hand", [("replicas", "3", "4", "kubectl")])
    assert by_hand(plumb) == [(WEB, MEMORY), (WEB, "replicas")]
    # Who deploys has the last word.
    deploy(control, workload("Deployment", "web"))
    plumb.until("nothing is by hand any more", lambda: not by_hand(plumb))


def test_an_autoscaler_s_replicas_are_its_own(control: ControlPlane, plumb: Plumb) -> None:
    """Without metrics it keeps to its least number, and that is enough."""
    node = "default/deployment/scaled"
    deploy(control, workload("Deployment", "scaled"))
    since = len(plumb.until_done(node))
    control.kubectl("autoscale", "deployment", "scaled", "--min=5", "--max=9", "--cpu-percent=50")
    told = plumb.until("it is told", lambda: [one for one in plumb.happened(node, since) if one["changes"]], 90)[0]
    assert (told["kind"], changes(told)) == ("spec_changed", [("replicas", "3", "5", "kube-controller-manager")])
    assert by_hand(plumb) == []
    control.kubectl("delete", "hpa/scaled", "deployment/scaled")


def test_a_custom_controller_s_pods_by_their_revision(control: ControlPlane, plumb: Plumb) -> None:
    kind = {"plural": "rollouts", "singular": "rollout", "kind": "Rollout"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    definition = {"group": "acme.test", "scope": "Namespaced", "names": kind, "versions": [version]}
    deploy(control, {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                     "metadata": {"name": "rollouts.acme.test"}, "spec": definition})  # fmt: skip
    control.kubectl("wait", "--for=condition=Established", "crd/rollouts.acme.test")
    deploy(control, {"apiVersion": "acme.test/v1", "kind": "Rollout", "metadata": {"name": "api"}})
    uid = control.kubectl("get", "rollout", "api", "--output=jsonpath={.metadata.uid}")
    owner = {"apiVersion": "acme.test/v1", "kind": "Rollout", "name": "api", "uid": uid, "controller": True}

    def run(name: str, marked: str) -> None:
        meta = {"name": name, "labels": {"rollouts-pod-template-hash": marked}, "ownerReferences": [owner]}
        spec = {"containers": [{"name": "app", "image": f"example.test/app:{marked}"}]}
        deploy(control, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    node = "default/rollout/api"
    run("api-1", "one")
    plumb.until("it is there", lambda: node in shown(plumb))
    time.sleep(1)  # their times have whole seconds
    run("api-2", "two")
    begun = plumb.until("it is told", lambda: [one for one in plumb.happened(node) if one["kind"] == "rollout"])[0]
    assert (begun["state"], begun["revision"], begun["previous_revision"]) == ("begun", "two", "one")
    assert changes(begun) == [("containers[app].image", "example.test/app:one", "example.test/app:two", "")]
    control.kubectl("delete", "pod", "api-1")
    assert states(plumb.until_done(node))[-1] == "done"
    control.kubectl("delete", "pod/api-2", "rollout/api")


def test_what_is_shown_of_a_workload_that_nobody_saw_talk(plumb: Plumb) -> None:
    # Who deployed had the last word, and that is a rollout.
    plumb.until("it is done", lambda: [one["state"] for one in plumb.find(WEB, "rollouts") or ()] == ["done"])
    status, answer = plumb.ask("show", WEB)
    assert status == 0
    (revision,) = answer["revisions"]
    assert (revision["replicas"], revision["ready"], len(revision["hash"]) > 5) == (3, 3, True)
    (image,) = revision["images"]
    assert image["image"] == "example.test/app:1" and image["digest"].startswith("sha256:0")
    (rollout,) = answer["rollouts"]
    assert (rollout["object"], rollout["state"], rollout["revision"]) == ("deployment/web", "done", revision["hash"])
    assert answer["by_hand"] == [] and "changed_by_hand" in {one["kind"] for one in answer["events"]}


def test_warnings_of_the_cluster_are_told_by_workload(control: ControlPlane, plumb: Plumb) -> None:
    node = "default/deployment/quota"
    deploy(control, workload("Deployment", "quota"))
    # There is no node to run it.
    (first, *_) = plumb.until(
        "a warning is told", lambda: [one for one in plumb.happened(node) if one["kind"] == "warning"]
    )
    assert (first["reason"], first["object"].split("/")[0]) == ("FailedScheduling", "pod")
    control.kubectl("delete", "deployment", "quota")


def test_what_happened_while_nobody_was_there_is_known_afterwards(control: ControlPlane, tmp_path: Path) -> None:
    deploy(control, workload("Deployment", "slept"))
    node = "default/deployment/slept"
    with Plumb(control, tmp_path, *OTHER_PORTS) as first:
        first.until("it is known", lambda: first.find(node, "revisions"))
        control.kubectl("scale", "deployment/slept", "--replicas=4")
        told = first.until("it is told", lambda: first.happened(node))
    control.kubectl("set", "resources", "deployment/slept", "--limits=memory=256Mi")
    with Plumb(control, tmp_path, *OTHER_PORTS) as again:
        fields = again.until("it is known", lambda: again.find(node, "by_hand"))
        assert {(one["path"], one["after"]) for one in fields} == {("replicas", "4"), (MEMORY, "256Mi")}
        # What was told before is not told again, and not forgotten.
        _, answer = again.ask("show", node, "--window=1h")
        assert told[0] in answer["events"]
        assert told[0]["id"] not in {one["id"] for one in again.happened(node)}
    control.kubectl("delete", "deployment/slept")
