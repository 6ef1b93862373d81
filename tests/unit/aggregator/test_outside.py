"""Names of what is outside: the Host that was asked for, else what DNS had told this very client."""

import pickle

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.estate import Estate
from aggregator.records import Told
from aggregator.resolve.names import DnsMemory, host_name
from tests.unit.aggregator.agents import World

PEER = "192.0.2.7"


@pytest.fixture
def world() -> World:
    return World()


def test_dns_names_what_has_no_better_name(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web, job = alpha.unit("web"), alpha.unit("job")
    alpha.told(web, "api.pay.test", PEER, "192.0.2.8")
    alpha.calls(web, PEER, 443, connections=2)
    alpha.calls(job, PEER, 443, connections=3)
    alpha.tells()
    edges = world.edges()
    assert edges["alpha/web", "api.pay.test"].connections == 2
    # What one client was told says nothing of another one.
    assert edges["alpha/job", PEER].connections == 3
    node = world.nodes()["api.pay.test"]
    assert (node.kind, node.name_source, node.ambiguous) == (pb.NODE_KIND_THIRD_PARTY, "dns", False)


def test_several_names_for_one_address_are_the_last_one_told_and_ambiguous(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "a.test", PEER, at=3)
    alpha.told(web, "b.test", PEER, at=1)
    alpha.calls(web, PEER, 443)
    alpha.tells()
    assert world.nodes()["a.test"].ambiguous
    alpha.told(web, "b.test", PEER, at=5)
    alpha.tells(1, 2)
    assert ("alpha/web", "b.test") in world.edges()


def test_the_host_asked_for_says_it_best_and_connections_follow_most_requests(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "cdn.test", PEER)
    alpha.calls(web, PEER, 80, 3, host=alpha.name("A.test:80"), connections=7)
    alpha.calls(web, PEER, 80, 2, host=alpha.name("b.test."), connections=0)
    alpha.tells()
    edges = world.edges()
    assert {pair[1]: (edge.requests, edge.connections) for pair, edge in edges.items()} == {
        "a.test": (3, 7),
        "b.test": (2, 0),
    }
    assert {node.name_source for node in world.nodes().values()} == {"", "host"}


def test_the_name_in_a_hello_says_more_than_dns_and_each_is_one_third_party(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "cdn.test", PEER)
    for said, count in (("a.test", 3), ("B.test.", 4), ("b.test", 1), ("not a name", 2), ("192.0.2.7", 1), ("", 1)):
        alpha.calls(web, PEER, 443, connections=count, said=said)
    alpha.calls(web, "192.0.2.8", 443, connections=5, said="a.test")
    alpha.tells()
    connections = {pair: edge.connections for pair, edge in world.edges().items()}
    assert connections == {("alpha/web", "a.test"): 8, ("alpha/web", "b.test"): 5, ("alpha/web", "cdn.test"): 4}
    sources = {
        name: (node.name_source, node.ambiguous) for name, node in world.nodes().items() if name in "a.test b.test"
    }
    assert sources == {"a.test": ("sni", False), "b.test": ("sni", False)}


def test_what_a_client_calls_one_of_ours_by_tls_is_no_third_party(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.listens(beta.unit("shop"), "10.0.0.2", 443)
    alpha.calls(alpha.unit("web"), "10.0.0.2", 443, connections=2, said="shop.test")
    alpha.tells()
    beta.tells()
    assert {pair: edge.connections for pair, edge in world.edges().items()} == {("alpha/web", "beta/shop"): 2}


def test_a_host_that_is_no_name_leaves_what_dns_said(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "cdn.test", PEER)
    for host in ("192.0.2.7", "localhost", "x y.test", ""):
        alpha.calls(web, PEER, 80, 1, host=alpha.name(host))
    alpha.tells()
    assert world.requests() == {("alpha/web", "cdn.test"): 4}


def test_a_host_header_names_nobody_of_ours(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.listens(beta.unit("shop"), "10.0.0.2", 80)
    alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 1, host=alpha.name("shop.test"))
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta/shop"): 1}


def test_one_third_party_behind_many_addresses_is_one_edge(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "api.pay.test", PEER, "192.0.2.8")
    for peer in (PEER, "192.0.2.8"):
        alpha.calls(web, peer, 443, connections=2)
    alpha.tells()
    assert world.edges()["alpha/web", "api.pay.test"].connections == 4


def test_a_protocol_of_a_later_contract_is_an_edge_of_its_own(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.calls(web, PEER, 9, 1, protocol=40, transport=flow.TRANSPORT_UDP)
    alpha.calls(web, PEER, 9, connections=2)
    alpha.tells()
    ids = [edge.id for edge in world.topology().edges]
    assert len(ids) == len(set(ids)) == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Api.Pay.test", "api.pay.test"),
        ("api.pay.test:8080", "api.pay.test"),
        ("api.pay.test.", "api.pay.test"),
        ("[2001:db8::1]:80", ""),
        ("10.0.0.1:80", ""),
        ("localhost", ""),
        ("(other)", ""),
        ("a..test", ""),
        ("a" * 64 + ".test", ""),
        ("ä.test", ""),
        ("x." * 130 + "test", ""),
        (":80", ""),
    ],
)
def test_what_is_a_name(text: str, name: str) -> None:
    assert host_name(text) == name


def test_what_a_proxy_was_asked_for_is_called_and_the_proxy_is_the_way(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    web, proxy = alpha.unit("web"), beta.unit("proxy")
    beta.listens(proxy, "10.0.0.2", 3128)
    alpha.calls(web, "10.0.0.2", 3128, 3, host=alpha.target("Api.Test"), connections=4, operation=8)
    alpha.calls(web, "10.0.0.2", 3128, 2, host=alpha.target("api.test"), operation=8, code=403)
    alpha.calls(web, "10.0.0.2", 3128, 1, host=alpha.target("192.0.2.9"))
    beta.serves(proxy, "10.0.0.1", 3128, 6, connections=6)
    beta.told(proxy, "api.test", PEER)
    beta.calls(proxy, PEER, 443, connections=5)
    alpha.tells()
    beta.tells()
    edges = world.edges()
    way, behind = edges["alpha/web", "beta/proxy"], edges["alpha/web", "api.test"]
    assert (way.requests, way.connections, way.way, list(way.through)) == (6, 6, True, [])
    assert (behind.requests, behind.connections, behind.way, list(behind.through)) == (5, 0, False, ["beta/proxy"])
    assert (way.errors, behind.errors, behind.client_errors) == (0, 2, 0)
    assert sum(route.errors for route in behind.routes) == 2
    assert edges["beta/proxy", "api.test"].connections == 5
    assert world.nodes()["api.test"].name_source == "proxy"
    assert edges.keys() == {("alpha/web", "beta/proxy"), ("alpha/web", "api.test"), ("beta/proxy", "api.test")}


def test_a_proxy_outside_keeps_its_own_name(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.told(web, "proxy.test", PEER)
    alpha.calls(web, PEER, 3128, 3, host=alpha.target("api.test"), connections=3)
    alpha.tells()
    edges = world.edges()
    assert {pair[1]: (edge.requests, edge.connections, edge.way) for pair, edge in edges.items()} == {
        "proxy.test": (3, 3, True),
        "api.test": (3, 0, False),
    }


def test_a_server_that_is_asked_for_by_its_own_name_is_no_proxy(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    web, shop = alpha.unit("web"), beta.unit("shop")
    beta.listens(shop, "10.0.0.2", 80)
    alpha.told(web, "shop.test", "10.0.0.2")
    alpha.told(web, "api.test", PEER)
    alpha.calls(web, "10.0.0.2", 80, 3, host=alpha.target("shop.test"))
    alpha.calls(web, PEER, 80, 2, host=alpha.target("api.test"))
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta/shop"): 3, ("alpha/web", "api.test"): 2}
    assert not any(edge.way or edge.through for edge in world.edges().values())


def test_a_service_of_ours_that_is_asked_for_through_a_proxy_is_no_third_party(world: World) -> None:
    """Its name is told by DNS to whoever connects to it: the proxy, and often later than it was asked for."""
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    web, proxy, shop = alpha.unit("web"), beta.unit("proxy"), beta.unit("shop")
    beta.listens(proxy, "10.0.0.2", 3128)
    beta.listens(shop, "10.0.0.2", 80)
    for name in ("shop.internal.test", "api.test"):
        alpha.calls(web, "10.0.0.2", 3128, 3, host=alpha.target(name))
    alpha.tells()
    beta.tells()
    asked = {("alpha/web", "beta/proxy"), ("alpha/web", "api.test"), ("alpha/web", "shop.internal.test")}
    assert world.edges().keys() == asked
    beta.told(proxy, "shop.internal.test", "10.0.0.2")
    beta.told(proxy, "api.test", PEER, "127.0.0.1")
    beta.tells(1, 2)
    world.estate = Estate.restore(world.settings, world.estate.checkpoint().content())
    edges = world.edges(3)
    assert edges.keys() == {("alpha/web", "beta/proxy"), ("alpha/web", "api.test")}
    assert edges["alpha/web", "beta/proxy"].way


def test_what_was_told_of_a_name_is_forgotten_with_it() -> None:
    memory = DnsMemory()
    for at in range(20):
        for endpoint in (1, 2):
            memory.add(Told(endpoint, f"n{at}.test", (b"a", b"b"), at))
    assert [len([*memory.addresses_of(f"n{at}.test")]) for at in range(20)] == [0] * 4 + [2] * 16
    again = pickle.loads(pickle.dumps(memory))
    assert [[*again.addresses_of(f"n{at}.test")] for at in (3, 4)] == [[], [b"a", b"b"]]
