"""An address is a pod's, whichever of its containers an agent meets first in it: that is no change of hands.

A caller by a Service's address is told by its server alone, who sees the pod's own: nothing else says who it was.
"""

import pytest

from aggregator.records import SECOND_NS
from tests.unit.aggregator.agents import Agent, World, ns

WEB, API, VIP = "10.244.1.5", "10.244.2.6", "10.96.0.7"
EDGE, ASKED = ("alpha/pod-w", "beta/pod-s"), ("alpha/pod-w", VIP)


class Town:
    """A pod on alpha calls one on beta over one connection, by an address that nobody knows."""

    def __init__(self, **settings: float) -> None:
        self.world = World(**settings)
        self.alpha, self.beta = self.world.agent("alpha", "10.0.0.1"), self.world.agent("beta", "10.0.0.2")
        self.meet("app")

    def meet(self, container: str, since: float = 0) -> None:
        """What agents find in the two pods first."""
        self.alpha.pod("w", WEB, since, container)
        self.beta.pod("s", API, since, container)

    def exchange(self, begin: float, length: float = 1, **more: int) -> None:
        app = self.alpha.endpoint(1, 1000 + ord("w"), pod_uid="w", container_id="app")
        own = self.beta.endpoint(1, 1000 + ord("s"), pod_uid="s", container_id="app")
        self.alpha.calls(app, VIP, 80, 5, local=WEB, **{"connections": 0, **more})
        self.beta.serves(own, WEB, 8080, 5, local=API, **{"connections": 0, **more})
        for agent in (self.alpha, self.beta):
            agent.tells(begin, begin + length)

    def succeed(self, agent: Agent, at: float) -> None:
        """By an agent that goes on from it."""
        before = agent.epoch
        agent.restart()
        hello = agent.hello(at)
        hello.continues_epoch = before
        self.world.estate.hello(hello, ns(at))
        agent.greeted = True


@pytest.mark.parametrize("met", ["app", "pause"])
@pytest.mark.parametrize("ends", [("alpha",), ("beta",), ("alpha", "beta")], ids=" and ".join)
def test_agents_that_are_replaced_meet_another_container_and_the_caller_stays_who_it_is(
    ends: tuple[str, ...], met: str
) -> None:
    town = Town()
    town.exchange(0, connections=1)
    for agent in (town.alpha, town.beta):
        if agent.host in ends:
            town.succeed(agent, 2)
    town.meet(met, since=2)
    for second in range(1, 60):
        town.exchange(second)
        if second % 7 == 0:
            town.world.estate.age(ns(second + 1))
        assert town.world.requests(second + 1) == {EDGE: 5 * (second + 1), ASKED: 5 * (second + 1)}


def test_a_container_that_starts_again_is_no_other_holder() -> None:
    town = Town()
    town.exchange(0, connections=1)
    town.alpha.owns(town.alpha.endpoint(1, 1000 + ord("w"), pod_uid="w", container_id="app"), WEB, 0, until=5,
                    network_namespace=1000 + ord("w"))  # fmt: skip
    town.alpha.pod("w", WEB, 5, "app-again")
    for second in (1, 30):
        town.exchange(second)
    assert town.world.requests(31) == {EDGE: 15, ASKED: 15}


@pytest.mark.parametrize("replaced_at", [None, 30, 300])
def test_what_was_opened_before_all_that_is_kept_is_its_holder_s_until_the_address_goes_on(
    replaced_at: int | None,
) -> None:
    """Nobody knows any more when that connection began; another pod has the address since a moment."""
    town = Town(window_seconds=60, retention_seconds=200)
    town.exchange(0, 10, connections=1)
    for second in range(10, 600, 10):
        if second == replaced_at:
            town.succeed(town.alpha, second)
            town.meet("pause", since=second)
        town.exchange(second, 10)
        town.world.estate.age(ns(second + 10))
    town.alpha.owns(town.alpha.endpoint(1, 1000 + ord("w"), pod_uid="w", container_id="app"), WEB, 0, until=600,
                    network_namespace=1000 + ord("w"))  # fmt: skip
    town.alpha.pod("other", WEB, 600.2)
    town.alpha.tells(600, 601)
    town.beta.tells(600, 601)
    edges = {(one.source, one.target) for one in town.world.estate.topology(60 * SECOND_NS, ns(602)).edges}
    assert edges == {EDGE, ASKED}
