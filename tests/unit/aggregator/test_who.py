"""Who the ends are: shared addresses, pods, addresses that change hands, loopback, clusters."""

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from tests.unit.aggregator.agents import Agent, World, ns


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")], ids=["IPv4", "IPv6"])
def test_two_units_of_one_address_that_call_the_same_server_are_told_apart(
    world: World, addresses: tuple[str, str]
) -> None:
    here, there = addresses
    alpha, beta = world.agent("alpha", here), world.agent("beta", there)
    for name, count in (("web", 3), ("job", 4)):
        alpha.calls(alpha.unit(name), there, 80, count)
    shop = beta.unit("shop")
    beta.listens(shop, there, 80)
    beta.serves(shop, here, 80, 7, local=there, connections=2)
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta/shop"): 3, ("alpha/job", "beta/shop"): 4}
    assert world.edges()["alpha/web", "beta/shop"].connections == 1


def test_an_address_of_its_own_beside_a_shared_one_counts_each_request_once(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    shop = beta.unit("shop")
    for own in ("10.0.0.2", "fd00::2"):
        beta.listens(shop, own, 80)
    alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 3)
    alpha.calls(alpha.unit("job"), "10.0.0.2", 80, 4)
    beta.serves(shop, "10.0.0.1", 80, 7, local="10.0.0.2")
    alpha.calls(alpha.unit("web"), "fd00::2", 80, 50, local="fd00::1")
    beta.serves(shop, "fd00::1", 80, 50, local="fd00::2")
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta/shop"): 53, ("alpha/job", "beta/shop"): 4}


