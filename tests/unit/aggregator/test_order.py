"""Batches of different hosts may come in any order, and be aged at any moment: the sums are the same."""

from collections import Counter
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.aggregator.agents import Agent, World, ns

HOSTS = {"alpha": "10.0.0.1", "beta": "10.0.0.2", "gamma": "10.0.0.3"}
UNITS = ("web", "shop")
PORTS = {"web": 80, "shop": 81}
# From host and unit to host and unit, in which second, how many requests.
Call: TypeAlias = tuple[str, str, str, str, int, int]

calls = st.lists(
    st.tuples(
        st.sampled_from(sorted(HOSTS)),
        st.sampled_from(UNITS),
        st.sampled_from(sorted(HOSTS)),
        st.sampled_from(UNITS),
        st.integers(0, 3),
        st.integers(1, 50),
    ),
    max_size=12,
)


def truth(made: list[Call]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for from_host, client, to_host, server, _, count in made:
        sums[f"{from_host}/{client}", f"{to_host}/{server}"] += count
    return sums


def start(world: World) -> dict[str, Agent]:
    agents = {name: world.agent(name, own) for name, own in HOSTS.items()}
    for name, agent in agents.items():
        for unit in UNITS:
            agent.listens(agent.unit(unit), HOSTS[name], PORTS[unit])
    return agents


def count(agents: dict[str, Agent], made: list[Call], second: int, ends: str = "both") -> None:
    for from_host, client, to_host, server, at, requests in made:
        if at != second:
            continue
        caller, called = agents[from_host], agents[to_host]
        if ends != "servers":
            caller.calls(caller.unit(client), HOSTS[to_host], PORTS[server], requests)
        if ends != "clients":
            called.serves(called.unit(server), HOSTS[from_host], PORTS[server], requests, local=HOSTS[to_host])


@settings(max_examples=60, deadline=None)
@given(made=calls, order=st.permutations([(host, second) for host in HOSTS for second in range(4)]), data=st.data())
def test_any_order_of_hosts_gives_the_same_sums(
    made: list[Call], order: list[tuple[str, int]], data: st.DataObject
) -> None:
    world = World()
    agents = start(world)
    batches = {}
    for second in range(4):
        count(agents, made, second)
        for name, agent in agents.items():
            batches[name, second] = agent.batch(second, second + 1)
    for agent in agents.values():
        world.estate.hello(agent.hello(0), ns(0))
    # One host's own batches stay in their order; the others' come in between as they like.
    for name, _ in order:
        second = min(second for host, second in batches if host == name)
        assert world.deliver(agents[name], batches.pop((name, second)), 5)
        if data.draw(st.booleans(), label="aged"):
            world.estate.age(ns(5))
    for now in (6, 30, 100):
        assert world.requests(now) == truth(made)
        world.estate.age(ns(now))


@settings(max_examples=30, deadline=None)
@given(made=calls, repeated=st.lists(st.integers(0, 3), max_size=4))
def test_what_is_delivered_again_counts_once(made: list[Call], repeated: list[int]) -> None:
    world = World()
    agents = start(world)
    for second in range(4):
        count(agents, made, second)
        for name, agent in agents.items():
            batch = agent.batch(second, second + 1)
            if not second:
                world.estate.hello(agent.hello(0), ns(0))
            assert world.deliver(agent, batch, second + 1)
            assert not any(world.deliver(agent, batch, second + 1) for _ in range(repeated.count(second)))
            assert world.estate.hello(agent.hello(second + 1), ns(second + 1)) == second + 1, name
    assert world.requests(5) == truth(made)


@settings(max_examples=30, deadline=None)
@given(made=calls, ends=st.sampled_from(["clients", "servers"]))
def test_with_one_ends_words_alone_no_request_is_missing(made: list[Call], ends: str) -> None:
    world = World()
    agents = start(world)
    for second in range(4):
        count(agents, made, second, ends)
        for agent in agents.values():
            agent.tells(second, second + 1)
    assert sum(world.requests(30).values()) == sum(truth(made).values())
