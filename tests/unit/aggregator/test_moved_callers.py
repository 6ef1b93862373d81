"""An address that changes hands while both holders ask a Service: each has its own requests, and none counts twice."""

import pytest

from aggregator.resolve.podnames import PodName
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.objects import endpoints, port, service

X, API1, API2, VIP = "10.244.1.9", "10.244.2.6", "10.244.2.7", "10.96.0.7"
API = service("api", VIP, port(80, 8080))
BLUE, GREEN = "shop/pod/blue", "shop/pod/green"
STABLE, CANARY = "shop/deployment/api", "shop/deployment/canary"


def part(uid: str, kind: str, workload: str) -> PodName:
    return PodName(uid, "shop", kind, workload, f"{workload}-{uid}", "", "n1")


class Town:
    """X is blue's, then green's, on one host; both call api on another one, by its Service or its address."""

    def __init__(self, second: str = "api") -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", "10.0.0.1"), self.world.agent("beta", "10.0.0.2")
        named = [part("blue", "pod", "blue"), part("green", "pod", "green")]
        self.world.estate.pods.learn([*named, part("a1", "deployment", "api"), part("a2", "deployment", second)])
        self.world.estate.services.learn([API, endpoints("api", 8080, [API1, API2])], (), ns(0))
        self.blue = self.alpha.pod("blue", X)
        self.api1, self.api2 = self.beta.pod("a1", API1), self.beta.pod("a2", API2)

    def green(self, since: float) -> int:
        """The claim of blue ends when its agent looks."""
        return self.alpha.pod("green", X, since)

    def ask(self, caller: int, first: int, second: int, peer: str = VIP, port: int = 80) -> None:
        self.alpha.calls(caller, peer, port, first + second, local=X)
        for api, own, count in ((self.api1, API1, first), (self.api2, API2, second)):
            if count:
                self.beta.serves(api, X, 8080, count, local=own)

    def tell(self, begin: float, end: float) -> None:
        for agent in (self.alpha, self.beta):
            agent.tells(begin, end)


@pytest.mark.parametrize("canary", [False, True])
def test_two_callers_one_after_the_other_are_told_apart(canary: bool) -> None:
    town = Town("canary" if canary else "api")
    town.ask(town.blue, 30, 10)
    town.tell(0, 1)
    town.ask(town.green(1.2), 5, 7)
    town.tell(8, 9)
    for second in (10, 20, 90, 250):
        town.world.estate.age(ns(second))
        expected = {(BLUE, STABLE): 30, (BLUE, CANARY): 10, (GREEN, STABLE): 5, (GREEN, CANARY): 7}
        if not canary:
            expected = {(BLUE, STABLE): 40, (GREEN, STABLE): 12}
        assert town.world.requests(second) == expected


def test_two_callers_within_a_moment_are_told_apart_by_their_own_rows() -> None:
    town = Town()
    town.ask(town.blue, 30, 10)
    town.ask(town.green(0.5), 5, 7)
    town.tell(0, 1)
    for second in (2, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {(BLUE, STABLE): 40, (GREEN, STABLE): 12}


def test_which_of_two_callers_within_a_moment_met_which_workload_nobody_can_tell() -> None:
    """But nobody counts twice, and nobody has what the other one did."""
    town = Town("canary")
    town.ask(town.blue, 30, 10)
    town.ask(town.green(0.5), 5, 7)
    town.tell(0, 1)
    for second in (20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {(X, STABLE): 35, (X, CANARY): 17}


def test_the_same_caller_by_the_service_and_by_address_counts_once() -> None:
    town = Town("canary")
    town.ask(town.blue, 30, 10)
    town.tell(0, 1)
    green = town.green(1.2)
    town.ask(green, 5, 7)
    town.ask(green, 3, 0, API1, 8080)
    town.tell(8, 9)
    for second in (10, 20, 90, 250):
        town.world.estate.age(ns(second))
        assert town.world.requests(second) == {
            (BLUE, STABLE): 30,
            (BLUE, CANARY): 10,
            (GREEN, STABLE): 8,
            (GREEN, CANARY): 7,
        }
