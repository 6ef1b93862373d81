"""A server sees a host of its kubelet, of pods of that host's network, and of all who come by a port of it: each of
ours counts by its own word, and what is left came by way of that host.
"""

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.podnames import PodName
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.objects import endpoints, port, service

WEB, API1, API2, VIP = "10.244.1.5", "10.244.1.6", "10.244.2.6", "10.96.0.7"
HOST1, BRIDGE1, HOST2 = "10.0.0.1", "10.244.1.1", "10.0.0.2"
NODE, FRONT = "shop/deployment/api", "shop/deployment/web"
API = service("api", VIP, port(80, 8080, nodePort=30080), type="NodePort")


def part(uid: str, workload: str) -> PodName:
    return PodName(uid, "shop", "deployment", workload, f"{workload}-{uid}", "", "n1")


class Town:
    def __init__(self) -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", HOST1, BRIDGE1), self.world.agent("beta", HOST2)
        self.world.estate.pods.learn([part("w", "web"), part("a1", "api"), part("a2", "api")])
        self.world.estate.services.learn([API, endpoints("api", 8080, [API1, API2])], (), ns(0))
        self.web = self.alpha.pod("w", WEB)
        self.api1, self.api2 = self.alpha.pod("a1", API1), self.beta.pod("a2", API2)
        self.kubelet = self.alpha.unit("kubelet")

    def probe(self, times: int) -> None:
        self.alpha.calls(self.kubelet, API1, 8080, times, local=BRIDGE1, connections=times)
        self.alpha.serves(self.api1, BRIDGE1, 8080, times, local=API1, connections=times)

    def come(self, times: int, by: str = BRIDGE1) -> None:
        """From outside, by a port of the host."""
        self.alpha.serves(self.api1, by, 8080, times, local=API1, connections=times)

    def tell(self, begin: float = 0) -> None:
        for agent in (self.alpha, self.beta):
            agent.tells(begin, begin + 1)


@pytest.fixture
def town() -> Town:
    return Town()


def test_who_comes_from_outside_by_a_host_is_no_kubelet(town: Town) -> None:
    town.probe(20)
    town.come(300)
    town.tell()
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {("alpha/kubelet", NODE): 20, ("alpha", NODE): 300}
    edge = town.world.edges()["alpha", NODE]
    assert (edge.connections, edge.statuses.s2xx, edge.errors) == (300, 300, 0)
    assert edge.seen_from == pb.SEEN_FROM_SERVER
    assert list(edge.via) == []
    assert town.world.nodes()["alpha"].kind == pb.NODE_KIND_HOST


def test_where_nobody_else_comes_nothing_is_left(town: Town) -> None:
    town.probe(20)
    town.tell()
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {("alpha/kubelet", NODE): 20}


def test_who_comes_from_outside_is_there_without_a_kubelet_too(town: Town) -> None:
    town.come(7, by=HOST1)
    town.tell()
    assert town.world.requests(30) == {("alpha", NODE): 7}


def test_a_pod_that_asks_a_host_s_port_is_told_from_who_comes_from_outside(town: Town) -> None:
    town.probe(20)
    town.alpha.calls(town.web, HOST1, 30080, 50, local=WEB, connections=50)
    town.come(50)
    town.come(300)
    town.tell()
    for second in (2, 30):
        assert town.world.requests(second) == {
            ("alpha/kubelet", NODE): 20,
            (FRONT, NODE): 50,
            ("alpha", NODE): 300,
        }


def test_a_pod_of_the_host_s_network_beside_them(town: Town) -> None:
    town.world.estate.pods.learn([part("h", "hostnet")])
    own = town.alpha.endpoint(1, pod_uid="h", container_id="c")
    town.probe(20)
    town.alpha.calls(own, API1, 8080, 30, local=BRIDGE1, connections=30)
    town.come(30)
    town.come(100)
    town.tell()
    assert town.world.requests(30) == {
        ("alpha/kubelet", NODE): 20,
        ("shop/deployment/hostnet", NODE): 30,
        ("alpha", NODE): 100,
    }


def test_what_an_agent_has_not_told_yet_is_not_left_for_long(town: Town) -> None:
    """A host that is another one's client tells a moment later."""
    town.world.estate.pods.learn([part("h", "hostnet")])
    own = town.beta.endpoint(1, pod_uid="h", container_id="c")
    town.beta.calls(own, API1, 8080, 100, local=HOST2, connections=100)
    town.alpha.serves(town.api1, HOST2, 8080, 101, local=API1, connections=101)
    town.tell()
    assert town.world.requests(30) == {("shop/deployment/hostnet", NODE): 100}


def test_a_workload_that_asks_its_own_service_is_one_edge(town: Town) -> None:
    """What meets itself is seen as from its host, and what meets another pod as from itself."""
    town.probe(20)
    town.alpha.calls(town.api1, VIP, 80, 70, local=API1, connections=70)
    town.alpha.serves(town.api1, BRIDGE1, 8080, 40, local=API1, connections=40)
    town.beta.serves(town.api2, API1, 8080, 30, local=API2, connections=30)
    town.tell()
    for second in (2, 30):
        assert town.world.requests(second) == {("alpha/kubelet", NODE): 20, (NODE, NODE): 70}
    town.come(300)
    town.tell(begin=31)
    assert town.world.requests(33) == {("alpha/kubelet", NODE): 20, (NODE, NODE): 70, ("alpha", NODE): 300}
