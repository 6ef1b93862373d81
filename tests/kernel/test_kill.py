"""kill -9 of an agent, of the aggregator, of both: nothing stays, nothing acknowledged is lost or counted twice."""

import threading
import time
from datetime import UTC, datetime

import pytest

from tests.cluster.processes import wait_until
from tests.cluster.product import Graph
from tests.cluster.truth import Truth, differences
from tests.kernel import bpf
from tests.kernel.conftest import System

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
SHARE = 0.03


def test_a_killed_agent_leaves_nothing_in_the_kernel(system: System) -> None:
    agents = system.product.agents
    alpha, beta = (bpf.loaded(system.cluster.cgroup_root(name), agents[name].pid) for name in ("alpha", "beta"))
    assert alpha.links and alpha.programs and beta.links
    agents["alpha"].kill()
    wait_until(lambda: not bpf.still_there(alpha), "the kernel has nothing of the agent")
    assert len(bpf.still_there(beta)) == len(beta.links) + len(beta.programs)
    system.product.start_agent("alpha")
    system.product.await_ready()


def test_an_aggregator_that_is_away_during_the_load_misses_nothing(system: System) -> None:
    truths: list[Truth] = []
    load = threading.Thread(target=lambda: truths.append(system.estate.load(SHARE)))
    load.start()
    time.sleep(0.5)
    kill(system, ("aggregator",))
    load.join()
    start(system, ("aggregator",))
    assert_exact(truths[0], settled(system, truths[0]))


LONG = [pytest.param(killed, marks=pytest.mark.long) for killed in (("aggregator",), ("aggregator", "agents"))]


# test_faults kills the aggregator in the middle of a load.
@pytest.mark.parametrize("killed", [("agents",), *LONG], ids="+".join)
def test_what_was_acknowledged_is_neither_lost_nor_doubled(system: System, killed: tuple[str, ...]) -> None:
    truth = system.estate.load(SHARE)
    assert_exact(truth, settled(system, truth))
    kill(system, killed)
    start(system, killed)
    truth = system.estate.load(SHARE)
    assert_accounted(truth, system.product.graph_when(lambda graph: not unaccounted(truth, graph)))


def test_the_time_without_an_agent_is_a_blind_interval(system: System) -> None:
    system.estate.load(SHARE)
    time.sleep(2)
    killed_at = datetime.now(UTC)
    system.product.agents["beta"].kill()
    time.sleep(3)
    stale = system.product.graph_when(lambda graph: host(graph, "beta")["stale"], 15)
    assert host(stale, "beta")["stale"] and not host(stale, "alpha")["stale"]
    back_at = datetime.now(UTC)
    system.product.start_agent("beta")
    system.product.await_ready()
    graph = system.product.graph_when(lambda graph: not host(graph, "beta")["stale"])
    assert not host(graph, "beta")["stale"]
    spans = [span for span in host(graph, "beta")["blind"] if span["to"] and moment(span["to"]) > back_at]
    assert len(spans) == 1, graph["hosts"]
    assert "agent" in spans[0]["reason"]
    assert (killed_at - moment(spans[0]["from"])).total_seconds() < 3
    assert moment(spans[0]["from"]) < killed_at < back_at < moment(spans[0]["to"])


def settled(system: System, truth: Truth) -> Graph:
    return system.product.graph_when(lambda graph: not differences(truth, graph["edges"]))


def assert_exact(truth: Truth, graph: Graph) -> None:
    lines = differences(truth, graph["edges"])
    assert not lines, "\n" + "\n".join(lines)
    assert truth.nodes() == {node["id"] for node in graph["nodes"]}


def assert_accounted(truth: Truth, graph: Graph) -> None:
    """Exact but for the first requests on connections that are older than an agent: those are told as lost by it."""
    lines = unaccounted(truth, graph)
    assert not lines, "\n" + "\n".join(lines)
    assert truth.nodes() == {node["id"] for node in graph["nodes"]}


def unaccounted(truth: Truth, graph: Graph) -> list[str]:
    """Each end of a kept connection tells its own: both are of one host here (nginx and its upstream, node and its)."""
    told = sum(int(one["lost"].get("http_older", 0)) for one in graph["hosts"])
    missing = sum(edge.requests for edge in truth.edges.values()) - sum(edge["requests"] for edge in graph["edges"])
    if missing < 0 or 2 * missing > told:
        return [
            f"{missing} requests are missing, {told} are told as lost by both ends",
            *differences(truth, graph["edges"]),
        ]
    return [
        line for line in differences(truth, graph["edges"])[1:] if " requests " not in line and " statuses." not in line
    ]


def kill(system: System, parts: tuple[str, ...]) -> None:
    if "agents" in parts:
        agents = system.product.agents
        held = [bpf.loaded(system.cluster.cgroup_root(name), agent.pid) for name, agent in agents.items()]
        assert all(one.links and one.programs for one in held)
        for agent in agents.values():
            agent.kill()
        wait_until(lambda: not any(map(bpf.still_there, held)), "the kernel has nothing of the agents")
    if "aggregator" in parts:
        system.product.aggregator.kill()


def start(system: System, parts: tuple[str, ...]) -> None:
    if "aggregator" in parts:
        system.product.start_aggregator()
    if "agents" in parts:
        for name in system.cluster.host_names:
            system.product.start_agent(name)
    system.product.await_ready()


def host(graph: Graph, name: str) -> Graph:
    found: Graph = next(one for one in graph["hosts"] if one["name"] == name)
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
