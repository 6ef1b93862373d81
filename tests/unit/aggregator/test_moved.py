"""Addresses that change hands: what their holders say of themselves counts, and nobody is guessed at."""

import pytest
from plumbline.v1 import topology_pb2 as pb

from tests.unit.aggregator.agents import Agent, World, ns

X, SHOP = "10.1.0.9", "10.0.0.2"
BLUE, GREEN = ("alpha/pod-blue", "beta/shop"), ("gamma/pod-green", "beta/shop")


class Town:
    """A shop on beta; X is blue's on alpha, then green's on gamma."""

    def __init__(self) -> None:
        self.world = World()
        self.alpha, self.beta, self.gamma = (
            self.world.agent(name, f"10.0.0.{number}") for number, name in enumerate(("alpha", "beta", "gamma"), 1)
        )
        self.blue = self.alpha.pod("blue", X)
        self.shop = self.beta.unit("shop")
        self.beta.listens(self.shop, SHOP, 80)

    def green(self, since: float) -> int:
        return self.gamma.pod("green", X, since)

    def tell(self, begin: float, end: float, *agents: Agent) -> None:
        for one in agents or (self.alpha, self.beta, self.gamma):
            one.tells(begin, end)


@pytest.fixture
def town() -> Town:
    return Town()


def test_two_callers_in_one_bucket_are_told_apart_by_their_own_rows(town: Town) -> None:
    town.alpha.calls(town.blue, SHOP, 80, 3, local=X)
    town.gamma.calls(town.green(0.5), SHOP, 80, 7, local=X)
    town.beta.serves(town.shop, X, 80, 10, local=SHOP)
    town.tell(0, 1)
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {BLUE: 3, GREEN: 7}


def test_two_servers_in_one_bucket_are_told_apart_by_their_own_rows(town: Town) -> None:
    town.beta.calls(town.shop, X, 80, 10)
    town.alpha.serves(town.blue, SHOP, 80, 3, local=X)
    town.gamma.serves(town.green(0.5), SHOP, 80, 7, local=X)
    town.tell(0, 1)
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {BLUE[::-1]: 3, GREEN[::-1]: 7}


def test_an_address_that_goes_to_and_fro_is_whose_rows_it_is_in(town: Town) -> None:
    """The agents notice no move after the first one."""
    green = town.green(1)
    for second in range(20):
        agent, caller = ((town.alpha, town.blue), (town.gamma, green))[second % 2]
        agent.calls(caller, SHOP, 80, 1 + second % 2, local=X)
        town.beta.serves(town.shop, X, 80, 1 + second % 2, local=SHOP)
        town.tell(second, second + 1)
    assert town.world.requests(21) == {BLUE: 10, GREEN: 20}


