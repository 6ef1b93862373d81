"""Made to happen for real, and seen in `plumb show`: a container that is throttled, one that is ended for want of
memory, one that crashes, an autoscaler that scales."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.records import OOM_KILLS
from tests.cluster import leftovers
from tests.kubernetes import pods
from tests.kubernetes.cluster import NAMESPACE, Cluster, await_true

MB = 1 << 20
Row = dict[str, Any]
# It sleeps first, so that an agent has seen what it had.
BUSY = "while True: pass"
GREEDY = "import time; kept = [b'1' * (40 << 20)]; time.sleep(6)\nwhile True: kept.append(b'1' * (1 << 20))"


@pytest.fixture(scope="module")
def installed(installed: Cluster) -> Cluster:
    """With pods that fare badly."""
    deploy(installed, "slow", BUSY, {"cpu": "100m", "memory": "32Mi"}, {"cpu": "200m", "memory": "128Mi"})
    deploy(installed, "greedy", GREEDY, {"memory": "64Mi"}, {"memory": "64Mi"})
    deploy(installed, "crashing", "import sys, time; time.sleep(3); sys.exit(3)")
    deploy(installed, "web", "import time; time.sleep(10000)", {"cpu": "10m"})
    pods.apply(installed, autoscaler("web"))
    return installed


def deploy(cluster: Cluster, name: str, code: str, requests: Row | None = None, limits: Row | None = None) -> None:
    """One pod, whose only process is a program."""
    container = {
        "name": "app",
        "image": cluster.aggregator_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", code],
        "env": [{"name": "PYTHONPATH", "value": ""}],
        "resources": {"requests": requests or {}, "limits": limits or {}},
    }
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    meta = {"name": name, "namespace": pods.PLACE}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    pods.apply(cluster, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def autoscaler(name: str) -> Row:
    """There is no metrics-server: it has no metric, and scales to its own lower bound all the same."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
    }
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5, "metrics": [metric]}
    meta = {"name": name, "namespace": pods.PLACE}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


def shown(cluster: Cluster, name: str, window: str = "1h") -> Row:
    found: Row = cluster.plumb("show", f"{pods.PLACE}/deployment/{name}", "--window", window)
    return found


def await_shown(cluster: Cluster, name: str, holds: Any, what: str, seconds: float = 120) -> Row:
    last: Row = {}

    def look() -> bool:
        nonlocal last
        ids = {one["id"] for one in cluster.plumb("graph")["nodes"]}
        last = shown(cluster, name) if f"{pods.PLACE}/deployment/{name}" in ids else {}
        return bool(last and last["resources"] and last["scale"] and holds(last["resources"], last["scale"]))

    try:
        await_true(what, look, seconds, 2)
    except Exception as failed:
        raise AssertionError(f"{what}: {last}\n{cluster.diagnosis()}") from failed
    return last


def test_a_container_that_is_throttled(installed: Cluster) -> None:
    throttled = await_shown(
        installed, "slow", lambda used, _: (used["cpu_throttled_seconds"] or 0) > 10, "it is throttled"
    )
    used, scale = throttled["resources"], throttled["scale"]
    assert used["cpu_throttled_share"] > 0.5
    assert 0.1 < used["cpu_cores"] < 0.25
    assert (used["cpu_limit_cores"], used["memory_limit_bytes"]) == (0.2, 128 * MB)
    assert 0 < used["memory_bytes"] < 64 * MB
    assert scale["granted"] == {
        "cpu_request_cores": 0.1, "cpu_limit_cores": 0.2, "memory_request_bytes": 32 * MB,
        "memory_limit_bytes": 128 * MB,
    }  # fmt: skip
    assert (scale["wanted"], scale["pods"], scale["ready"], scale["restarts"]) == (1, 1, 1, 0)
    # The sandbox of the pod is no container of its own.
    (container,) = used["containers"]
    assert (container["name"], container["count"]) == ("app", 1)
    compare_with_the_kernel(installed, "slow")


def compare_with_the_kernel(cluster: Cluster, name: str) -> None:
    """The container's own files, where its node is on this machine."""
    if cluster.lab is None:
        return
    (pod,) = cluster.get("pods", "--namespace", pods.PLACE, f"--selector=app={name}")["items"]
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("://")[2]
    (stat,) = (
        one for root in leftovers.hierarchies() for one in Path(root, cluster.lab.id).rglob(f"{container}/cpu.stat")
        if "nr_periods" in one.read_text()
    )  # fmt: skip
    own = {word: int(value) for word, value in (line.split() for line in stat.read_text().splitlines())}
    told = shown(cluster, name)["resources"]
    assert abs(told["cpu_throttled_share"] - own["nr_throttled"] / own["nr_periods"]) < 0.1
    # Version 2 counts microseconds, version 1 nanoseconds; both go on while this looks.
    own_seconds = own["throttled_usec"] / 1e6 if "throttled_usec" in own else own["throttled_time"] / 1e9
    assert 0 < told["cpu_throttled_seconds"] < own_seconds + 1


