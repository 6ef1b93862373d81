"""Clients that ask a Service have one edge to the workload behind it: its servers say who answered, `via` what for.

A packet has a Service's address until it leaves its own network namespace, so a client's rows are about that.
"""

import time

import numpy as np
import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import SECOND_NS
from aggregator.resolve.objects import Service, Slice
from aggregator.resolve.podnames import PodName
from aggregator.resolve.services import EVERY_HOST, Masking
from aggregator.resolve.serving import HostGroups
from tests.unit.aggregator.agents import Agent, World, ns
from tests.unit.aggregator.objects import endpoints, port, service

VIP, WEB, API1, API2 = "10.96.0.7", "10.244.1.5", "10.244.1.6", "10.244.2.6"
EDGE, CANARY = ("shop/deployment/web", "shop/deployment/api"), ("shop/deployment/web", "shop/deployment/api-canary")
API = service("api", VIP, port(80, 8080))
SECOND = service("api-old", "10.96.0.8", port(80, 8080))
HOST1, HOST2 = "10.0.0.1", "10.0.0.2"


def part(uid: str, workload: str) -> PodName:
    return PodName(uid, "shop", "deployment", workload, f"{workload}-{uid}", "", "n1")


class Town:
    """web on alpha calls api, of which one pod is on alpha, one on beta."""

    def __init__(self, second_workload: str = "api") -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", HOST1), self.world.agent("beta", HOST2)
        self.learn_pods(second_workload)
        self.web = self.alpha.pod("w", WEB)
        self.api1, self.api2 = self.alpha.pod("a1", API1), self.beta.pod("a2", API2)
        for agent, api, own in ((self.alpha, self.api1, API1), (self.beta, self.api2, API2)):
            agent.listens(api, own, 8080)

    def learn_pods(self, second_workload: str) -> None:
        self.world.estate.pods.learn([part("w", "web"), part("a1", "api"), part("a2", second_workload)])

    def learn(self, *objects: Service | Slice, gone: tuple[str, ...] = (), second: float = 0) -> None:
        self.world.estate.services.learn(objects, gone, ns(second))

    def serve(self, first: int, second: int, caller: str = WEB, port: int = 8080) -> None:
        self.alpha.serves(self.api1, caller, port, first, local=API1)
        self.beta.serves(self.api2, caller, port, second, local=API2)

    def tell(self, *agents: Agent, begin: float = 0) -> None:
        for agent in agents or (self.alpha, self.beta):
            agent.tells(begin, begin + 1)

    def via(self, pair: tuple[str, str] = EDGE, now: float = 2) -> dict[str, int]:
        return {one.name: one.connections for one in self.world.edges(now)[pair].via}


BEHIND = endpoints("api", 8080, [API1, API2])


@pytest.fixture
def town() -> Town:
    return Town()


@pytest.mark.parametrize("order", ["before", "after", "slices first", "names last"])
def test_one_edge_to_the_workload_with_the_service_s_name(town: Town, order: str) -> None:
    if order == "names last":
        town = Town()
        town.world.estate.pods.learn([part("w", "web"), part("a1", "first"), part("a2", "second")])
    if order == "before":
        town.learn(API, BEHIND)
    town.alpha.calls(town.web, VIP, 80, 7, local=WEB)
    town.serve(3, 4)
    town.tell()
    if order != "before":
        assert ("shop/deployment/web", VIP) in town.world.requests() or order == "before"
        town.learn(*((BEHIND, API) if order == "slices first" else (API, BEHIND)))
    if order == "names last":
        town.world.requests()
        town.learn_pods("api")
    assert town.world.requests() == {EDGE: 7}
    edge = town.world.edges()[EDGE]
    assert (edge.port, edge.client_side.requests, edge.server_side.requests) == (8080, 7, 7)
    assert town.via() == {"api.shop": 1}
    assert set(town.world.nodes()) == set(EDGE)


def test_several_services_on_one_workload_are_told_apart_by_via(town: Town) -> None:
    town.learn(API, BEHIND, SECOND, endpoints("api-old", 8080, [API1, API2]))
    town.alpha.calls(town.web, VIP, 80, 5, local=WEB, connections=5)
    town.alpha.calls(town.web, "10.96.0.8", 80, 2, local=WEB, connections=2)
    town.serve(3, 4)
    town.tell()
    assert town.world.requests() == {EDGE: 7}
    assert town.via() == {"api.shop": 5, "api-old.shop": 2}


