"""One edge for what both ends saw: whose numbers count, and who the ends are."""

from typing import Any

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.estate import Estate
from tests.unit.aggregator.agents import World, ns

ALPHA, BETA = "10.0.0.1", "10.0.0.2"
PAIR = ("alpha/web", "beta/shop")


class Two:
    """Web on alpha calls shop on beta."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alpha, self.beta = world.agent("alpha", ALPHA), world.agent("beta", BETA)
        self.shop = self.beta.unit("shop")
        self.beta.listens(self.shop, BETA, 80)

    @property
    def web(self) -> int:
        return self.alpha.unit("web")

    def call(self, count: int, **more: Any) -> None:
        self.alpha.calls(self.web, BETA, 80, count, **more)

    def serve(self, count: int, **more: Any) -> None:
        self.beta.serves(self.beta.unit("shop"), ALPHA, 80, count, local=BETA, **more)


@pytest.fixture
def two() -> Two:
    return Two(World())


def test_one_edge_for_what_both_saw_and_both_sides_stay_visible(two: Two) -> None:
    two.call(3, bytes_sent=300, bytes_received=30, retransmits=2, refused=4, rtt_sum_us=5000, rtt_count=2)
    two.serve(2, bytes_sent=29, bytes_received=299, refused=9, rtt_sum_us=1, rtt_count=1)
    two.alpha.tells()
    two.beta.tells()
    edge = two.world.edges()[PAIR]
    assert (edge.requests, edge.connections, edge.bytes_sent, edge.bytes_received) == (2, 1, 299, 29)
    assert (edge.failed_connections.refused, edge.rtt_ms) == (4, 2.5)
    assert edge.seen_from == pb.SEEN_FROM_BOTH
    assert (edge.client_side.requests, edge.client_side.bytes_sent) == (3, 300)
    assert (edge.server_side.requests, edge.server_side.bytes_sent) == (2, 299)
    assert set(two.world.nodes()) == set(PAIR)


def test_the_client_counts_where_no_agent_stands_at_the_server(two: Two) -> None:
    two.call(3, bytes_sent=300)
    two.alpha.tells()
    edge = two.world.edges()["alpha/web", BETA]
    assert (edge.requests, edge.bytes_sent, edge.seen_from) == (3, 300, pb.SEEN_FROM_CLIENT)


def test_the_server_alone_is_read_the_other_way_round(two: Two) -> None:
    two.serve(3, bytes_sent=30, bytes_received=300)
    two.beta.tells()
    edge = two.world.edges()[ALPHA, "beta/shop"]
    assert (edge.requests, edge.bytes_sent, edge.bytes_received) == (3, 300, 30)
    assert (edge.seen_from, edge.server_side.bytes_sent) == (pb.SEEN_FROM_SERVER, 300)


def test_the_clients_numbers_fill_the_time_without_the_servers_agent(two: Two) -> None:
    two.call(1)
    two.serve(1)
    two.alpha.tells(0, 1)
    two.beta.tells(0, 1)
    two.call(10)
    two.alpha.tells(10, 11)
    assert two.world.requests(12)[PAIR] == 11
    # It is back, and tells of nothing before.
    two.beta.restart()
    two.beta.listens(two.beta.unit("shop"), BETA, 80, since=20)
    two.serve(100)
    two.call(100)
    two.alpha.tells(20, 21)
    two.beta.tells(20, 21)
    assert two.world.requests(22)[PAIR] == 111


@pytest.mark.parametrize("aged", [False, True])
def test_an_agent_that_was_cut_off_tells_later_and_nothing_counts_twice(two: Two, aged: bool) -> None:
    two.call(1)
    two.serve(1)
    two.alpha.tells(0, 1)
    two.beta.tells(0, 1)
    for second in range(10, 200, 10):
        two.call(5)
        two.alpha.tells(second, second + 1)
        if aged:
            two.world.estate.age(ns(second + 1))
    assert two.world.requests(200)[PAIR] == 1 + 19 * 5
    two.serve(19 * 5)
    two.beta.tells(1, 200, at=201)
    assert two.world.requests(202)[PAIR] == 1 + 19 * 5
    two.world.estate.age(ns(260))
    assert two.world.requests(260)[PAIR] == 1 + 19 * 5


def test_a_server_whose_first_word_comes_late_is_not_counted_twice(two: Two) -> None:
    two.call(7)
    two.alpha.tells(0, 1)
    two.world.estate.age(ns(30))
    two.serve(7)
    two.beta.tells(0, 30, at=31)
    two.world.estate.age(ns(60))
    assert two.world.requests(60)[PAIR] == 7


def test_two_absences_of_the_servers_agent_are_filled_both(two: Two) -> None:
    two.serve(1)
    two.call(1)
    two.alpha.tells(0, 1)
    two.beta.tells(0, 1)
    for absence in (20, 80):
        two.call(10)
        two.alpha.tells(absence, absence + 1)
        two.world.estate.age(ns(absence + 19))
        assert two.world.requests(absence + 19)[PAIR] == 11 + (110 if absence > 20 else 0)
        two.beta.restart()
        two.beta.listens(two.beta.unit("shop"), BETA, 80, since=absence + 20)
        two.serve(100)
        two.call(100)
        two.alpha.tells(absence + 20, absence + 21)
        two.beta.tells(absence + 20, absence + 21)
        two.beta.tells(absence + 21, absence + 50)
        two.world.estate.age(ns(absence + 50))
    assert two.world.requests(140)[PAIR] == 1 + 2 * 110


def test_a_client_that_told_of_more_time_than_the_server_yet_is_not_counted_beside_it(two: Two) -> None:
    two.call(10)
    two.serve(10)
    two.alpha.tells(0.2, 2)
    two.beta.tells(0, 1)
    assert two.world.requests(2)[PAIR] == 10


def test_who_an_address_belongs_to_may_come_later_than_the_traffic(two: Two) -> None:
    two.call(3)
    two.alpha.tells(0, 1)
    assert ("alpha/web", BETA) in two.world.requests()
    two.beta.tells(0, 1)
    assert two.world.requests() == {PAIR: 3}


def test_open_connections_are_what_was_opened_and_not_closed_and_a_new_agent_counts_anew(two: Two) -> None:
    two.call(0, connections=5, adopted=2, closed=3)
    two.alpha.tells(0, 1)
    two.beta.tells(0, 1)
    assert two.world.edges()[PAIR].active_connections == 4
    two.alpha.restart()
    two.call(0, connections=0, adopted=4)
    two.alpha.tells(5, 6)
    edge = two.world.edges(7)[PAIR]
    assert (edge.active_connections, edge.connections) == (4, 5)


def test_an_endpoint_that_becomes_better_known_renames_its_past(two: Two) -> None:
    client = two.alpha.endpoint(flow.ENDPOINT_KIND_PROCESS, command="python3")
    two.alpha.calls(client, BETA, 80, 3)
    two.alpha.tells(0, 1)
    two.beta.tells(0, 1)
    assert two.world.requests() == {("alpha/python3", "beta/shop"): 3}
    two.alpha.redefine(client, flow.ENDPOINT_KIND_UNIT, unit="web.service")
    two.alpha.tells(1, 2)
    assert two.world.requests() == {PAIR: 3}
    assert "alpha/python3" not in two.world.nodes()


def test_who_opened_is_never_guessed(two: Two) -> None:
    two.alpha.exchanges(two.web, BETA, 80, bytes_sent=300, bytes_received=30)
    two.alpha.tells()
    topology = two.world.topology()
    assert not topology.edges
    assert [dict(host.dropped) for host in topology.hosts if host.dropped] == [{"direction_unknown_bytes": 330}]
    # A flow is defined once; a restored estate knows it still.
    two.world.estate = Estate.restore(two.world.settings, two.world.estate.checkpoint().content())
    two.alpha.exchanges(two.web, BETA, 80, bytes_sent=5)
    two.alpha.tells()
    assert [dict(host.dropped) for host in two.world.topology().hosts if host.dropped] == [
        {"direction_unknown_bytes": 335}
    ]


def test_an_end_whose_agent_begins_under_load_counts_nothing_twice(two: Two) -> None:
    """The client's rows have their own times: one begins before the server's agent and ends after it began."""
    two.call(1)
    two.alpha.tells(0, 1)
    two.call(10)
    two.serve(6)
    two.alpha.tells(1, 2)
    two.beta.tells(1.6, 2.6)
    two.call(20)
    two.serve(20)
    two.alpha.tells(2, 3)
    two.beta.tells(2.6, 3.6)
    edge = two.world.edges(4)[PAIR]
    assert (edge.requests, edge.client_side.requests, edge.server_side.requests) == (31, 31, 26)


def test_a_long_first_row_does_not_outweigh_an_end_that_was_there_all_the_time(two: Two) -> None:
    """On a busy host an agent's first interval may have begun long before the other end's agent did, and before all
    traffic. Then the server's agent is killed: the client's numbers are the whole ones."""
    two.serve(10)
    two.beta.tells(0, 3.2)
    for begin, calls in ((2, 6), (3, 4)):
        two.call(calls)
        two.alpha.tells(begin, begin + 1)
    two.serve(3)
    two.beta.tells(3.2, 5)
    two.call(8)
    two.alpha.tells(4, 6)
    two.call(10)
    two.alpha.tells(10, 11)
    two.beta.restart()
    two.beta.listens(two.beta.unit("shop"), BETA, 80, since=20)
    two.serve(5)
    two.call(5)
    two.alpha.tells(20, 21)
    two.beta.tells(20, 21)
    for now in (22, 200):
        two.world.estate.age(ns(now))
        assert two.world.requests(now)[PAIR] == 33


def test_an_end_whose_agent_begins_late_leaves_the_others_numbers(two: Two) -> None:
    two.serve(1)
    two.beta.tells(0, 1)
    two.serve(10)
    two.call(6)
    two.beta.tells(1, 2)
    two.alpha.tells(1.6, 2.6)
    edge = two.world.edges(4)[PAIR]
    assert (edge.requests, edge.client_side.requests, edge.server_side.requests) == (11, 6, 11)


def test_a_total_does_not_step_back_while_an_end_that_was_silent_tells_what_it_owes() -> None:
    """The other end's numbers had taken its place."""
    world = World()
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.listens(beta.unit("shop"), "10.0.0.2", 80)
    totals = []

    def tell_both(begin: int, at: int) -> None:
        tell_alpha(begin, at)
        tell_beta(begin, at)

    def tell_alpha(begin: int, at: int) -> None:
        alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 10)
        alpha.tells(begin, begin + 1, at)

    def tell_beta(begin: int, at: int) -> None:
        beta.serves(beta.unit("shop"), "10.0.0.1", 80, 10, local="10.0.0.2")
        beta.tells(begin, begin + 1, at)

    for begin in range(20):
        (tell_both if begin < 5 else tell_alpha)(begin, begin + 1)
        totals.append(sum(world.requests(begin + 1).values()))
    assert totals[-1] == 200
    world.estate.hello(beta.hello(20), ns(20))
    totals.append(sum(world.requests(20).values()))
    for begin in range(5, 20):
        beta.serves(beta.unit("shop"), "10.0.0.1", 80, 10, local="10.0.0.2")
        owed = beta.batch(begin, begin + 1)
        owed.sent.CopyFrom(beta.stamp(20))
        world.deliver(beta, owed, 20)
        totals.append(sum(world.requests(20).values()))
    # Until it is stale, what it will tell soon is waited for.
    assert (totals[10:], totals[-1]) == (sorted(totals[10:]), 200)
