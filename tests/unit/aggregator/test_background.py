"""Who only looks after a workload is no use of it: probes, monitors. And who reached it from outside."""

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.columns import HTTP_METHODS

from aggregator.records import SECOND_NS
from aggregator.resolve.podnames import PodName
from aggregator.topology.background import Surroundings
from aggregator.topology.filters import filtered
from aggregator.topology.snapshot import Graph
from tests.unit.aggregator.agents import World, address, ns

HOST, WEB, MONITOR = "10.0.0.1", "10.244.1.5", "10.244.1.6"
NODE, GET, POST = "shop/deployment/web", HTTP_METHODS.index("GET"), HTTP_METHODS.index("POST")
AROUND = Surroundings(frozenset({(address(HOST), 10250)}), frozenset({(NODE, 8080)}), {NODE: frozenset({"/stats"})})


class Town:
    def __init__(self) -> None:
        self.world = World()
        self.world.estate.around.value = AROUND
        self.world.estate.pods.learn(
            [PodName(uid, "shop", "deployment", name, name, "", "n1") for uid, name in (("w", "web"), ("m", "monitor"))]
        )
        self.alpha = self.world.agent("alpha", HOST)
        self.kubelet = self.alpha.unit("k3s-agent")
        self.alpha.listens(self.kubelet, HOST, 10250)
        self.web, self.monitor = self.alpha.pod("w", WEB), self.alpha.pod("m", MONITOR)
        self.alpha.listens(self.web, WEB, 8080)

    def ask(self, client: int, local: str, *routes: tuple[int, str], port: int = 8080, **more: int) -> None:
        for operation, route in routes or ((0, ""),):
            detail = {"operation": operation, "name": self.alpha.name(route, flow.NAME_KIND_ROUTE)} if route else {}
            count = 3 if route else 0
            self.alpha.calls(client, WEB, port, count, local=local, **detail, **more)
            self.alpha.serves(self.web, local, port, count, local=WEB, **detail, **more)

    def classes(self, second: float = 0) -> dict[str, str]:
        """By source and port."""
        self.alpha.tells(second, second + 1)
        edges = self.world.topology(second + 2).edges
        return {
            f"{edge.source}:{edge.port}": pb.EdgeClass.Name(getattr(edge, "class")).removeprefix("EDGE_CLASS_")
            for edge in edges
        }


@pytest.fixture
def town() -> Town:
    return Town()


def test_a_kubelet_that_asks_where_a_spec_says_so_probes(town: Town) -> None:
    """It is who listens on its machine's kubelet port, whatever it is called."""
    town.ask(town.kubelet, HOST, (GET, "/ready"))
    town.ask(town.kubelet, HOST, port=9000)
    other = town.alpha.unit("backup")
    town.ask(other, HOST, (GET, "/ready"), port=8081)
    assert town.classes() == {
        "alpha/k3s-agent:8080": "PROBE",
        "alpha/k3s-agent:9000": "TRAFFIC",
        "alpha/backup:8081": "TRAFFIC",
    }


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([(GET, "/metrics")], "SCRAPE"),
        ([(GET, "/stats")], "SCRAPE"),
        ([(GET, "/stats"), (GET, "/metrics")], "SCRAPE"),
        ([(GET, "/metrics"), (GET, "/items")], "TRAFFIC"),
        ([(POST, "/metrics")], "TRAFFIC"),
        ([(GET, "/metrics/job")], "TRAFFIC"),
        ([], "TRAFFIC"),
    ],
)
def test_who_reads_figures_and_nothing_else_scrapes(town: Town, routes: list[tuple[int, str]], expected: str) -> None:
    town.ask(town.monitor, MONITOR, *routes)
    assert town.classes() == {"shop/deployment/monitor:8080": expected}


def test_plumbline_s_own_pods_are_its_own(town: Town) -> None:
    town.world.estate.around.value = Surroundings(our_own=frozenset({NODE}))
    town.ask(town.monitor, MONITOR, (GET, "/metrics"))
    assert town.classes() == {"shop/deployment/monitor:8080": "SELF"}


