"""An end whose agent is away for a part of a row, and for good: what the other end saw meanwhile is in the edge."""

from plumbline.v1 import topology_pb2 as pb

from tests.unit.aggregator.agents import World, ns

ALPHA, BETA = "10.0.0.1", "10.0.0.2"
PAIR = ("alpha/web", "beta/shop")


class Town:
    """Web on alpha calls shop on beta; either agent may be away, and alpha's may report seldom."""

    def __init__(self, client_interval: float = 1.0) -> None:
        self.world = World()
        self.alpha = self.world.agent("alpha", ALPHA, interval=client_interval)
        self.beta = self.world.agent("beta", BETA)
        self.beta_begins(0)

    def beta_begins(self, at: float) -> None:
        if at:
            self.beta.restart()
        self.beta.listens(self.beta.unit("shop"), BETA, 80, since=at)

    def alpha_saw(self, begin: float, end: float, requests: int) -> None:
        if requests:
            self.alpha.calls(self.alpha.unit("web"), BETA, 80, requests)
        self.alpha.tells(begin, end)

    def beta_saw(self, begin: float, end: float, requests: int) -> None:
        self.beta.serves(self.beta.unit("shop"), ALPHA, 80, requests, local=BETA)
        self.beta.tells(begin, end)

    def edge(self, now: float) -> pb.Edge:
        return self.world.edges(now)[PAIR]


def test_an_absence_anywhere_within_a_row_of_the_other_end_is_filled() -> None:
    """Between its beginning, its middle and its end, too: an agent that reports seldom has long rows."""
    town = Town(client_interval=10.0)
    town.beta_saw(0, 15.5, 155)
    town.alpha_saw(0, 10, 100)
    town.beta_begins(19.5)
    town.beta_saw(19.5, 30, 105)
    town.alpha_saw(10, 20, 100)
    town.alpha_saw(20, 30, 100)
    for now in (30, 60, 200):
        assert (town.edge(now).requests, town.edge(now).server_side.requests) == (300, 260)
        town.world.estate.age(ns(now))


def test_what_a_client_saw_after_the_servers_agent_died_stays_when_its_rows_are_merged() -> None:
    """The client's agent began late and the server's died within a row of the client's: both ends are needed."""
    town, totals = Town(), []
    for second in range(140):
        if second < 60:
            town.beta_saw(second, second + 1, 10)
        elif second == 60:
            town.beta_saw(60, 60.4, 4)
        if second >= 20:
            town.alpha_saw(second, second + 1, 10 if second < 100 else 0)
        town.world.estate.age(ns(second + 1))
        if second >= 20:
            totals.append(town.edge(second + 1).requests)
    assert totals == sorted(totals)
    # That one row is there twice in part.
    assert totals[-1] == 1000 + 4


def test_of_two_ends_that_were_away_for_parts_of_rows_the_one_that_saw_more_counts() -> None:
    """Alpha began a little late; beta's agent was away for longer, but for all of no row of alpha's."""
    town = Town(client_interval=10.0)
    town.beta_saw(0, 5, 50)
    town.beta_saw(5, 15, 100)
    town.alpha_saw(1.5, 11.5, 100)
    town.alpha_saw(11.5, 21.5, 100)
    town.beta_begins(29.5)
    town.beta_saw(29.5, 41.5, 120)
    town.alpha_saw(21.5, 31.5, 100)
    town.alpha_saw(31.5, 41.5, 100)
    edge = town.edge(42)
    assert (edge.requests, edge.client_side.requests, edge.server_side.requests) == (400, 400, 270)
