"""Between an outbox and an aggregator's disk nothing is lost or doubled, however often the stream breaks."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1.columns import unpack_flows, unpack_requests
from plumbline.v1.flow_pb2 import Batch, DnsAnswer, FlowDefinition, LocalEndpoint, NameDefinition, Ownership

from agent.coalescing import Waiting
from agent.outbox import FORGOTTEN, MOST_IN_FLIGHT, MOST_NOTES, Outbox
from agent.packing import Status, timestamp
from tests.unit.agent.rows import SECOND_NS, portion, total


class Aggregator:
    """The rule of the contract: a number that is on disk is dropped; ids mean what was defined before."""

    def __init__(self) -> None:
        self.lose_memory()

    def lose_memory(self) -> None:
        self.remembered = 0
        self.defined: set[int] = set()
        self.counted: Counter[int] = Counter()
        self.requests = 0
        self.lost: Counter[str] = Counter()
        self.until_ns = 0

    def receive(self, raw: bytes) -> int:
        batch = Batch.FromString(raw)
        if batch.sequence > self.remembered:
            self.remembered = batch.sequence
            self.defined |= {one.id for one in batch.flow_definitions}
            flows = unpack_flows(batch.flows)
            assert set(flows["flow"].tolist()) <= self.defined
            assert set(flows["bucket"].tolist()) <= set(range(len(batch.buckets)))
            for flow, connections in zip(flows["flow"].tolist(), flows["connections"].tolist(), strict=True):
                self.counted[flow] += connections
            self.requests += total(unpack_requests(batch.requests), "count")
            self.lost.update({one.reason: one.count for one in batch.host_status.lost})
        return self.remembered

    def lose_definitions(self) -> None:
        """What a damaged disk does to it, though it knows every number."""
        self.defined = set()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(1, 6), max_size=5), st.integers(0, 3)),
        st.just(("send",)),
        st.tuples(st.just("deliver"), st.integers(0, 5)),
        st.tuples(st.just("acknowledge"), st.booleans()),
        st.just(("break",)),
        st.just(("damage",)),
        st.tuples(st.just("wait"), st.integers(1, 4000)),
    ),
    max_size=60,
)


class Wire:
    """Batches and acknowledgements on their way, in order, until the stream breaks."""

    def __init__(self, outbox: Outbox, aggregator: Aggregator) -> None:
        self.outbox, self.aggregator = outbox, aggregator
        self.sent: list[bytes] = []
        self.acknowledged: list[int] = []

    def send(self, now_ns: int) -> None:
        while (batch := self.outbox.cut(now_ns)) is not None:
            self.sent.append(batch.SerializeToString())
        # One more: definitions that were said again.
        assert self.outbox.unacknowledged <= MOST_IN_FLIGHT + 1

    def deliver(self, most: int) -> None:
        for _ in range(min(most, len(self.sent))):
            self.acknowledged.append(self.aggregator.receive(self.sent.pop(0)))

    def acknowledge(self, all_of_them: bool) -> None:
        for _ in range(len(self.acknowledged) if all_of_them else min(1, len(self.acknowledged))):
            self.outbox.acknowledge(self.acknowledged.pop(0))

    def break_and_resume(self) -> None:
        assert self.outbox.resume(self.aggregator.remembered)
        self.acknowledged = []
        self.sent = [batch.SerializeToString() for batch in self.outbox.in_flight]


@settings(max_examples=300)
@given(steps)
def test_no_break_loses_or_doubles_a_count(steps: list[Any]) -> None:
    outbox, aggregator = Outbox(waiting=Waiting(30)), Aggregator()
    wire = Wire(outbox, aggregator)
    put: Counter[int] = Counter()
    requests = lost = 0
    now_ns = SECOND_NS
    defined: set[int] = set()
    for step in steps:
        now_ns += SECOND_NS
        match step:
            case ("add", flows, count):
                new = set(flows) - defined
                defined |= new
                outbox.note("flow_definitions", [FlowDefinition(id=flow, port=1) for flow in sorted(new)])
                part = portion(now_ns - SECOND_NS, now_ns, [{"flow": flow, "connections": 1} for flow in flows],
                               [{"flow": flow, "count": count} for flow in flows])  # fmt: skip
                status = Status(now_ns)
                status.lost["ring_full"] += count
                outbox.add(part, status)
                put.update(flows)
                requests += count * len(flows)
                lost += count
            case ("send",):
                wire.send(now_ns)
            case ("deliver", most):
                wire.deliver(most)
            case ("acknowledge", every):
                wire.acknowledge(every)
            case ("break",):
                wire.break_and_resume()
            case ("damage",):
                aggregator.lose_definitions()
                wire.break_and_resume()
                everything = {"flow_definitions": [FlowDefinition(id=flow, port=1) for flow in sorted(defined)]}
                outbox.restate(aggregator.remembered, everything, now_ns)
                wire.sent = [batch.SerializeToString() for batch in outbox.in_flight]
            case ("wait", seconds):
                now_ns += seconds * SECOND_NS
    wire.break_and_resume()
    while not outbox.empty or wire.sent:
        wire.send(now_ns)
        wire.deliver(100)
        wire.acknowledge(True)
    outbox.add(portion(now_ns, now_ns + 1), Status(now_ns + 10 * SECOND_NS))
    wire.send(now_ns + 10 * SECOND_NS)
    wire.deliver(100)
    assert aggregator.counted == put
    assert aggregator.requests == requests
    assert +aggregator.lost == ({"ring_full": lost} if lost else {})


def test_an_aggregator_without_memory_is_told_everything_again_before_the_rest() -> None:
    outbox, aggregator = Outbox(), Aggregator()
    flow = FlowDefinition(id=7, port=80)
    outbox.note("flow_definitions", [flow])
    outbox.add(portion(0, 1, [{"flow": 7, "connections": 1}]), Status(1))
    first = outbox.cut(1)
    assert first is not None
    outbox.acknowledge(aggregator.receive(first.SerializeToString()))
    outbox.add(portion(1, 2, [{"flow": 7, "connections": 2}]), Status(2))
    assert outbox.cut(2) is not None

    aggregator.lose_memory()
    assert not outbox.resume(aggregator.remembered)
    outbox.restate(aggregator.remembered, {"flow_definitions": [flow], "endpoints": [LocalEndpoint(id=1)]}, 3)
    numbers = [batch.sequence for batch in outbox.in_flight]
    assert numbers == sorted(numbers)
    outbox.add(portion(2, 3), Status(20 * SECOND_NS))
    assert numbers[0] > 2
    for batch in outbox.in_flight:
        outbox.acknowledge(aggregator.receive(batch.SerializeToString()))
    assert outbox.empty
    assert aggregator.counted == {7: 2}
    # What was acknowledged and is gone is said by its number.
    said = outbox.cut(20 * SECOND_NS)
    assert said is not None
    outbox.acknowledge(aggregator.receive(said.SerializeToString()))
    assert aggregator.lost == {FORGOTTEN: 1}
    assert outbox.resume(aggregator.remembered)


def test_definitions_that_do_not_fit_go_before_the_rows_that_need_them() -> None:
    outbox, aggregator = Outbox(), Aggregator()
    flows = range(1, 30_001)
    outbox.note("names", [NameDefinition(id=one, text="x" * 100) for one in range(3, 20_000)])
    outbox.note("flow_definitions", [FlowDefinition(id=flow, local_address=bytes(16)) for flow in flows])
    outbox.add(portion(0, 1, [{"flow": flow, "connections": 1} for flow in flows]), Status(1))
    batches = 0
    while (batch := outbox.cut(1)) is not None:
        raw = batch.SerializeToString()
        assert len(raw) < 4_000_000
        outbox.acknowledge(aggregator.receive(raw))
        # Whoever hears that everything until a time is there must have it.
        assert batch.HasField("host_status") == (outbox.waiting.rows == 0 and outbox.empty)
        batches += 1
    assert batches > 3
    assert aggregator.counted.total() == 30_000


def test_an_idle_host_says_that_it_lives_and_not_more_often() -> None:
    outbox = Outbox(heartbeat_ns=2 * SECOND_NS)
    sent = []
    for second in range(100, 121):
        outbox.add(portion(0, 1), Status(second * SECOND_NS))
        batch = outbox.cut(second * SECOND_NS)
        if batch is not None:
            sent.append(second)
            assert batch.HasField("host_status")
            assert batch.ByteSize() < 60
            outbox.acknowledge(batch.sequence)
    assert sent == list(range(100, 121, 2))


def test_own_reports_wait_for_the_heartbeat() -> None:
    outbox = Outbox(heartbeat_ns=2 * SECOND_NS)
    outbox.add(portion(0, 1, [{"flow": 1}]), Status(10 * SECOND_NS))
    assert outbox.cut(10 * SECOND_NS) is not None
    outbox.add(portion(1, 2, [{"flow": 1}]), Status(11 * SECOND_NS), quiet=True)
    assert outbox.cut(11 * SECOND_NS) is None
    outbox.add(portion(2, 3, [{"flow": 1}]), Status(11 * SECOND_NS))
    assert outbox.cut(11 * SECOND_NS) is not None


def test_a_range_that_closes_replaces_its_opening_and_answers_are_bounded() -> None:
    outbox = Outbox()
    opened = Ownership(endpoint=1, address=bytes(16), port=80)
    getattr(opened, "from").FromNanoseconds(5)
    closed = Ownership(endpoint=1, address=bytes(16), port=80, to=timestamp(9))
    getattr(closed, "from").FromNanoseconds(5)
    outbox.note("ownerships", [opened, closed])
    outbox.note("dns_answers", [DnsAnswer(endpoint=1, name=f"{one}.example") for one in range(MOST_NOTES + 5)])
    outbox.add(portion(0, 1), Status(1))
    batch = outbox.cut(1)
    assert batch is not None
    assert list(batch.ownerships) == [closed]
    assert {one.reason: one.count for one in batch.host_status.dropped} == {"dns_answers_undelivered": 5}


@pytest.mark.parametrize("in_flight", [0, 1, MOST_IN_FLIGHT])
def test_an_outage_of_hours_costs_memory_by_flows_and_loses_nothing(in_flight: int) -> None:
    """The aggregator is away, so nothing is cut: however many batches were on their way when it went."""
    outbox = Outbox()
    for second in range(in_flight):
        outbox.add(portion(second * SECOND_NS, (second + 1) * SECOND_NS, [{"flow": 1, "closed": 1}]), Status(second))
        assert outbox.cut(second * SECOND_NS) is not None
    hours, flows = 3, 20
    most_rows = 0
    for second in range(10, hours * 3600, 10):
        rows = [{"flow": flow, "closed": 1} for flow in range(1, flows + 1)]
        outbox.add(portion(second * SECOND_NS, (second + 10) * SECOND_NS, rows), Status((second + 10) * SECOND_NS))
        most_rows = max(most_rows, outbox.waiting.rows)
    # Spans of 10 s for two minutes, of a minute for half an hour, of an hour for what is older.
    assert most_rows <= (12 + 29 + hours + 3) * flows
    waited = outbox.waiting.take(10**6)
    assert sum(total(one.flows, "closed") for one in waited) == (hours * 360 - 1) * flows
    assert all(one.span.to_ns - one.span.from_ns <= 3600 * SECOND_NS for one in waited)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.integers(1, 30)), min_size=1, max_size=12))
def test_whatever_the_order_of_outages_sums_stay_and_memory_has_a_bound(outages: list[tuple[int, bool, int]]) -> None:
    outbox, aggregator = Outbox(waiting=Waiting(500)), Aggregator()
    wire = Wire(outbox, aggregator)
    outbox.note("flow_definitions", [FlowDefinition(id=flow, port=1) for flow in range(1, 31)])
    put: Counter[int] = Counter()
    now_ns = SECOND_NS
    for seconds, is_reachable, flows in outages:
        for _ in range(min(seconds, 40)):
            step_ns = max(1, seconds // 40) * SECOND_NS
            rows = [{"flow": flow, "connections": 1} for flow in range(1, flows + 1)]
            outbox.add(portion(now_ns, now_ns + step_ns, rows), Status(now_ns + step_ns))
            now_ns += step_ns
            put.update(range(1, flows + 1))
            assert outbox.waiting.rows <= 500
            if is_reachable:
                wire.send(now_ns)
                wire.deliver(100)
                wire.acknowledge(True)
        wire.break_and_resume()
    while not outbox.empty or wire.sent:
        wire.send(now_ns)
        wire.deliver(100)
        wire.acknowledge(True)
    assert aggregator.counted == put
