"""Names of what is outside: the Host that was asked for, else what DNS had told this very client."""

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.names import host_name
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