def test_whose_agent_tells_late_is_not_taken_for_the_other_one(town: Town) -> None:
    green = town.green(0.5)
    town.tell(0, 1)
    for second in range(1, 31):
        town.beta.serves(town.shop, X, 80, 2, local=SHOP)
        town.tell(second, second + 1, town.alpha, town.beta)
        shown = town.world.requests(second + 1)
        assert BLUE not in shown and GREEN not in shown
    assert town.world.nodes(31)[X].kind == pb.NODE_KIND_UNRESOLVED
    town.gamma.calls(green, SHOP, 80, 60, local=X)
    town.gamma.tells(1, 31, at=31)
    for second in (31.5, 60, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {GREEN: 60}


def test_where_a_holders_host_was_blind_the_other_end_counts_for_it(town: Town) -> None:
    """Green has the address for minutes when its agent is gone for a while."""
    green = town.green(0)
    town.alpha.owns(town.blue, X, 0, until=0.5, network_namespace=1000 + sum(map(ord, "blue")))
    town.gamma.calls(green, SHOP, 80, 5, local=X)
    town.beta.serves(town.shop, X, 80, 5, local=SHOP)
    town.tell(0, 100)
    town.beta.serves(town.shop, X, 80, 40, local=SHOP)
    town.tell(100, 110, town.alpha, town.beta)
    town.gamma.restart()
    town.gamma.calls(town.gamma.pod("green", X, 115), SHOP, 80, 2, local=X)
    town.beta.serves(town.shop, X, 80, 2, local=SHOP)
    town.tell(115, 116)
    assert town.world.requests(117) == {GREEN: 47}


def test_a_failed_connect_while_an_address_moved_is_nobodys(town: Town) -> None:
    town.green(0.5)
    town.beta.calls(town.shop, X, 80, 10, refused=2)
    town.alpha.serves(town.blue, SHOP, 80, 10, local=X)
    town.tell(0, 1)
    edges = town.world.edges(10)
    assert edges["beta/shop", "alpha/pod-blue"].requests == 10
    assert edges["beta/shop", X].failed_connections.refused == 2
    assert edges["beta/shop", X].requests == edges["beta/shop", X].connections == 0


def test_the_end_of_an_old_connection_is_no_edge_of_the_next_holder(town: Town) -> None:
    town.alpha.calls(town.blue, SHOP, 80, 3, local=X)
    town.beta.serves(town.shop, X, 80, 3, local=SHOP)
    town.tell(0, 1)
    town.alpha.owns(town.blue, X, 0, until=1, network_namespace=1000 + sum(map(ord, "blue")))
    green = town.green(1.2)
    town.gamma.calls(green, "10.0.0.3", 5432, 4, local=X)
    town.tell(1, 2)
    # A FIN again and again, and an answer that came too late: nobody has opened a connection since.
    town.beta.serves(town.shop, X, 80, 1, local=SHOP, connections=0, closed=1, retransmits=5, bytes_sent=100)
    town.gamma.calls(green, "10.0.0.3", 5432, 4, local=X)
    town.tell(30, 31)
    shown = town.world.requests(45)
    assert GREEN not in shown
    assert shown[BLUE] == 3
    assert shown[X, "beta/shop"] == 1


def test_a_caller_behind_a_translation_is_told_by_its_server(town: Town) -> None:
    """Blue asks a service's address; what the server sees comes from X."""
    town.green(5)
    town.alpha.owns(town.blue, X, 0, until=5, network_namespace=1000 + sum(map(ord, "blue")))
    town.alpha.calls(town.blue, "10.96.0.1", 80, 3, local=X)
    town.beta.serves(town.shop, X, 80, 3, local=SHOP)
    town.tell(0, 1)
    town.tell(5, 6)
    assert town.world.requests(7)[BLUE] == 3


@pytest.mark.parametrize("client_begins", [-0.3, 0.1, 0.3, 0.4])
def test_a_first_row_from_before_its_callers_agent_is_not_counted_beside_the_callers_own(
    town: Town, client_begins: float
) -> None:
    """Agents that start together begin their first buckets apart; all that happened, happened when both were there."""
    buckets = ((0.0, 0.5, 3, 1), (0.5, 5.5, 144, 0), (5.5, 7.0, 27, 0))
    for begin, end, count, opened in buckets:
        town.beta.serves(town.shop, X, 80, count, local=SHOP, connections=opened)
        town.beta.tells(begin, end)
        town.alpha.calls(town.blue, SHOP, 80, count, local=X, connections=opened)
        town.alpha.tells(begin or client_begins, end)
    town.alpha.owns(town.blue, X, 0, until=6, network_namespace=1000 + sum(map(ord, "blue")))
    town.green(6.5)
    town.gamma.tells(6, 7)
    for second in (7.5, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {BLUE: 174}


def test_a_first_row_of_which_the_callers_agent_found_the_connection_open_stands(town: Town) -> None:
    """It has what was before that agent."""
    town.beta.serves(town.shop, X, 80, 30, local=SHOP)
    town.beta.tells(0, 0.5)
    town.alpha.calls(town.blue, SHOP, 80, 0, local=X, connections=0, adopted=1)
    town.alpha.tells(0.4, 0.5)
    town.green(6.5)
    town.gamma.tells(6, 7)
    assert town.world.requests(7.5) == {BLUE: 30}
