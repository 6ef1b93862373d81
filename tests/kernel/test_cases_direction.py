"""A case of the field: who opened is the client, whoever spoke first, was there first, or has the lower port."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT, LOWEST = 33060, 1025
GREETING, PING = 13, 4


class Stage:
    """A server in one pod, clients in another; each client has a source port below the server's."""

    def __init__(self, cluster: Cluster) -> None:
        self.server, self.client = cluster.pod("alpha", "greeter"), cluster.pod("beta", "caller")
        self.greeter = self.server.start(
            "greeter", [PYTHON, APPS / "greeter.py", "serve", PORT], listens=[f"0.0.0.0:{PORT}"]
        )

    def call(self, source_port: int) -> Program:
        where = [self.server.ipv4, PORT, source_port]
        return self.client.start(f"caller-{source_port}", [PYTHON, APPS / "greeter.py", "call", *where])

    def edge(self, graph: Graph) -> dict[str, int]:
        """The one edge between the two; there may be no other, in any direction or on another port."""
        ends = {self.server.node_id, self.client.node_id}
        edges = [edge for edge in graph["edges"] if ends & {edge["source"], edge["target"]}]
        for edge in edges:
            assert (edge["source"], edge["target"]) == (self.client.node_id, self.server.node_id), edge["id"]
            assert edge["port"] == PORT
        assert len(edges) <= 1
        return {name: edges[0][name] for name in ("bytes_sent", "bytes_received")} if edges else {}


@pytest.fixture
def stage() -> Iterator[tuple[Cluster, Stage]]:
    with Cluster() as cluster:
        yield cluster, Stage(cluster)


def both(count: int) -> dict[str, int]:
    return {"bytes_sent": count, "bytes_received": count}


def greeted(workload: Workload, source_port: int) -> None:
    """The connection is there, and its greeting has come and was answered."""
    wait_until(lambda: f":{source_port:04X} " in table(workload), "connected")
    time.sleep(0.5)


def table(workload: Workload) -> str:
    return Path(f"/proc/{workload.programs[-1].pid}/net/tcp").read_text()


def test_of_a_connection_that_the_agents_saw_begin(stage: tuple[Cluster, Stage]) -> None:
    cluster, play = stage
    with Product(cluster) as product:
        play.call(LOWEST)
        graph = product.graph_when(lambda graph: play.edge(graph) == both(GREETING))
    assert play.edge(graph) == both(GREETING)


@pytest.mark.parametrize("closed_before", [False, True], ids=["listening", "listening no more"])
def test_of_a_connection_that_is_older_than_the_agents(stage: tuple[Cluster, Stage], closed_before: bool) -> None:
    """The first packet that is seen is the server's; also when nobody listens on its port any more."""
    cluster, play = stage
    play.call(LOWEST)
    greeted(play.client, LOWEST)
    if closed_before:
        play.greeter.tell(signal.SIGUSR2)
        wait_until(lambda: f":{PORT:04X} 00000000:0000 0A" not in table(play.server), "no listener")
    with Product(cluster) as product:
        play.greeter.tell(signal.SIGUSR1)
        graph = product.graph_when(lambda graph: play.edge(graph) == both(PING))
    assert play.edge(graph) == both(PING)


def test_of_an_idle_one_that_only_closes(stage: tuple[Cluster, Stage]) -> None:
    cluster, play = stage
    caller = play.call(LOWEST)
    greeted(play.client, LOWEST)
    with Product(cluster) as product:
        caller.tell(signal.SIGUSR1)
        later = play.call(LOWEST + 1)
        graph = product.graph_when(lambda graph: play.edge(graph) == both(GREETING))
        assert later.running
    assert play.edge(graph) == both(GREETING)
