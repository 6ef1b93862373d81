"""Who had an address when: the same answers as by looking at every claim, and in time however many there are."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import FOREVER_NS, SECOND_NS, Owned
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place
from aggregator.resolve.timeline import Timeline
from tests.unit.aggregator.agents import World, address, ns

LATE_NS = 15 * SECOND_NS
HERE = Place(0, "default", 0)
ADDRESS = address("10.0.0.1")
MANY = 20_000


def claim(endpoint: int, begin: int, end: int = FOREVER_NS, port: int = 80, **more: int) -> Owned:
    fields = {"transport": flow.TRANSPORT_TCP, "realm": flow.REALM_CLUSTER, "network_namespace": 1, **more}
    return Owned(endpoint, ADDRESS, port, listening=port > 0, from_ns=begin, to_ns=end, begin_ns=begin, **fields)


def by_looking(claims: Sequence[Owned], time_ns: int) -> int | None:
    ordered = sorted(claims, key=lambda one: one.from_ns)
    held = [one for one in ordered if one.from_ns <= time_ns < one.to_ns]
    late = [one for one in ordered if 0 < one.from_ns - time_ns <= LATE_NS]
    return held[-1].endpoint if held else late[0].endpoint if late else None


SPANS = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
    lambda span: (min(span) * SECOND_NS, FOREVER_NS if max(span) > 35 else max(span) * SECOND_NS)
)


@given(st.lists(SPANS, max_size=12))
def test_a_timeline_says_what_looking_at_every_claim_says(spans: list[tuple[int, int]]) -> None:
    claims = [claim(endpoint, *span) for endpoint, span in enumerate(spans)]
    timeline = Timeline(claims)
    for half in range(-40, 100):
        assert timeline.at(half * SECOND_NS // 2) == by_looking(claims, half * SECOND_NS // 2)
    assert timeline.moved == (len(claims) > 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), SPANS), max_size=30), st.integers(0, 50))
def test_claims_that_end_close_and_are_forgotten_leave_no_trace(
    told: list[tuple[int, int, tuple[int, int]]], forgotten: int
) -> None:
    """The same claim may come again with another end; what is left is what a plain list would have."""
    ownership = Ownership(lambda endpoint: Place(endpoint, "default", 0))
    plain: dict[tuple[int, int, int], Owned] = {}
    for endpoint, port, (begin, end) in told:
        one = claim(endpoint, begin, end, port)
        ownership.add(one)
        plain[endpoint, port, begin] = one
    ownership.close(1, 20 * SECOND_NS)
    for key, one in plain.items():
        if one.endpoint == 1 and one.to_ns == FOREVER_NS:
            plain[key] = claim(1, one.from_ns, max(20 * SECOND_NS, one.from_ns), one.port)
    ownership.forget(forgotten * SECOND_NS)
    left = [one for one in plain.values() if one.to_ns >= forgotten * SECOND_NS]
    assert sorted(ownership.claims(), key=repr) == sorted(left, key=repr)
    assert len(ownership) == len(left)
    for second in range(0, 45, 5):
        now_ns = second * SECOND_NS
        listening: dict[int, set[int]] = {}
        for one in left:
            if one.port and one.from_ns <= now_ns < one.to_ns:
                listening.setdefault(one.endpoint, set()).add(one.port)
        assert ownership.listening(now_ns) == listening
        found = ownership.owner_of_all_ports(ADDRESS, now_ns, HERE)
        whole = [one for one in left if not one.port]
        # Of those that began at one moment, the one that was told last; a plain list knows no such order.
        assert found == by_looking(whole, now_ns) or len({one.from_ns for one in whole}) < len(whole)


@pytest.mark.parametrize("port_step", [0, 1], ids=["one port", "a port each"])
def test_twenty_thousand_claims_of_one_address_are_taken_at_once(port_step: int) -> None:
    ownership = Ownership(lambda _: HERE)
    claims = [claim(at % 50, at * SECOND_NS, (at + 1) * SECOND_NS, 1000 + port_step * at) for at in range(MANY)]
    started = time.thread_time()
    for one in claims:
        ownership.add(one)
    for at in range(0, MANY, 10):
        port = 1000 + port_step * at
        assert ownership.owner(ADDRESS, port, flow.TRANSPORT_TCP, at * SECOND_NS, HERE) == at % 50
    ownership.close(0, 0)
    ownership.forget(MANY // 2 * SECOND_NS)
    assert len(ownership) == MANY // 2 + 1
    assert time.thread_time() - started < 2


def test_a_small_graph_beside_many_listeners_is_drawn_in_milliseconds() -> None:
    world = World()
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    for at in range(MANY):
        beta.listens(beta.unit(f"test-{at % 50}"), "10.0.0.2", 1024 + at, until=1.5)
    for at in range(7):
        alpha.calls(alpha.unit("web"), "10.0.0.2", 1024 + at, 3)
    beta.tells()
    alpha.tells()
    assert {edge.target for edge in world.topology().edges} == {f"beta/test-{at}" for at in range(7)}
    spent = []
    for at in range(5):
        beta.listens(beta.unit("test-1"), "10.0.0.2", 9, since=1 + at)
        beta.tells(1, 2)
        started = time.thread_time()
        world.topology()
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.05


def test_an_address_is_nobody_elses_until_an_agent_that_starts_again_has_claimed_it() -> None:
    """A client's agent may tell of calls between the hello and the first claims; an outage may be of any length."""
    world = World()
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    beta.listens(beta.unit("shop"), "10.0.0.2", 80)
    beta.tells()
    for begin, restarted in ((0, False), (100, False), (200, True), (202, False)):
        if restarted:
            beta.restart()
            world.estate.hello(beta.hello(begin), ns(begin))
        alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 5)
        alpha.tells(begin, begin + 1)
        assert {pair[1] for pair in world.requests(begin + 2)} == {"beta/shop"}
    beta.listens(beta.unit("shop"), "10.0.0.2", 80)
    beta.tells(203, 204)
    assert world.requests(300) == {("alpha/web", "beta/shop"): 20}


def test_an_agent_that_starts_again_ends_what_its_host_claimed_and_nothing_else() -> None:
    world = World()
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    for agent, own in ((alpha, "10.0.0.1"), (beta, "10.0.0.2")):
        agent.listens(agent.unit("shop"), own, 80)
        agent.tells()
    alpha.restart()
    alpha.tells(2, 3)
    assert set(world.nodes(4)) == {"alpha/shop", "beta/shop"}  # it may claim it again
    assert set(world.nodes(20)) == {"beta/shop"}
    assert world.estate.held()["claims"] == 2
    world.estate.age(ns(10_000))
    assert world.estate.held()["claims"] == 1
