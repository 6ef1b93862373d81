"""Windows, ageing and blind intervals: what a number is about, and when nobody was there to count."""

from collections import Counter

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import SECOND_NS
from tests.unit.aggregator.agents import BEGIN, Agent, World, ns

PAIR = ("alpha/web", "192.0.2.7")


@pytest.fixture
def world() -> World:
    return World()


def call(agent: Agent, count: int, begin: float, end: float, at: float | None = None) -> None:
    agent.calls(agent.unit("web"), "192.0.2.7", 80, count, bytes_sent=count * 10)
    agent.tells(begin, end, at)


def second(stamp: Timestamp) -> float:
    return (stamp.ToNanoseconds() - BEGIN * 10**9) / 10**9


def blind(world: World, now: float) -> list[tuple[float, float, str]]:
    (host,) = world.topology(now).hosts
    return [(second(getattr(one, "from")), second(one.to), one.reason) for one in host.blind]


def test_a_window_has_what_ended_in_it_and_says_where_it_begins(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 1, 0, 1)
    call(alpha, 20, 8, 9)
    assert world.requests(10, window=20) == {PAIR: 21}
    assert world.requests(10, window=5) == {PAIR: 20}
    assert world.requests(30, window=5) == {}
    window = world.topology(10, window=5).window
    assert (second(getattr(window, "from")), second(window.to)) == (5, 10)


def test_what_was_delivered_late_makes_no_rate_jump(world: World) -> None:
    """Three requests a second; what waited for a minute came as one bucket that ends within the window."""
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 180, 0, 60)
    call(alpha, 9, 60, 63, at=63)
    for window in (5, 10, 30, 300):
        topology = world.topology(63, window=window)
        seconds = second(topology.window.to) - second(getattr(topology.window, "from"))
        assert sum(edge.requests for edge in topology.edges) <= 3 * seconds


def test_what_has_aged_is_shown_in_whole_slots_and_the_window_says_so(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    for begin in range(0, 600, 5):
        call(alpha, 1, begin, begin + 5)
        world.estate.age(ns(begin + 5))
    topology = world.topology(600, window=100)
    covered = second(topology.window.to) - second(getattr(topology.window, "from"))
    assert 100 <= covered < 160
    assert sum(edge.requests for edge in topology.edges) == covered // 5


def test_what_is_older_than_the_retention_goes(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 1, 0, 1)
    for now in (100, 3900, 4100):
        world.estate.age(ns(now))
    assert world.requests(4100, window=4100) == {}
    # When the edge was first seen is known for longer.
    call(alpha, 1, 5000, 5001)
    assert second(world.edges(5002)[PAIR].first_seen) == 5000
    call(alpha, 1, 5001, 5002)
    world.estate.age(ns(9000))
    call(alpha, 1, 9000, 9001)
    assert second(world.edges(9002)[PAIR].first_seen) == 5000


counted = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 3600), st.integers(1, 1000), st.integers(0, 2)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(counted, st.lists(st.integers(0, 4000), max_size=30))
def test_ageing_keeps_every_sum(rows: list[tuple[int, int, int, int]], aged_at: list[int]) -> None:
    world = World(retention_seconds=20_000.0)
    agents = [world.agent(name) for name in ("alpha", "beta", "gamma")]
    sums: Counter[str] = Counter()
    for begin, length, count, who in sorted(rows, key=lambda row: row[0] + row[1]):
        call(agents[who], count, begin, begin + length)
        sums[f"{agents[who].host}/web"] += count
        for now in aged_at:
            if begin + length <= now:
                world.estate.age(ns(now))
    for now in (7000, 7100, 8000):
        edges = world.edges(now, window=15_000)
        assert {pair[0]: edge.requests for pair, edge in edges.items()} == sums
        assert {pair[0]: edge.bytes_sent for pair, edge in edges.items()} == {k: 10 * v for k, v in sums.items()}
        world.estate.age(ns(now))


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_the_time_between_two_starts_of_an_agent_is_blind(world: World, busy: bool) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    for begin in range(3):
        if busy:
            alpha.calls(alpha.unit("web"), "192.0.2.7", 80, 1)
        alpha.tells(begin, begin + 1)
    assert blind(world, 3) == []
    alpha.restart()
    alpha.tells(10, 11)
    alpha.tells(11, 12)
    assert blind(world, 12) == [(3, 10, "agent restarted")]