def test_a_stranger_who_reads_figures_is_one_who_came_from_outside(town: Town) -> None:
    detail = {"operation": GET, "name": town.alpha.name("/metrics", flow.NAME_KIND_ROUTE)}
    town.alpha.serves(town.web, "203.0.113.9", 8080, 3, local=WEB, **detail)
    assert town.classes() == {"203.0.113.9:8080": "TRAFFIC"}


def test_what_is_learned_later_is_so_of_before(town: Town) -> None:
    town.world.estate.around.value = Surroundings()
    town.ask(town.kubelet, HOST, (GET, "/ready"))
    assert town.classes() == {"alpha/k3s-agent:8080": "TRAFFIC"}
    town.world.estate.around.value = AROUND
    assert town.classes(5) == {"alpha/k3s-agent:8080": "PROBE"}


def test_who_is_only_looked_after_is_there_without_those_who_look(town: Town) -> None:
    town.ask(town.kubelet, HOST, (GET, "/ready"))
    town.alpha.tells()
    seen = filtered(Graph.of(town.world.topology()), pb.Filter())
    assert NODE in seen.nodes
    assert "alpha/k3s-agent" not in seen.nodes
    assert not seen.edges


def test_who_reads_figures_is_there_too(town: Town) -> None:
    town.ask(town.monitor, MONITOR, (GET, "/metrics"))
    town.alpha.tells()
    seen = filtered(Graph.of(town.world.topology()), pb.Filter())
    assert {NODE, "shop/deployment/monitor"} <= set(seen.nodes)
    assert not seen.edges


def reached(town: Town, second: float = 2) -> list[tuple[int, str, int, bool]]:
    node = town.world.nodes(second)[NODE]
    return [(one.port, one.protocol, one.connections, one.encrypted) for one in node.reached]


def test_who_came_from_outside_is_told_by_port_and_protocol(town: Town) -> None:
    tls = 1 << flow.PROTOCOL_TLS
    for far, more in (("203.0.113.9", {"protocols": tls}), ("198.51.100.7", {"protocols": tls}), ("10.9.9.9", {})):
        town.alpha.serves(town.web, far, 8443, local=WEB, connections=2, **more)
    town.alpha.serves(town.web, "203.0.113.9", 8080, 5, local=WEB)
    town.ask(town.monitor, MONITOR, (GET, "/items"))
    town.alpha.tells()
    assert reached(town) == [(8080, "http", 1, False), (8443, "tls", 4, True)]
    # What is drawn by itself keeps what it is not about.
    made = town.world.estate.news(300 * SECOND_NS, ns(2))
    assert made is None
    town.alpha.serves(town.web, "203.0.113.9", 9999, local=WEB)
    town.alpha.tells(2, 3)
    made = town.world.estate.news(300 * SECOND_NS, ns(4))
    assert made is not None
    assert [one.port for one in made.graph.nodes[NODE].reached] == [8080, 8443, 9999]
    assert all(
        one.first_seen.ToNanoseconds() <= one.last_seen.ToNanoseconds() for one in town.world.nodes(4)[NODE].reached
    )


def test_exposure_is_unknown_without_a_watch_and_told_with_one(town: Town) -> None:
    town.ask(town.monitor, MONITOR, (GET, "/items"))
    town.alpha.tells()
    assert not town.world.nodes()[NODE].HasField("exposure")
    opening = pb.Opening(kind=pb.OPENING_KIND_NODE_PORT, name="web.shop", port=30080)
    exposures = {NODE: pb.Exposure(openings=[opening]), "shop/deployment/monitor": pb.Exposure()}
    town.world.estate.around.value = Surroundings(exposures=exposures)
    nodes = town.world.nodes()
    assert list(nodes[NODE].exposure.openings) == [opening]
    assert nodes["shop/deployment/monitor"].HasField("exposure")
