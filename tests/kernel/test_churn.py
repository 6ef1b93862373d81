"""What comes and goes by the thousand: processes, cgroups, sockets, paths. All is counted, the agent stays as it is.

The programs say what they made, and the graph must say the same. What the agent takes is looked at all along: of CPU no
more at the end than at the beginning, for as much work, and of memory no more than is stated here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

import pytest

from agent.records import Limits
from bench.agent_memory import MeasuredProduct
from bench.memory_cgroup import NoController, memory_cgroup
from tests.cluster.churning import PORT, Churn, Sample, Watched, made, tenths
from tests.cluster.cluster import Cluster
from tests.cluster.processes import wait_until
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
HOST = "alpha"
TABLES = ("flows", "names", "endpoints", "cgroups", "network_namespaces", "listeners", "claims")
# One look at everything each 15 seconds, a tidying each 60, and what is gone goes with the second one: see watch.py.
RETENTION_SECONDS = 150
# What a heap keeps after work of any kind, and what a look at the host takes for a moment.
SLACK_MEGABYTES = 15
# Of cgroups that live for a tenth of a second; an agent that must wait for a CPU comes too late to some.
NAMED_SHARE = 0.95
# A core's share, on a machine where other tests run too.
SLACK_CORES = 0.03


@dataclass
class Place:
    cluster: Cluster
    product: Product
    churn: Churn
    watched: Watched


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    try:
        with memory_cgroup(f"plumbline-test-{os.getpid()}") as memory, Cluster((HOST,)) as cluster:
            churn = Churn(cluster, HOST)
            with MeasuredProduct(cluster, memory) as product:
                yield Place(cluster, product, churn, Watched(product, memory, HOST))
    except NoController as error:
        pytest.skip(str(error))


def connections(graph: Graph, target: str, sources: str = "") -> dict[str, int]:
    """By source, of those that begin so."""
    edges = [edge for edge in graph["edges"] if edge["target"] == target and edge["source"].startswith(sources)]
    return {edge["source"]: edge["connections"] for edge in edges}


def cores(samples: list[Sample]) -> float:
    return (samples[-1].cpu_seconds - samples[0].cpu_seconds) / (samples[-1].at_seconds - samples[0].at_seconds)


@contextmanager
def flat(watched: Watched, megabytes_each: float = 0, losses: tuple[str, ...] = ()) -> Iterator[None]:
    """Memory may grow by the slack and so much, CPU from half to half by the slack; nothing is lost but that. After
    a load that is over at once this says that the agent rests; of longer ones that it takes no more and more."""
    before = watched.sample()
    with watched.sampled() as samples:
        yield
    parts = tenths(samples)
    levels = [mean(one.megabytes for one in part) for part in parts]
    assert max(levels[1:]) < levels[0] + SLACK_MEGABYTES + megabytes_each, levels
    half = len(samples) // 2
    assert cores(samples[half:]) < 1.5 * cores(samples[: half + 1]) + SLACK_CORES, [one.cpu_seconds for one in samples]
    new = {reason for reason, count in samples[-1].losses.items() if count > before.losses.get(reason, 0)}
    assert new <= set(losses), samples[-1].losses


def test_what_is_over_at_once_is_judged_too(place: Place) -> None:
    with flat(place.watched):
        pass


@pytest.mark.parametrize("count", [4_000, pytest.param(40_000, marks=pytest.mark.long)])
@pytest.mark.timeout(300)
def test_short_processes(place: Place, count: int) -> None:
    """Of a pod and of a person's session: one connection each, and each tenth listens. All are two nodes."""
    pod, session = place.cluster.pod(HOST, f"short-{count}"), place.cluster.session(HOST, f"churn-{count}")
    # The kernel notes the program's name, and that is what the session's node is called.
    source, before = f"{HOST}/churn", place.product.graph()
    known = connections(before, place.churn.server.node_id).get(source, 0)
    with flat(place.watched):
        running = [
            place.churn.start(one, "processes", count // 2, 10, *place.churn.at_server()) for one in (pod, session)
        ]
        done = [made(one, 200)["connections"] for one in running]
    assert done == [count // 2] * 2
    expected = {pod.node_id: count // 2, source: known + count // 2}

    def found(graph: Graph) -> dict[str, int]:
        shown = connections(graph, place.churn.server.node_id)
        return {name: shown.get(name, 0) for name in expected}

    assert found(place.product.graph_when(lambda graph: found(graph) == expected)) == expected
    listeners = place.watched.settled(lambda now: now.gauges["listeners"] < 10, 40).gauges["listeners"]
    assert listeners < 10


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.long)])
@pytest.mark.timeout(400)
def test_cgroups_that_come_and_go(place: Place, count: int) -> None:
    """Each lives for a tenth of a second, as the shortest of containers do, and is a node with its one connection."""
    below = place.cluster.cgroup_root(HOST) / f"batch-{count}.slice"
    below.mkdir()
    session, start = place.cluster.session(HOST, f"batch-{count}"), place.watched.sample()
    target, jobs = place.churn.server.node_id, f"{HOST}/job-{count}-"
    before = sum(connections(place.product.graph(), target).values())
    # A definition, an endpoint and a path are some kilobytes until they are forgotten.
    with flat(place.watched, megabytes_each=0.004 * count):
        running = place.churn.start(session, "cgroups", count, f"{below}/job-{count}-", 100, *place.churn.at_server())
        assert made(running, 200) == {"connections": count}
    graph = place.product.graph_when(lambda graph: sum(connections(graph, target).values()) == before + count)
    assert sum(connections(graph, target).values()) == before + count
    named = connections(graph, target, jobs)
    assert set(named.values()) == {1}
    # One that is gone before the agent came to look has its program's name.
    assert len(named) > NAMED_SHARE * count
    if count < 5_000:
        return

    def is_back(now: Sample) -> bool:
        return all(now.gauges[table] <= start.gauges[table] + 10 for table in TABLES)

    end = place.watched.settled(is_back, RETENTION_SECONDS)
    assert is_back(end), ({table: end.gauges[table] for table in TABLES}, start.gauges)
    assert end.megabytes < start.megabytes + SLACK_MEGABYTES