def test_a_status_alone_covers_a_quiet_hosts_time(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    for at in (1, 20, 40):
        batch = alpha.batch(at - 1, at)
        del batch.buckets[:]
        if not alpha.greeted:
            world.estate.hello(alpha.hello(at), ns(at))
            alpha.greeted = True
        world.deliver(alpha, batch, at)
    alpha.restart()
    batch = alpha.batch(50, 51)
    del batch.buckets[:]
    world.estate.hello(alpha.hello(51), ns(51))
    world.deliver(alpha, batch, 51)
    assert blind(world, 52) == [(40, 51, "agent restarted")]


def test_what_an_agent_says_of_its_own_blindness_is_kept_once(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    for begin in range(2):
        batch = alpha.batch(begin, begin + 1)
        one = batch.host_status.blind.add(reason="no rights")
        getattr(one, "from").CopyFrom(alpha.stamp(0))
        one.to.CopyFrom(alpha.stamp(0.5))
        if not begin:
            world.estate.hello(alpha.hello(1), ns(1))
        world.deliver(alpha, batch, begin + 1)
    assert blind(world, 2) == [(0, 0.5, "no rights")]


def test_a_silent_host_is_stale_and_one_that_speaks_again_is_not(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1", interval=10.0)
    alpha.tells(0, 1)
    assert [world.topology(now).hosts[0].stale for now in (2, 31, 32)] == [False, False, True]
    alpha.tells(1, 40)
    assert not world.topology(41).hosts[0].stale


def test_losses_add_up_by_reason(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    world.estate.hello(alpha.hello(0), ns(0))
    for begin, count in ((0, 3), (1, 4)):
        batch = alpha.batch(begin, begin + 1)
        batch.host_status.lost.add(reason="ring_full", count=count)
        batch.host_status.dropped.add(reason="routes", count=count * 10)
        world.deliver(alpha, batch, begin + 1)
    (host,) = world.topology(2).hosts
    assert (dict(host.lost), dict(host.dropped)) == ({"ring_full": 7}, {"routes": 70})


@pytest.mark.parametrize("skew", [-4000.0, -1.5, 0.0, 3600.0])
def test_an_agents_clock_is_put_right(world: World, skew: float) -> None:
    alpha = world.agent("alpha", "10.0.0.1", skew=skew)
    alpha.told(alpha.unit("web"), "api.pay.test", "192.0.2.7", at=0.5)
    call(alpha, 3, 0, 1)
    edge = world.edges(2)["alpha/web", "api.pay.test"]
    assert (second(edge.first_seen), second(edge.last_seen), edge.requests) == (0, 1, 3)


@pytest.mark.parametrize("step", [-90_000.0, -20.0, 20.0, 90_000.0])
def test_a_clock_that_is_set_under_way_moves_nothing_in_time(world: World, step: float) -> None:
    alpha = world.agent("alpha", "10.0.0.1", skew=3.0)
    call(alpha, 3, 0, 1)
    alpha.skew += step
    call(alpha, 4, 1, 2)
    call(alpha, 5, 2, 3)
    edge = world.edges(4, window=3.5)[PAIR]
    assert (second(edge.last_seen), edge.requests) == (3, 12)
    assert world.requests(8, window=5) == {}


def test_a_batch_that_was_long_under_way_does_not_spoil_the_clock(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 3, 0, 1)
    call(alpha, 4, 1, 2, at=4)
    assert second(world.edges(5)[PAIR].last_seen) == 2
    call(alpha, 5, 2, 3, at=30)
    call(alpha, 6, 30, 31)
    assert second(world.edges(32)[PAIR].last_seen) == 31


def test_what_waited_in_a_queue_comes_late_and_stays_where_it_was(world: World) -> None:
    """An aggregator that stood still for a minute reads all at once what was sent meanwhile."""
    alpha = world.agent("alpha", "10.0.0.1", skew=-100.0)
    call(alpha, 1, 0, 1)
    for second in range(1, 5):
        batch = late(alpha, second)
        world.deliver(alpha, batch, 61)
    assert second_of_last(world, 61.5) == 5
    call(alpha, 1, 61, 62)
    assert second_of_last(world, 62.5) == 62
    assert world.requests(62.5, window=57) == {PAIR: 1}


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_the_aggregators_own_clock_is_followed_after_a_second(world: World, step: float) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 1, 0, 1)
    for second in range(1, 5):
        world.deliver(alpha, late(alpha, second), second + 1 + step)
    assert second_of_last(world, 5 + step) == (5 + step if step > 0 else 1)
    assert world.requests(5 + step, window=2.5)[PAIR] >= 2


@pytest.mark.parametrize(("skew", "was_set"), [(0.0, 0.0), (-7.5, 0.0), (120.0, 0.0), (0.0, 3600.0), (30.0, -3600.0)])
def test_how_far_a_hosts_clock_is_ahead_is_shown(world: World, skew: float, was_set: float) -> None:
    alpha = world.agent("alpha", "10.0.0.1", skew=skew)
    world.estate.hello(alpha.hello(0), ns(0))
    batch = alpha.batch(0, 1)
    batch.host_status.clock_set.FromNanoseconds(round(was_set * SECOND_NS))
    world.deliver(alpha, batch, 1)
    assert world.topology(2).hosts[0].clock_ahead_seconds == skew + was_set


def late(agent: Agent, begin: int) -> flow.Batch:
    agent.calls(agent.unit("web"), "192.0.2.7", 80, 1)
    return agent.batch(begin, begin + 1)


def second_of_last(world: World, now: float) -> float:
    return second(world.edges(now)[PAIR].last_seen)


def test_the_first_bucket_of_a_start_need_not_be_the_oldest(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.tells(0, 1)
    alpha.restart()
    batch = alpha.batch(20, 21)
    older = batch.buckets.add()
    getattr(older, "from").CopyFrom(alpha.stamp(10))
    older.to.CopyFrom(alpha.stamp(20))
    world.estate.hello(alpha.hello(21), ns(21))
    world.deliver(alpha, batch, 21)
    assert blind(world, 22) == [(1, 10, "agent restarted")]


@pytest.mark.parametrize("aged_at", [None, 50, 120])
def test_what_only_ends_is_no_sign_of_life(world: World, aged_at: float | None) -> None:
    """A server that is gone is told so again and again; that it lived last is when somebody said something."""
    alpha = world.agent("alpha", "10.0.0.1")
    call(alpha, 3, 0, 1)
    for begin in (5, 11, 21):
        alpha.calls(alpha.unit("web"), "192.0.2.7", 80, connections=0, closed=1, retransmits=4)
        alpha.tells(begin, begin + 1)
        if aged_at is not None:
            world.estate.age(ns(aged_at))
    edge = world.edges(aged_at or 23)[PAIR]
    assert (second(edge.first_seen), second(edge.last_seen)) == (0, 1)
    assert (edge.requests, edge.retransmits, edge.active_connections) == (3, 12, 0)
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, connections=0, refused=1)
    alpha.tells(30, 31)
    assert second_of_last(world, 32) == 31


def test_an_edge_of_which_only_ends_are_known_has_their_time(world: World) -> None:
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.calls(alpha.unit("web"), "192.0.2.7", 80, connections=0, closed=1)
    alpha.tells(3, 4)
    edge = world.edges(5)[PAIR]
    assert (second(edge.first_seen), second(edge.last_seen)) == (3, 4)
