"""A case of the field: after a redeploy, pods have the addresses of others, and strangers seem to call."""

import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.product import Graph, Product
from tests.cluster.roaming import Caller, Pair, Serving, give

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT, DB_PORT = 8080, 5432
INTERVAL_SECONDS, BUCKET = 5.0, timedelta(seconds=6)
A, B = "10.10.1.201", "10.10.1.202"


def delete(workload: Workload) -> None:
    """As a pod is deleted that did not end in time: nothing of it says goodbye to anybody."""
    for program in workload.programs:
        program.kill()
    subprocess.run(["ip", "netns", "del", workload.place.namespace.name], check=True)
    workload.place.cgroup.rmdir()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("before_seconds", [6, pytest.param(30, marks=pytest.mark.long)])
def test_who_gets_the_addresses_of_former_callers_does_not_become_one(cluster: Cluster, before_seconds: float) -> None:
    foo, db, bar = cluster.pod("beta", "foo"), cluster.pod("beta", "db"), cluster.pod("beta", "bar")
    former, new = [cluster.pod("alpha", name) for name in ("baz", "qux")], []
    serving = Serving(cluster, foo, PORT)
    Serving(cluster, db, DB_PORT)
    right: dict[Pair, int] = {}
    with Product(cluster, interval_seconds=INTERVAL_SECONDS) as product, ExitStack() as stack:
        for address, pod in zip((A, B), former, strict=True):
            give(address, pod, cluster)
        callers = [stack.enter_context(Caller(cluster, pod)) for pod in former]
        end = time.monotonic() + before_seconds
        while time.monotonic() < end:
            for address, caller in zip((A, B), callers, strict=True):
                note(right, caller, foo, caller.call(foo.ipv4, PORT, 3, **{"from": address}, keep=True)["requests"])
            time.sleep(0.1)
        for pod in former:
            delete(pod)
        time.sleep(0.2)
        moved = datetime.now(UTC)
        new = [cluster.pod("alpha", name) for name in ("foo-1", "foo-2")]
        for address, pod in zip((A, B), new, strict=True):
            give(address, pod, cluster)
            Serving(cluster, pod, PORT)
        serving.program.end()  # its connections to those that are gone end now, again and again
        to_db, asking = ([stack.enter_context(Caller(cluster, pod)) for pod in pods] for pods in (new, [bar]))
        for _ in range(30):
            for address, caller in zip((A, B), to_db, strict=True):
                note(right, caller, db, caller.call(db.ipv4, DB_PORT, 2, **{"from": address})["requests"])
                count = asking[0].call(address, PORT, 4)["requests"]
                pair = bar.node_id, caller.workload.node_id
                right[pair] = right.get(pair, 0) + count
            time.sleep(0.1)
        graph = product.graph_when(lambda graph: shown(graph) == right, timeout_seconds=40)
    assert shown(graph) == right
    for edge in graph["edges"]:
        assert (edge["source"], edge["target"]) in right, edge["id"]
        if edge["source"] in {pod.node_id for pod in former}:
            assert datetime.fromisoformat(edge["last_seen"]) < moved + BUCKET  # times are those of whole buckets


def note(right: dict[Pair, int], caller: Caller, target: Workload, count: int) -> None:
    pair = caller.workload.node_id, target.node_id
    right[pair] = right.get(pair, 0) + count


def shown(graph: Graph) -> dict[Pair, int]:
    return {(edge["source"], edge["target"]): edge["requests"] for edge in graph["edges"] if edge["requests"]}
