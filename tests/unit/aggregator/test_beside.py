"""What is done beside the store's thread, while agents are heard: ageing, and the writing of a checkpoint."""

from collections.abc import Iterator

import pytest

from aggregator.estate import Estate
from aggregator.records import SECOND_NS
from aggregator.resolve import settling
from aggregator.steps import Step
from tests.unit.aggregator.agents import Agent, World, ns

X, SHOP = "10.1.0.9", "10.0.0.2"
ALL_SECONDS = 20_000.0
SECONDS = 80


class Town:
    """A shop on beta, whose X is blue's on alpha, then green's on gamma, to and fro; delta is silent for a while."""

    def __init__(self) -> None:
        self.world = World()
        names = ("alpha", "beta", "gamma", "delta")
        self.agents = [self.world.agent(name, f"10.0.0.{number}") for number, name in enumerate(names, 1)]
        alpha, beta, gamma, delta = self.agents
        self.callers = ((alpha, alpha.pod("blue", X)), (gamma, gamma.pod("green", X, 1)))
        self.shop, self.late = beta.unit("shop"), delta.unit("late")
        beta.listens(self.shop, SHOP, 80)

    def hear(self, second: int) -> None:
        """All that agents tell of one second; of what is long ago, too."""
        agent, caller = self.callers[second // 3 % 2]
        agent.calls(caller, SHOP, 80, 1 + second % 4, local=X)
        _, beta, _, delta = self.agents
        beta.serves(self.shop, X, 80, 1 + second % 4, local=SHOP)
        delta.calls(self.late, SHOP, 80, 2)
        for one in self._present(second):
            late = 100 if second % 50 == 49 else 0
            one.tells(second - late, second + 1, at=second + 1)

    def _present(self, second: int) -> Iterator[Agent]:
        return (one for one in self.agents if one.host != "delta" or second % 100 < 30)


def test_what_comes_while_rows_age_is_neither_lost_nor_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One town ages at once; the other a step at a time, and between any two it is told of a second, and looked at."""
    monkeypatch.setattr(settling, "_PINNED_AT_ONCE", 2)
    at_once, stepped = Town(), Town()
    second = steps = 0
    shown: dict[tuple[str, str], int] = {}
    while second < SECONDS:
        now = second
        at_once.world.estate.age(ns(now))
        for step in stepped.world.estate.ageing(ns(now)):
            steps += step is Step.ALONE
            if second < now + 5:
                for town in (at_once, stepped):
                    town.hear(second)
                second += 1
            if now % 20 == 15 and steps % 4 == 0:
                shown = stepped.world.requests(second, ALL_SECONDS)
                assert shown == at_once.world.requests(second, ALL_SECONDS)
        while second < now + 5:
            for town in (at_once, stepped):
                town.hear(second)
            second += 1
    for window in (60, 300):
        assert stepped.world.topology(second, window) == at_once.world.topology(second, window)
    assert sum(shown.values()) > SECONDS
    assert steps > 2 * SECONDS / 5, "no row asked whose it was"


def test_a_checkpoint_says_what_was_known_when_it_was_taken_whenever_it_is_written() -> None:
    town = Town()
    for second in range(100):
        town.hear(second)
        if second % 5 == 4:
            town.world.estate.age(ns(second))
    kept = town.world.estate.checkpoint()
    before = kept.content()
    known = town.world.topology(100)
    for second in range(100, 130):
        agent = town.agents[second % 4]
        agent.told(town.shop if second % 4 == 1 else agent.unit(f"new{second}"), f"s{second}.example.com", "192.0.2.9")
        agent.calls(agent.unit(f"new{second}"), f"192.0.2.{second}", 80, 1)
        town.hear(second)
    town.world.estate.age(ns(130))
    town.world.topology(130)
    assert kept.content() == before
    restored = Estate.restore(town.world.settings, before)
    assert restored.topology(300 * SECOND_NS, ns(100)) == known