def test_until_the_clients_have_spoken_a_shared_address_is_not_guessed_at(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    alpha.tells()
    shop = beta.unit("shop")
    beta.serves(shop, "10.0.0.1", 80, 7, local="10.0.0.2")
    beta.tells()
    assert world.requests(1.5) == {}
    assert world.requests(20) == {("10.0.0.1", "beta/shop"): 7}
    assert world.nodes()["10.0.0.1"].kind == pb.NODE_KIND_UNRESOLVED


@pytest.fixture
def stranger(world: World) -> tuple[World, Agent, Agent]:
    """Beta's shop is called from 10.1.0.7, and calls it, while alpha has told until then only."""
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    alpha.tells(0, 1)
    beta.serves(beta.unit("shop"), "10.1.0.7", 80, 7, local="10.0.0.2")
    beta.calls(beta.unit("shop"), "10.1.0.7", 81, 5)
    beta.tells(1, 2)
    return world, alpha, beta


def test_an_address_that_its_agent_is_about_to_claim_is_no_strangers(stranger: tuple[World, Agent, Agent]) -> None:
    world, alpha, _ = stranger
    assert world.requests(2.1) == {}
    alpha.pod("p1", "10.1.0.7", since=1.2)
    alpha.tells(1, 2, at=2.2)
    assert world.requests(2.3) == {("alpha/pod-p1", "beta/shop"): 7, ("beta/shop", "alpha/pod-p1"): 5}


@pytest.mark.parametrize("now", [2.3, 4.1], ids=["all have spoken", "one is silent"])
def test_an_address_that_nobody_claims_is_soon_unresolved(stranger: tuple[World, Agent, Agent], now: float) -> None:
    world, alpha, _ = stranger
    if now < 3:
        alpha.tells(1, 2, at=2.2)
    assert world.requests(now) == {("10.1.0.7", "beta/shop"): 7, ("beta/shop", "10.1.0.7"): 5}


def test_who_can_be_nobody_of_ours_is_shown_at_once(stranger: tuple[World, Agent, Agent]) -> None:
    world, _, beta = stranger
    beta.serves(beta.unit("shop"), "192.0.2.1", 80, 3, local="10.0.0.2")
    beta.tells(2, 2.1)
    assert world.requests(2.1) == {("192.0.2.1", "beta/shop"): 3}


def test_containers_of_one_pod_are_one_node(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    first = alpha.pod("p1", "10.1.0.1")
    second = alpha.endpoint(flow.ENDPOINT_KIND_POD, 1161, pod_uid="p1", container_id="c2")
    shop = beta.unit("shop")
    beta.listens(shop, "10.0.0.2", 80)
    for container in (first, second):
        alpha.calls(container, "10.0.0.2", 80, 2, local="10.1.0.1")
    beta.serves(shop, "10.1.0.1", 80, 4, local="10.0.0.2", connections=2)
    alpha.tells()
    beta.tells()
    edge = world.edges()["alpha/pod-p1", "beta/shop"]
    assert (edge.requests, edge.connections, edge.seen_from) == (4, 2, pb.SEEN_FROM_BOTH)
    assert set(world.nodes()) == {"alpha/pod-p1", "beta/shop"}


@pytest.mark.parametrize("units", [["web"], ["web", "job"]])
def test_any_container_of_a_pod_may_answer_what_units_of_a_host_ask(world: World, units: list[str]) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.pod("p1", "10.1.0.1")
    second = beta.endpoint(flow.ENDPOINT_KIND_POD, 1161, pod_uid="p1", container_id="c2")
    for name in units:
        alpha.calls(alpha.unit(name), "10.1.0.1", 80, 2)
    beta.serves(second, "10.0.0.1", 80, 2 * len(units), local="10.1.0.1")
    alpha.tells()
    beta.tells()
    assert world.requests(30) == {(f"alpha/{name}", "beta/pod-p1"): 2 for name in units}


def test_an_address_that_changed_hands_is_whose_it_was_then(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    web = alpha.unit("web")
    old = beta.pod("old", "10.1.0.9")
    beta.serves(old, "10.0.0.1", 80, 3, local="10.1.0.9")
    beta.tells(0, 1)
    alpha.calls(web, "10.1.0.9", 80, 3)
    alpha.tells(0, 1)
    beta.owns(old, "10.1.0.9", 0, until=25, network_namespace=1000 + sum(map(ord, "old")))
    new = beta.pod("new", "10.1.0.9", since=26)
    beta.serves(new, "10.0.0.1", 80, 40, local="10.1.0.9")
    beta.tells(26, 27)
    alpha.calls(web, "10.1.0.9", 80, 40)
    alpha.tells(26, 27)
    expected = {("alpha/web", "beta/pod-old"): 3, ("alpha/web", "beta/pod-new"): 40}
    assert world.requests(28) == expected
    for second in range(30, 250, 10):
        world.estate.age(ns(second))
        assert world.requests(second) == expected
    assert world.edges(250)["alpha/web", "beta/pod-new"].active_connections == 2


def test_who_called_from_an_address_that_changed_hands_says_so_itself(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    shop = beta.unit("shop")
    beta.listens(shop, "10.0.0.2", 80)
    alpha.calls(alpha.pod("old", "10.1.0.9"), "10.0.0.2", 80, 3, local="10.1.0.9")
    alpha.tells(0, 1)
    beta.serves(shop, "10.1.0.9", 80, 3, local="10.0.0.2")
    beta.tells(0, 1)
    alpha.calls(alpha.pod("new", "10.1.0.9", since=5), "10.0.0.2", 80, 40, local="10.1.0.9")
    alpha.tells(5, 6)
    beta.serves(shop, "10.1.0.9", 80, 40, local="10.0.0.2")
    beta.tells(5, 6)
    assert world.requests(7) == {("alpha/pod-old", "beta/shop"): 3, ("alpha/pod-new", "beta/shop"): 40}


def test_a_port_that_another_unit_took_over_is_whose_it_was_then(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    web, blue, green = alpha.unit("web"), beta.unit("blue"), beta.unit("green")
    beta.listens(blue, "10.0.0.2", 80, until=5)
    beta.listens(green, "10.0.0.2", 80, since=5)
    for second, server, count in ((0, blue, 3), (10, green, 40)):
        alpha.calls(web, "10.0.0.2", 80, count)
        beta.serves(server, "10.0.0.1", 80, count, local="10.0.0.2")
        beta.tells(second, second + 1)
        alpha.tells(second, second + 1)
    assert world.requests(12) == {("alpha/web", "beta/blue"): 3, ("alpha/web", "beta/green"): 40}


def test_a_claim_that_comes_a_little_late_is_still_the_owners(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.pod("p1", "10.1.0.9", since=3)
    alpha.calls(alpha.unit("web"), "10.1.0.9", 80, 3)
    alpha.calls(alpha.unit("web"), "10.1.0.8", 80, 5)
    beta.pod("p2", "10.1.0.8", since=30)
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta/pod-p1"): 3, ("alpha/web", "10.1.0.8"): 5}


def test_a_hosts_own_address_with_no_listener_is_the_host(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    alpha.calls(alpha.unit("web"), "10.0.0.2", 81, 3)
    alpha.tells()
    beta.tells()
    assert world.requests() == {("alpha/web", "beta"): 3}
    assert world.nodes()["beta"].kind == pb.NODE_KIND_HOST


def test_an_inside_address_that_nobody_owned_is_unresolved_and_an_outside_one_external() -> None:
    world = World(inside=("203.0.113.0/24",))
    alpha = world.agent("alpha", "10.0.0.1")
    for peer in ("10.9.9.9", "fd00::9", "203.0.113.9", "192.0.2.1", "2001:db8::1"):
        alpha.calls(alpha.unit("web"), peer, 80, 1)
    alpha.tells()
    kinds = {name: node.kind for name, node in world.nodes().items() if name != "alpha/web"}
    inside, outside = pb.NODE_KIND_UNRESOLVED, pb.NODE_KIND_EXTERNAL
    assert kinds == {
        **dict.fromkeys(("10.9.9.9", "fd00::9", "203.0.113.9"), inside),
        **dict.fromkeys(("192.0.2.1", "2001:db8::1"), outside),
    }


def test_an_address_that_was_ours_stays_inside(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.owns(alpha.unit("gone"), "10.1.0.9", 0, until=1)
    alpha.tells(0, 1)
    world.estate.age(ns(20_000))
    alpha.calls(alpha.unit("web"), "10.1.0.9", 80, 3)
    alpha.tells(20_000, 20_001)
    assert world.nodes(20_002)["10.1.0.9"].kind == pb.NODE_KIND_UNRESOLVED


def test_who_listens_is_a_node_though_nobody_calls_until_it_ends(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    idle = alpha.unit("idle")
    alpha.listens(idle, "10.0.0.1", 80)
    alpha.listens(idle, "10.0.0.1", 443, until=5)
    alpha.tells()
    assert list(world.nodes(2)["alpha/idle"].listens) == [80, 443]
    assert list(world.nodes(6)["alpha/idle"].listens) == [80]
    alpha.restart()
    alpha.tells(10, 11)
    assert list(world.nodes(12)["alpha/idle"].listens) == [80]  # it may claim it again
    assert world.nodes(27) == {}


def test_a_listener_that_ended_after_its_agent_connected_again_has_ended(world: World) -> None:
    """The second hello measured the clocks a little differently."""
    alpha = world.agent("alpha", "10.0.0.1")
    idle = alpha.unit("idle")
    alpha.listens(idle, "10.0.0.1", 80)
    alpha.tells()
    alpha.listens(idle, "10.0.0.1", 80, until=3)
    world.estate.hello(alpha.hello(2), ns(2.003))
    alpha.tells(2, 4)
    assert world.nodes(5) == {}
    # It listens again: another claim.
    alpha.listens(idle, "10.0.0.1", 80, since=6)
    alpha.tells(4, 7)
    assert list(world.nodes(8)) == ["alpha/idle"]


def test_plumblines_own_traffic_is_background(world: World) -> None:
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.listens(beta.unit("plumbline-aggregator"), "10.0.0.2", 7170)
    alpha.calls(alpha.unit("web"), "10.0.0.2", 7170, 1)
    alpha.tells()
    beta.tells()
    (edge,) = world.topology().edges
    assert getattr(edge, "class") == pb.EDGE_CLASS_SELF
