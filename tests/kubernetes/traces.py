"""What an installation leaves where it was: programs in the kernel, objects in the API."""

import json
import subprocess
from typing import Any

from tests.cluster import leftovers
from tests.kubernetes.cluster import NAMESPACE, Cluster, await_true

_KINDS = (
    "daemonset,statefulset,deployment,pod,service,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget"
)
_OF_THE_CLUSTER = "clusterrole,clusterrolebinding,priorityclass"


def attached(cluster: Cluster) -> list[Any]:
    """Links of BPF programs that hang at the cluster's nodes; of a given cluster, whose kernels are not ours, none."""
    if cluster.lab is None:
        return []
    roots = {(leftovers.cgroup_mount() / cluster.lab.id / node).stat().st_ino for node in cluster.nodes}
    text = subprocess.run(["bpftool", "--json", "link", "show"], check=True, capture_output=True, text=True).stdout
    return [one for one in json.loads(text) if one.get("cgroup_id") in roots]


def await_nothing(cluster: Cluster) -> None:
    """Raises Failed, or AssertionError with what is left."""
    await_true("all its pods are gone", lambda: not cluster.get("pods", "--namespace", NAMESPACE)["items"])
    await_true("nothing is attached to its nodes", lambda: not attached(cluster), 10)
    selector = "--selector=app.kubernetes.io/part-of=plumbline"
    left = cluster.get(_KINDS, "--all-namespaces", selector)["items"] + cluster.get(_OF_THE_CLUSTER, selector)["items"]
    assert [(one["kind"], one["metadata"]["name"]) for one in left] == []