def test_one_service_over_two_workloads_is_what_their_servers_say() -> None:
    town = Town("api-canary")
    town.learn(API, BEHIND)
    town.alpha.calls(town.web, VIP, 80, 10, local=WEB)
    town.serve(9, 1)
    town.tell()
    assert town.world.requests() == {EDGE: 9, CANARY: 1}
    assert town.via() == town.via(CANARY) == {"api.shop": 1}


def test_what_none_of_several_workloads_answered_is_with_the_service() -> None:
    town = Town("api-canary")
    town.learn(API, BEHIND)
    town.alpha.calls(town.web, VIP, 80, 10, local=WEB, refused=4)
    town.serve(9, 1)
    town.tell()
    for second in (2, 40):
        edges = town.world.edges(second)
        refused = {target: edge.failed_connections.refused for (_, target), edge in edges.items()}
        assert refused == {EDGE[1]: 0, CANARY[1]: 0, "shop/service/api": 4}
        assert {target: edge.requests for (_, target), edge in edges.items()} == {
            EDGE[1]: 9,
            CANARY[1]: 1,
            "shop/service/api": 0,
        }
        town.world.estate.age(ns(second))
    # Both are one thing to people, as is learned later.
    town.learn_pods("api")
    assert {pair: edge.failed_connections.refused for pair, edge in town.world.edges(41).items()} == {EDGE: 4}


def test_a_pod_that_comes_to_be_behind_it_is_looked_at_when_it_has_its_address() -> None:
    town = Town.__new__(Town)
    town.world = World()
    town.alpha, town.beta = town.world.agent("alpha", HOST1), town.world.agent("beta", HOST2)
    town.learn_pods("api-canary")
    town.learn(API, BEHIND)
    town.web, town.api1 = town.alpha.pod("w", WEB), town.alpha.pod("a1", API1)
    town.alpha.calls(town.web, VIP, 80, 4, local=WEB)
    town.alpha.serves(town.api1, WEB, 8080, 4, local=API1)
    town.tell(town.alpha)
    assert town.world.edges()[EDGE].client_side.requests == 4
    town.api2 = town.beta.pod("a2", API2, since=3)
    town.tell(town.beta, begin=3)
    # From now on it may have been either.
    assert not town.world.edges(5)[EDGE].HasField("client_side")
    assert town.world.requests(5) == {EDGE: 4}


def test_what_listens_on_a_host_s_port_is_behind_it_not_the_host(town: Town) -> None:
    proxy = town.beta.endpoint(flow.ENDPOINT_KIND_POD, pod_uid="p", container_id="c")
    town.beta.owns(town.beta.unit("kubelet"), HOST2)
    town.beta.listens(proxy, HOST2, 9000)
    town.world.estate.pods.learn([part("p", "proxy")])
    town.learn(service("proxy", VIP, port(80, 9000)), endpoints("proxy", 9000, [HOST2]))
    town.alpha.calls(town.web, VIP, 80, 4, local=WEB)
    town.beta.serves(proxy, WEB, 9000, 4, local=HOST2)
    town.tell()
    edge = town.world.edges()["shop/deployment/web", "shop/deployment/proxy"]
    assert (edge.requests, edge.client_side.requests, edge.port) == (4, 4, 9000)


def test_a_service_that_led_to_another_workload_before_does_not_move_its_counts() -> None:
    town = Town("api-green")
    green = ("shop/deployment/web", "shop/deployment/api-green")
    town.learn(API, endpoints("api", 8080, [API1]))
    town.alpha.calls(town.web, VIP, 80, 6, local=WEB)
    town.alpha.serves(town.api1, WEB, 8080, 6, local=API1)
    town.tell()
    assert town.world.requests() == {EDGE: 6}
    town.learn(endpoints("api", 8080, [API2]), second=5)
    town.alpha.calls(town.web, VIP, 80, 4, local=WEB)
    town.beta.serves(town.api2, WEB, 8080, 4, local=API2)
    town.tell(begin=6)
    assert town.world.requests(now=8) == {EDGE: 6, green: 4}


def test_where_one_host_has_no_agent_the_client_s_word_counts(town: Town) -> None:
    """What answered there is nowhere told."""
    town.learn(API, BEHIND)
    town.tell(town.beta, begin=-100)  # it was there, and is blind since
    town.alpha.calls(town.web, VIP, 80, 7, local=WEB)
    town.alpha.serves(town.api1, WEB, 8080, 3, local=API1)
    town.tell(town.alpha)
    town.beta.restart()
    town.beta.tells(50, 51)
    assert town.world.requests(now=52) == {EDGE: 7}


