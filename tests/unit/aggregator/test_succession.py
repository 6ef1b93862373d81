"""An agent that goes on from the one before it on its host: no gap is shown, nothing begins again."""

import pytest
from plumbline.v1 import topology_pb2 as pb

from tests.unit.aggregator.agents import Agent, World, ns


def host(world: World, now: float) -> pb.Host:
    return world.estate.topology(300 * 10**9, ns(now)).hosts[0]


def succeed(world: World, agent: Agent, at: float, **said: object) -> None:
    """The next agent of that host says hello; nothing of it has come yet."""
    agent.restart()
    hello = agent.hello(at)
    for field, value in said.items():
        setattr(hello, field, value)
    world.estate.hello(hello, ns(at))
    agent.greeted = True


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("late", [0.0, 0.4], ids=["at once", "after a slow way"])
def test_no_gap_is_shown_and_connections_stay_open(world: World, late: float) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 2, connections=2)
    alpha.tells(0, 1)
    succeed(world, alpha, 3 + late, continues_epoch=1)
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 3, connections=0)
    alpha.tells(1, 4, 4 + late)
    assert list(host(world, 5).blind) == []
    edge = world.edges(5)["alpha/web", "192.0.2.7"]
    assert (edge.requests, edge.connections, edge.active_connections) == (5, 2, 2)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "agent restarted"),
        ({"continues_epoch": 99}, "agent restarted"),
        ({"continues_epoch": 1, "boot_id": "another"}, "agent restarted"),
        ({"gap_reason": "upgraded; another layout"}, "upgraded; another layout"),
    ],
    ids=["by itself", "from one that is not known", "of another machine", "with a reason"],
)
def test_else_the_gap_is_blind_and_says_why(world: World, said: dict[str, object], reason: str) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 2, connections=2)
    alpha.tells(0, 1)
    succeed(world, alpha, 3, **said)
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 3, connections=0)
    alpha.tells(2, 4)
    (blind,) = host(world, 5).blind
    assert (getattr(blind, "from").ToNanoseconds(), blind.to.ToNanoseconds(), blind.reason) == (ns(1), ns(2), reason)
    edge = world.edges(5)["alpha/web", "192.0.2.7"]
    assert (edge.requests, edge.active_connections) == (5, 0)
