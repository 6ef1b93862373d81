"""Flows without a row within retention cost no snapshot anything, and are what they were when they come back."""

import time

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.ends import Resolver
from tests.unit.aggregator.agents import World, ns

PAIR = ("alpha/web", "beta/shop")
MANY = 20_000


def test_flows_of_long_ago_are_not_resolved_again() -> None:
    world = World(retention_seconds=600.0)
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    for at in range(MANY):
        alpha.calls(alpha.unit("web"), f"192.0.{at // 250}.{at % 250}", 80, 1)
    alpha.tells()
    assert len(world.topology().edges) == MANY
    spent = []
    for second in (2000, 2010, 2020):
        alpha.calls(alpha.unit("web"), "10.0.0.2", second, 1)
        beta.listens(beta.unit("shop"), "10.0.0.2", second)
        for agent in (alpha, beta):
            agent.tells(second, second + 1)
        world.estate.age(ns(second + 1))
        started = time.thread_time()
        topology = world.topology(second + 2)
        spent.append(time.thread_time() - started)
        assert {(edge.source, edge.target) for edge in topology.edges} == {PAIR}
    assert min(spent) < 0.05


def test_a_flow_that_comes_back_is_resolved_as_things_are_then() -> None:
    world = World(retention_seconds=600.0)
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    alpha.calls(alpha.unit("web"), "10.0.0.9", 80, 1)
    alpha.tells()
    assert [edge.target for edge in world.topology().edges] == ["10.0.0.9"]
    world.estate.age(ns(2000))
    assert world.edges(2001) == {}
    beta.listens(beta.unit("shop"), "10.0.0.9", 80, since=2000)
    beta.tells(2000, 2001)
    assert world.edges(2002) == {}
    alpha.calls(alpha.unit("web"), "10.0.0.9", 80, 5)
    alpha.tells(2002, 2003)
    assert world.requests(2004) == {PAIR: 5}
    assert world.nodes(2004)["beta/shop"].kind == pb.NODE_KIND_UNIT


def test_while_nothing_is_new_nothing_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 1)
    alpha.tells()
    resolved = []
    resolve = Resolver.resolve

    def counted(*arguments: object) -> object:
        resolved.append(arguments)
        return resolve(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Resolver, "resolve", counted)
    for second in range(2, 6):
        world.topology(second)
        alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 1)
        alpha.tells(second, second + 1)
    assert len(resolved) == 1


def test_a_batch_of_many_times_long_ago_takes_no_time() -> None:
    world = World()
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.tells()
    for at in range(MANY):
        alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 1)
        alpha.flows[-1]["bucket"] = alpha.requests[-1]["bucket"] = at
    batch = alpha.batch(-MANY * 60, -MANY * 60 + 1)
    batch.sent.CopyFrom(alpha.stamp(1))
    for at in range(1, MANY):
        bucket = batch.buckets.add()
        getattr(bucket, "from").CopyFrom(alpha.stamp((at - MANY) * 60))
        bucket.to.CopyFrom(alpha.stamp((at - MANY) * 60 + 1))
    world.deliver(alpha, batch, 1)
    started = time.thread_time()
    world.estate.age(ns(30))
    assert time.thread_time() - started < 1
    assert world.requests(31, 3900.0) == {("alpha/web", "192.0.2.7"): 65}