def test_nobody_of_ours_behind_it_is_a_node_of_its_own(town: Town) -> None:
    town.learn(API, endpoints("api", 8080, ["203.0.113.9"]))
    town.alpha.calls(town.web, VIP, 80, local=WEB, connections=0, refused=3)
    town.tell()
    edge = town.world.edges()["shop/deployment/web", "shop/service/api"]
    assert edge.failed_connections.refused == 3
    node = town.world.nodes()["shop/service/api"]
    assert (node.kind, node.namespace) == (pb.NODE_KIND_SERVICE, "shop")


def test_a_node_port_is_the_client_s_word_and_no_stranger_s(town: Town) -> None:
    """Servers see the host that the connection came by."""
    town.learn(service("api", VIP, port(80, 8080, nodePort=30080), type="NodePort"), BEHIND)
    town.alpha.calls(town.web, HOST2, 30080, 7, local=WEB)
    town.serve(3, 4, caller=HOST2)
    town.tell()
    for second in (2, 30):
        assert town.world.requests(second) == {EDGE: 7}
    assert town.via() == {"api.shop": 1}
    # What the same client asks by the Service's own address its servers see as it is.
    town.alpha.calls(town.web, VIP, 80, 5, local=WEB)
    town.serve(3, 2)
    town.tell(begin=40)
    assert town.world.requests(42) == {EDGE: 12}
    assert town.via(now=42) == {"api.shop": 2}


@pytest.mark.parametrize("has_both", [False, True])
def test_a_host_s_own_pods_are_told_apart_from_who_comes_by_way_of_it(town: Town, has_both: bool) -> None:
    """A server sees the same address of both: what both clients say themselves counts."""
    town.learn(service("api", VIP, port(80, 8080, nodePort=30080), type="NodePort"), BEHIND)
    town.world.estate.pods.learn([part("h", "hostnet")])
    own = town.alpha.endpoint(flow.ENDPOINT_KIND_POD, pod_uid="h", container_id="c")
    town.alpha.calls(own, API2, 8080, 5, local=HOST1)
    town.beta.serves(town.api2, HOST1, 8080, 5, local=API2)
    town.tell()
    hostnet = ("shop/deployment/hostnet", EDGE[1])
    assert town.world.requests() == {hostnet: 5}
    town.alpha.calls(town.web, HOST1, 30080, 7, local=WEB)
    town.beta.serves(town.api2, HOST1, 8080, 7, local=API2)
    if has_both:
        town.alpha.calls(own, HOST1, 30080, 2, local=HOST1)
        town.beta.serves(town.api2, HOST1, 8080, 2, local=API2)
    town.tell(begin=2)
    assert town.world.requests(4) == {hostnet: 7 if has_both else 5, EDGE: 7}


def test_who_is_translated_at_home_is_named_by_the_service_too(town: Town) -> None:
    """A pod of the host's network: its packets have the server's address already."""
    town.learn(API, BEHIND)
    town.alpha.calls(town.web, API2, 8080, 4, local=WEB)
    asked = town.alpha.message.flow_definitions[-1]
    asked.asked_address, asked.asked_port = API.addresses[0], 80
    town.beta.serves(town.api2, WEB, 8080, 4, local=API2)
    town.tell()
    assert town.world.requests() == {EDGE: 4}
    assert town.via() == {"api.shop": 1}
    town.learn(gone=[API.uid], second=1)
    assert town.via() == {"api.shop": 1}


def test_what_is_gone_is_forgotten_with_its_rows(town: Town) -> None:
    town.learn(API, BEHIND)
    town.learn(gone=[API.uid, BEHIND.uid], second=2)
    estate = town.world.estate
    estate.age(ns(3000))
    assert estate.held()["service_backends"] == 2
    assert estate.services.at(API.addresses[0], 80, 6) is not None
    estate.age(ns(3903))
    assert estate.held()["service_backends"] == 0
    assert estate.services.at(API.addresses[0], 80, 6) is None