@pytest.mark.parametrize("count", [5_000, pytest.param(50_000, marks=pytest.mark.long)])
@pytest.mark.timeout(300)
def test_open_sockets(place: Place, count: int) -> None:
    """Of five pods, with equal addresses and ports in each: half a kilobyte each, and all of it comes back."""
    pods = [place.cluster.pod(HOST, f"holder-{count}-{number}") for number in range(5)]
    each, start = count // 2 // len(pods), place.watched.sample()
    with flat(place.watched, megabytes_each=0.0006 * count):
        running = [place.churn.start(pod, "hold", each, PORT) for pod in pods]
        wait_until(lambda: all(one.output.read_text() for one in running), "connections are open", 60)
        expected = {pod.node_id: each for pod in pods}

        def found(graph: Graph) -> dict[str, int]:
            return {name: connections(graph, name).get(name, 0) for name in expected}

        assert found(place.product.graph_when(lambda graph: found(graph) == expected)) == expected
    for one in running:
        one.end()
    end = place.watched.settled(lambda now: now.megabytes < start.megabytes + SLACK_MEGABYTES, 60)
    assert end.megabytes < start.megabytes + SLACK_MEGABYTES


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.timeout(300)
def test_random_paths(place: Place, count: int) -> None:
    """An endpoint has so many names, and the rest is one: the sum is exact, and the agent keeps no text more."""
    pod, most = place.cluster.pod(HOST, f"random-{count}"), Limits().names_each_endpoint
    before = place.watched.sample()
    with flat(place.watched, losses=("names_beyond_budget",)):
        assert made(place.churn.start(pod, "paths", count, *place.churn.at_server()), 200)["requests"] == count
    target = place.churn.server.node_id

    def asked(graph: Graph) -> list[int]:
        return [
            edge["requests"] for edge in graph["edges"] if (edge["source"], edge["target"]) == (pod.node_id, target)
        ]

    assert asked(place.product.graph_when(lambda graph: asked(graph) == [count])) == [count]
    # Both ends are on this host, and a host's name each.
    assert place.watched.sample().gauges["names"] <= before.gauges["names"] + 2 * (most + 1)