def test_a_container_that_is_ended_for_want_of_memory(installed: Cluster) -> None:
    killed = await_shown(
        installed,
        "greedy",
        lambda used, scale: used["oom_kills"] >= 2 and scale["restarts"] >= 1,
        "it was killed twice",
    )
    used, scale = killed["resources"], killed["scale"]
    # With the chart's own rights: the kernel tells of it, and no file that is gone with its container.
    log = installed.kubectl("logs", "--namespace", NAMESPACE, f"daemonset/{NAMESPACE}-agent")
    (attached,) = (json.loads(line) for line in log.splitlines() if '"kernel_attached"' in line)
    assert OOM_KILLS in attached["attached"]
    # In between it waits to begin again, and one kill more was seen than begins.
    assert used["oom_kills"] - scale["restarts"] in (0, 1)
    (fate,) = scale["containers"]
    assert (fate["last_end"], fate["last_exit_code"]) == ("OOMKilled", 137)
    assert used["memory_peak_share"] > 0.5
    assert [(one["name"], one["oom_kills"]) for one in used["containers"]] == [("app", used["oom_kills"])]


def test_a_container_that_crashes(installed: Cluster) -> None:
    crashed = await_shown(
        installed, "crashing", lambda _, scale: scale["containers"][0]["waiting"].get("CrashLoopBackOff"), "it waits"
    )
    used, scale = crashed["resources"], crashed["scale"]
    (fate,) = scale["containers"]
    assert (fate["last_end"], fate["last_exit_code"]) == ("Error", 3)
    assert scale["restarts"] == fate["restarts"] >= 1
    assert (scale["ready"], used["oom_kills"]) == (0, 0)


def test_an_autoscaler_that_scales(installed: Cluster) -> None:
    scaled = await_shown(
        installed,
        "web",
        lambda _, scale: scale["ready"] == 3 and scale["autoscalers"][0]["current"] == 3,
        "it has three",
    )
    scale = scaled["scale"]
    assert (scale["wanted"], scale["pods"]) == (3, 3)
    (one,) = scale["autoscalers"]
    assert (one["name"], one["least"], one["most"], one["desired"]) == ("web", 3, 5, 3)
    assert one["targets"] == [{"metric": "cpu", "unit": "percent", "wanted": 60.0, "current": None}]
    assert one["trouble"].startswith("FailedGetResourceMetric")
    assert scaled["host_count"] >= 1
    assert scaled["resources"]["containers"][0]["count"] == 3


def test_a_machine_that_is_short_of_something(installed: Cluster) -> None:
    """One that is there by name alone: what its kubelet would say is said for it."""
    meta = {"name": "ghost", "labels": {"kubernetes.io/hostname": "ghost"}}
    taint = {"key": "ghost", "effect": "NoExecute"}
    pods.apply(installed, {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"taints": [taint]}})
    try:
        pressure = [{"type": "MemoryPressure", "status": "True"}]
        patch = json.dumps({"status": {"conditions": pressure}})
        installed.kubectl("patch", "node", "ghost", "--subresource=status", "--type=strategic", f"--patch={patch}")

        def told() -> bool:
            found = {one["host"]: one["conditions"] for one in installed.plumb("graph")["pressures"]}
            return "MemoryPressure" in found.get("ghost", ()) and not set(installed.nodes) & set(found)

        await_true("its pressure is told, and no other's", told)
        assert "ghost: the cluster's API says MemoryPressure" in installed.plumb_text("graph")
    finally:
        installed.kubectl("delete", "node", "ghost")
    await_true("it is gone", lambda: not installed.plumb("graph")["pressures"])


def test_a_person_reads_it_beside_each_other(installed: Cluster) -> None:
    text = installed.plumb_text("show", f"{pods.PLACE}/deployment/slow")
    assert "1 of 1 wanted, 1 ready, 0 restart(s) of their containers" in text
    assert "asked for 0.10 cores, limit 0.20 cores, throttled in" in text
    assert "asked for 32.0 MiB, limit 128.0 MiB" in text
    print(f"\n{text}", flush=True)
