"""Rollouts on real nodes, with the chart installed: `plumb watch` tells of them as they happen, and of edges that come
with one. test_revisions.py asks the rest without nodes."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.kubernetes import pods
from tests.kubernetes.cluster import NAMESPACE, Cluster
from tests.kubernetes.installed import Row, Watcher, changes, states

SERVER = "exec python3 /apps/server.py --listen [::]:8080 --counts /tmp/counts"
IDLE = "exec sleep 100000"
LIMIT = "containers[app].resources.limits.memory"


@pytest.fixture(scope="module")
def plumb(installed: Cluster) -> Iterator[Watcher]:
    watcher = Watcher(installed.reader)
    with watcher.watching():
        watcher.until("the watch has begun", lambda: watcher.ask("graph")[0] == 0)
        time.sleep(2)
        yield watcher


def deploy(cluster: Cluster, kind: str, name: str, script: str, manager: str = "helm", **more: str) -> None:
    """By one who deploys. `more` is the environment."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": cluster.aggregator_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "env": [{"name": "PYTHONPATH", "value": ""}, *({"name": key, "value": value} for key, value in more.items())],
        "resources": {"limits": {"memory": "128Mi"}},
        "volumeMounts": [{"name": "apps", "mountPath": "/apps"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "apps", "configMap": {"name": "apps"}}]}
    pod |= {"terminationGracePeriodSeconds": 0}
    spec: Row = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind != "DaemonSet":
        spec |= {"replicas": 2}
    meta = {"name": name, "namespace": pods.PLACE}
    thing = {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}
    cluster.kubectl("apply", f"--field-manager={manager}", "--filename=-", text=json.dumps(thing))


def node_of(kind: str, name: str) -> str:
    return f"{pods.PLACE}/{kind.lower()}/{name}"


def test_an_edge_that_comes_with_a_revision_says_so(installed: Cluster, plumb: Watcher) -> None:
    server, client = node_of("Deployment", "api"), node_of("Deployment", "caller")
    deploy(installed, "Deployment", "api", SERVER)
    deploy(installed, "Deployment", "caller", IDLE)
    plumb.until_done(server, seconds=120)
    since = len(plumb.until_done(client, seconds=120))
    time.sleep(2)
    found = installed.get("pods", f"--namespace={pods.PLACE}", "--selector=app=api")["items"]
    address = found[0]["status"]["podIP"]
    get = f"import urllib.request as u; u.urlopen('http://{address}:8080/items/1').read()"
    call = f'while sleep 0.2; do python3 -c "{get}"; done'
    deploy(installed, "Deployment", "caller", call, LOG="debug")
    told = plumb.until_done(client, since, 120)
    assert (states(told)[0], told[0]["by_hand"]) == ("begun", False)
    assert {path for path, *_ in changes(told[0])} == {"containers[app].command", "containers[app].env[LOG]"}
    revision = told[-1]["revision"]

    def came() -> list[Row]:
        edges = [row["edge"] for _, row in list(plumb.rows) if row["event"] == "appeared" and "edge" in row]
        return [edge for edge in edges if (edge["source"], edge["target"]) == (client, server)]

    edge = plumb.until("the edge is told", came)[0]
    # The server may have been rolled out a moment before, too.
    assert edge["appeared_with"][0] == {"node": client, "revision": revision}
    # With the image that runs, by its digest, on each of its hosts.
    status, shown = plumb.ask("show", client)
    assert status == 0
    (now,) = (one for one in shown["revisions"] if one["hash"] == revision)
    assert (now["replicas"], now["ready"]) == (2, 2)
    assert now["images"][0]["digest"].startswith("sha256:")


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
def test_other_controllers_rollouts_and_back(installed: Cluster, plumb: Watcher, kind: str) -> None:
    name = kind.lower()
    node = node_of(kind, name)
    deploy(installed, kind, name, IDLE)
    made = plumb.until_done(node, seconds=120)
    assert states(made)[0] == "begun"
    deploy(installed, kind, name, IDLE, LOG="debug")
    told = plumb.until_done(node, len(made), 120)
    assert states(told)[0] == "begun"
    assert [path for path, *_ in changes(told[0])] == ["containers[app].env[LOG]"]
    assert told[0]["previous_revision"] == made[-1]["revision"] != told[-1]["revision"]
    installed.kubectl("rollout", "undo", f"{name}/{name}", f"--namespace={pods.PLACE}")
    back = plumb.until_done(node, len(made) + len(told), 120)
    rolled = next(one for one in back if one["state"] == "rolled_back")
    assert "begun" not in states(back)
    assert (rolled["revision"], rolled["previous_revision"]) == (made[-1]["revision"], told[-1]["revision"])


def test_an_image_that_does_not_exist_is_stuck_and_goes_back(installed: Cluster, plumb: Watcher) -> None:
    node = node_of("Deployment", "lost")
    deploy(installed, "Deployment", "lost", IDLE)
    since = len(plumb.until_done(node, seconds=120))
    began = time.monotonic()
    place = ("deployment/lost", f"--namespace={pods.PLACE}")
    installed.kubectl("set", "image", *place, "app=registry.invalid/nothing:1", "--field-manager=helm")
    stuck = plumb.until(
        "it is stuck", lambda: [one for one in plumb.happened(node, since) if one["state"] == "stuck"], 120
    )[0]
    print(f"stuck is told {time.monotonic() - began:.1f} s after kubectl was started: {stuck['reason']}")
    assert stuck["reason"] in ("ErrImagePull", "ImagePullBackOff")
    warnings = plumb.until(
        "a warning is told", lambda: [one for one in plumb.happened(node, since) if one["kind"] == "warning"]
    )
    assert warnings[0]["object"].startswith("pod/lost-")
    installed.kubectl("rollout", "undo", *place)
    assert "rolled_back" in states(plumb.until_done(node, since, 120))


def test_a_limit_by_hand_is_told_within_two_seconds_and_is_the_only_drift(installed: Cluster, plumb: Watcher) -> None:
    node = node_of("Deployment", "limited")
    deploy(installed, "Deployment", "limited", IDLE)
    since = len(plumb.until_done(node, seconds=120))
    place = ("deployment/limited", f"--namespace={pods.PLACE}")
    began = time.monotonic()
    installed.kubectl("set", "resources", *place, "--limits=memory=96Mi")
    told = plumb.until("it is told", lambda: plumb.happened(node, since))[0]
    arrived = next(at for at, row in plumb.rows if row.get("happened") == told)
    print(f"by hand: told {arrived - began:.3f} s after kubectl was started")
    assert arrived - began < 2
    assert (told["kind"], changes(told)) == ("changed_by_hand", [(LIMIT, "128Mi", "96Mi", "kubectl-set")])
    plumb.until_done(node, since, 120)
    installed.kubectl("rollout", "restart", *place)
    installed.kubectl("rollout", "status", *place, "--timeout=120s")
    status, answer = plumb.ask("drift")
    by_hand = [(one["subject"], one["object"]) for one in answer["findings"] if one["kind"] == "changed_by_hand"]
    assert (status, [path for subject, path in by_hand if subject == node]) == (0, [LIMIT])
    # What was rolled back is not as who deploys wanted it; what helm installed is as helm made it.
    undone = {node_of(kind, name) for kind, name in (("DaemonSet", "daemonset"), ("StatefulSet", "statefulset"),
                                                     ("Deployment", "lost"))}  # fmt: skip
    assert {subject for subject, _ in by_hand if subject.split("/")[0] in (pods.PLACE, NAMESPACE)} == {node} | undone