@pytest.mark.parametrize("address", [VIP, "10.96.0.9"])
def test_a_service_that_is_made_anew_under_its_name_outlives_the_one_before(town: Town, address: str) -> None:
    """Deleted and installed again, as charts are: it has the same ports, and often another address."""
    opened = port(80, 8080, nodePort=30080)
    town.learn(service("api", VIP, opened, port(81, 8081, name="gone", nodePort=30081)), BEHIND)
    anew = service("api", address, opened, uid="another")
    town.learn(anew, gone=(API.uid,), second=2)
    town.world.estate.age(ns(3903))
    services = town.world.estate.services
    key = services.at(anew.addresses[0], 80, 6)
    assert key == services.at(EVERY_HOST, 30080, 6) == ("shop", "api", "http")
    assert services.masking_at(EVERY_HOST, 30080, 6) is Masking.ALWAYS
    assert services.is_open(endpoints("api", 8080, [API1]).addresses[0], 8080)
    assert services.named("shop", "api") == anew
    # Nobody is asked any more where only the one before was.
    assert (services.at(API.addresses[0], 80, 6) is None) == (address != VIP)
    assert services.at(EVERY_HOST, 30081, 6) is services.at(API.addresses[0], 81, 6) is None
    town.learn(gone=("another",), second=4000)
    town.world.estate.age(ns(7903))
    assert services.at(anew.addresses[0], 80, 6) is services.at(EVERY_HOST, 30080, 6) is None
    assert not services.is_open(endpoints("api", 8080, [API1]).addresses[0], 8080)


def test_slices_that_are_made_anew_take_nobody_out(town: Town) -> None:
    town.learn(API, BEHIND)
    town.learn(endpoints("api", 8080, [API1, API2], uid="another"), gone=(BEHIND.uid,), second=2)
    key = town.world.estate.services.at(API.addresses[0], 80, 6)
    assert key is not None
    assert {span.to_ns for _, span in town.world.estate.services.behind(key)} == {2**62}


def test_what_leads_to_one_workload_costs_nothing_where_it_is_asked_who_met_others() -> None:
    """Most flows of a cluster are such, and it is asked with each snapshot, and with all that is new between two."""
    spent = []
    for many in (20, 2_000):
        town = Town()
        town.learn(API, BEHIND)
        for number in range(many):
            town.alpha.calls(town.alpha.unit(f"u{number}"), VIP, 80, 1)
        town.serve(1, 1)
        town.tell()
        town.world.topology()
        resolver = town.world.estate._snapshots._looks.resolver
        via = np.zeros(resolver.flows_known, np.int64)
        started = time.thread_time()
        assert not any(resolver.served.asked_by(via) for _ in range(200))
        spent.append(time.thread_time() - started)
    assert spent[1] < 10 * spent[0]


def test_failed_connects_of_a_client_that_was_quiet_are_news_at_once() -> None:
    town = Town("api-canary")
    town.learn(API, BEHIND)
    town.alpha.calls(town.web, VIP, 80, 10, local=WEB)
    town.serve(9, 1)
    town.tell()
    town.world.topology(2)
    town.alpha.calls(town.web, VIP, 80, local=WEB, connections=0, refused=1)
    town.tell(town.alpha, begin=2)
    made = town.world.estate.news(300 * SECOND_NS, ns(3))
    assert made is not None
    edge = next(edge for edge in made.graph.edges.values() if edge.target == "shop/service/api")
    assert edge.failed_connections.refused == 1


def test_groups_of_hosts_that_nobody_is_behind_any_more_are_forgotten() -> None:
    groups = HostGroups(most=2)
    first, second = groups.id_of(frozenset({1, 2})), groups.id_of(frozenset({2, 3}))
    assert groups.id_of(frozenset({2, 1})) == first
    assert groups.id_of(frozenset({7})) == 7
    assert groups.is_full
    groups.keep({second})
    assert groups.id_of(frozenset({2, 3})) == second
    assert groups.id_of(frozenset({1, 2})) not in (first, second)
    assert len(groups.coverage({})) == 2


@pytest.mark.parametrize(
    ("policy", "caller"), [("Local", WEB), ("Local", HOST2), ("Local", HOST1), ("Cluster", HOST2), ("Cluster", HOST1)]
)
def test_whatever_servers_see_who_calls_at_a_host_counts_once(town: Town, policy: str, caller: str) -> None:
    """Whether it is seen by its own address is a matter of the policy, and of the network on the way."""
    api = service("api", VIP, port(80, 8080, nodePort=30080), type="NodePort", externalTrafficPolicy=policy)
    town.learn(api, BEHIND)
    town.alpha.calls(town.web, HOST2, 30080, 7, local=WEB)
    town.serve(3, 4, caller=caller)
    town.tell()
    for second in (2, 30):
        assert town.world.requests(second) == {EDGE: 7}


def test_who_calls_by_an_address_for_strangers_is_seen_as_its_host(town: Town) -> None:
    town.learn(service("api", VIP, port(80, 8080), externalIPs=["198.51.100.9"]), BEHIND)
    town.alpha.calls(town.web, "198.51.100.9", 80, 7, local=WEB)
    town.serve(3, 4, caller=HOST1)
    town.tell()
    for second in (2, 30):
        assert town.world.requests(second) == {EDGE: 7}
    assert town.via() == {"api.shop": 1}
