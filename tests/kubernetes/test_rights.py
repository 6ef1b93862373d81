"""The ladder of capabilities: with each one of the chart's taken away, an agent says which it is and what that means.

After test_chart.py, which leaves the nodes without an agent: two on one node would count everything twice.
"""

import copy
import json
from typing import Any

import pytest
import yaml

from tests.kubernetes.cluster import NAMESPACE, Cluster, await_true
from tests.kubernetes.lab.images import TREE

MANIFESTS = TREE / "deploy" / "kustomize" / "base" / "plumbline.yaml"
NEEDED = ("BPF", "PERFMON", "NET_ADMIN")
USEFUL = ("SYS_PTRACE", "DAC_READ_SEARCH")


@pytest.fixture(scope="module")
def logs(cluster: Cluster) -> dict[str, list[dict[str, Any]]]:
    """The log of an agent without each capability, and of one with all: by that capability, "" for none."""
    cluster.make_namespace()
    without = ("", *NEEDED, *USEFUL)
    for one in without:
        cluster.kubectl("apply", "-f-", text=json.dumps(_pod(cluster, one)))
    found = {}
    for one in without:
        await_true(f"the agent without {one or 'nothing'} has said it", lambda one=one: _told(cluster, one), 180)  # type: ignore[misc]
        found[one] = _log(cluster, one)
    cluster.kubectl("delete", "pods", "--namespace", NAMESPACE, "--selector=app=ladder", "--wait")
    return found


@pytest.mark.parametrize("capability", NEEDED)
def test_without_what_programs_need_it_ends_and_names_it(
    logs: dict[str, list[dict[str, Any]]], capability: str
) -> None:
    refused = next(one for one in logs[capability] if one["event"] == "kernel_refused")
    assert refused["reason"].startswith(f"CAP_{capability} is missing")
    assert f"CAP_{capability}" in refused["remedy"]


@pytest.mark.parametrize("capability", USEFUL)
def test_without_what_reading_needs_it_counts_and_names_it(
    logs: dict[str, list[dict[str, Any]]], capability: str
) -> None:
    events = {one["event"]: one for one in logs[capability]}
    assert "kernel_attached" in events
    assert f"CAP_{capability}" in events["host_unreadable"]["reason"]


def test_with_all_of_them_nothing_is_missing(logs: dict[str, list[dict[str, Any]]]) -> None:
    events = {one["event"] for one in logs[""]}
    assert "host_read" in events
    assert not events & {"kernel_refused", "host_unreadable", "kernel_part_missing"}


def _pod(cluster: Cluster, capability: str) -> dict[str, Any]:
    """The chart's agent, less one capability, that reports to nobody."""
    daemon = next(one for one in yaml.safe_load_all(MANIFESTS.read_text()) if one["kind"] == "DaemonSet")
    spec = copy.deepcopy(daemon["spec"]["template"]["spec"])
    (container,) = spec["containers"]
    rights = container["securityContext"]["capabilities"]
    rights["add"] = [one for one in rights["add"] if one != capability]
    container["image"] = cluster.agent_image
    container["args"] = ["agent", "--host=ladder", "--aggregator=127.0.0.1:1", "--runtime-dir=/tmp/run"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container[probe]
    meta = {"name": _name(capability), "namespace": NAMESPACE, "labels": {"app": "ladder"}}
    own = {"nodeName": cluster.nodes[0], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5}
    del spec["serviceAccountName"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, **own}}


def _name(capability: str) -> str:
    return f"without-{capability.lower().replace('_', '-') or 'nothing'}"


def _told(cluster: Cluster, capability: str) -> bool:
    phase = cluster.get("pod", _name(capability), "--namespace", NAMESPACE)["status"]["phase"]
    if phase == "Pending":
        return False
    events = {one["event"] for one in _log(cluster, capability)}
    # What is missing is told with the reading.
    return phase == "Failed" or "aggregator_away" in events


def _log(cluster: Cluster, capability: str) -> list[dict[str, Any]]:
    text = cluster.kubectl("logs", "--namespace", NAMESPACE, _name(capability))
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
