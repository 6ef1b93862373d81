"""What a batch may hold: whatever is wrong is refused whole and for good, what has no room keeps its sums."""

import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import flow_pb2 as flow

from aggregator.ingest.batches import Ingest
from aggregator.ingest.decoding import check_hello, decode
from aggregator.ingest.sequences import Sequences
from aggregator.ingest.tables import Tables, Translation
from aggregator.records import Flow, HostKey, Refused
from tests.unit.aggregator.agents import Agent, World, ns

PAIR = ("alpha/web", "192.0.2.7")


@pytest.fixture
def alpha() -> Agent:
    """It has told of one request."""
    alpha = World().agent("alpha", "10.0.0.1")
    call(alpha, 1)
    alpha.tells()
    return alpha


def call(agent: Agent, count: int, **more: Any) -> None:
    agent.calls(agent.unit("web"), "192.0.2.7", 80, count, **more)


def column(name: str, value: bytes, rows: str = "flows") -> Callable[[flow.Batch], None]:
    return lambda batch: setattr(getattr(batch, rows), name, value)


def bucket_backwards(batch: flow.Batch) -> None:
    batch.buckets[0].to.seconds = 0


def late_time(batch: flow.Batch) -> None:
    batch.host_status.time.seconds = 2**40


def broken_time(batch: flow.Batch) -> None:
    batch.sent.CopyFrom(Timestamp(seconds=1, nanos=2 * 10**9))


ADDRESSES = {"local_address": bytes(16), "peer_address": bytes(16)}
WRONG: dict[str, tuple[str, Callable[[flow.Batch], object]]] = {
    "no sequence": ("sequence", lambda batch: setattr(batch, "sequence", 0)),
    "half a number": ("columns", column("connections", b"123")),
    "too short": ("columns", column("connections", b"")),
    "too long": ("columns", column("connections", bytes(16))),
    "bucket out of range": ("value", column("bucket", b"\1\0\0\0")),
    "no bucket at all": ("value", lambda batch: batch.ClearField("buckets")),
    "bucket backwards": ("bucket", bucket_backwards),
    "more than can be": ("value", column("bytes_sent", b"\xff" * 8)),
    "protocol": ("value", column("protocol", b"\x40", "requests")),
    "latency": ("value", column("latency_bucket", b"\0\2", "requests")),
    "time beyond": ("time", late_time),
    "time broken": ("time", broken_time),
    "address": ("address", lambda batch: batch.flow_definitions.add(**ADDRESSES | {"local_address": b"1"})),
    "owned address": ("address", lambda batch: batch.ownerships.add(endpoint=1, address=b"")),
    "told address": ("address", lambda batch: batch.dns_answers.add(endpoint=1, name="x", addresses=[b"1"])),
    "host's address": ("address", lambda batch: batch.host_status.addresses.append(b"1")),
    "port": ("port", lambda batch: batch.ownerships.add(endpoint=1, address=bytes(16), port=65536)),
    "fixed name": ("name", lambda batch: batch.names.add(id=2, text="mine")),
    "long name": ("text", lambda batch: batch.names.add(id=9, text="x" * 5000)),
    "loss": ("value", lambda batch: batch.host_status.lost.add(reason="x", count=2**60)),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "spoil"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_whole(alpha: Agent, reason: str, spoil: Callable[[flow.Batch], object]) -> None:
    alpha.listens(alpha.unit("other"), "10.0.0.1", 99)
    call(alpha, 1000)
    batch = alpha.batch(1, 2)
    spoil(batch)
    before = alpha.world.topology()
    with pytest.raises(Refused) as refused:
        alpha.world.deliver(alpha, batch, 2)
    assert refused.value.reason == reason
    assert str(refused.value).endswith(".")
    assert alpha.world.topology() == before


def test_a_refused_batch_is_no_gap_and_those_after_it_count(alpha: Agent) -> None:
    call(alpha, 1000)
    refused = alpha.batch(1, 2)
    refused.flows.connections = b"123"
    for _ in range(2):
        call(alpha, 20)
    after = alpha.batch(2, 3)
    for _ in range(2):
        with pytest.raises(Refused):
            alpha.world.deliver(alpha, refused, 2)
    assert alpha.world.deliver(alpha, after, 3)
    assert alpha.world.requests(4) == {PAIR: 41}
    assert alpha.world.estate.hello(alpha.hello(4), ns(4)) == 3


def test_an_unknown_epoch_or_host_is_refused(alpha: Agent) -> None:
    batch = alpha.batch(1, 2)
    for host, epoch in (("alpha", 77), ("nobody", 1)):
        with pytest.raises(Refused) as refused:
            alpha.world.estate.batch(HostKey("", host), epoch, batch, ns(2))
        assert refused.value.reason == "epoch_unknown"
    assert [host.name for host in alpha.world.topology().hosts] == ["alpha"]


def test_a_former_epochs_batch_does_not_speak_for_the_present_one(alpha: Agent) -> None:
    late = alpha.batch(1, 2)
    alpha.restart()
    alpha.tells(5, 6)
    with pytest.raises(Refused):
        alpha.world.estate.batch(HostKey("", "alpha"), 1, late, ns(7))


def test_rows_of_flows_that_nobody_defined_are_counted(alpha: Agent) -> None:
    call(alpha, 10)
    alpha.flows.append({"flow": 777, "connections": 5})
    alpha.requests.append({"flow": 778, "count": 5})
    alpha.message.flow_definitions.add(id=40, endpoint=999, local_address=bytes(16), peer_address=bytes(16))
    alpha.flows.append({"flow": 40, "connections": 5})
    alpha.tells(1, 2)
    assert alpha.world.requests() == {PAIR: 11}
    assert alpha.world.estate.dropped()["undefined_flow"] == 3


def test_names_claims_and_answers_that_refer_to_nothing_are_counted(alpha: Agent) -> None:
    call(alpha, 10, name=99, host=98)
    alpha.owns(999, "10.0.0.9")
    alpha.told(999, "x.test", "192.0.2.7")
    alpha.tells(1, 2)
    dropped = alpha.world.estate.dropped()
    assert (dropped["undefined_name"], dropped["undefined_endpoint"]) == (2, 2)
    (edge,) = alpha.world.topology().edges
    assert (edge.requests, [route.route for route in edge.routes]) == (11, ["(none)"])


def test_names_beyond_the_bound_are_other_and_those_known_stay() -> None:
    world = World(max_names=4)
    for epoch in range(2):
        alpha = world.agent("alpha")
        alpha.epoch = epoch + 1
        for count, route in ((1, "/a"), (20, "/b"), (300, "/c")):
            call(alpha, count, name=alpha.name(route, flow.NAME_KIND_ROUTE))
        alpha.tells(epoch, epoch + 1)
    (edge,) = world.topology().edges
    assert {route.route: route.requests for route in edge.routes} == {"/a": 2, "(other)": 640}
    assert world.estate.dropped()["names_full"] == 4


def test_flows_beyond_the_bound_keep_their_sums_and_those_known_stay() -> None:
    world = World(max_flows=1)
    for epoch in range(2):
        alpha = world.agent("alpha")
        alpha.epoch = epoch + 1
        for count, peer in ((1, "192.0.2.7"), (20, "192.0.2.8"), (300, "192.0.2.9")):
            alpha.calls(alpha.unit("web"), peer, 80, count)
        alpha.tells(epoch, epoch + 1)
    assert world.requests() == {PAIR: 2, ("alpha/web", "(other)"): 640}
    assert world.estate.dropped()["flows_full"] == 4


def test_an_agent_may_count_up_as_far_as_it_likes_and_it_takes_no_room(alpha: Agent) -> None:
    """One that runs for months, and says all again to an aggregator that forgot it."""
    tracemalloc.start()
    for at, far in enumerate((8_388_608, 2**31, 2**32 - 4)):
        alpha.message.endpoints.add(id=far, kind=flow.ENDPOINT_KIND_UNIT, unit="far.service")
        alpha.message.flow_definitions.add(id=far, endpoint=far, port=80, role=flow.ROLE_CLIENT, **ADDRESSES)
        alpha.message.names.add(id=far, kind=flow.NAME_KIND_ROUTE, text="/far")
        alpha.flows.append({"flow": far, "connections": 1})
        alpha.requests.append({"flow": far, "name": far, "count": 10, "protocol": flow.PROTOCOL_HTTP, "outcome": 1})
        alpha.tells(at + 1, at + 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    edge = alpha.world.edges(5)["alpha/far", "(outside)"]
    assert [(route.route, route.requests) for route in edge.routes] == [("/far", 30)]


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=9), max_size=9))
def test_a_translation_is_a_dictionary_with_a_bound(batches: list[list[tuple[int, int]]]) -> None:
    translation, plain = Translation(most=6), dict[int, int]()
    for definitions in batches:
        for theirs, ours in definitions:
            has_room = theirs in plain or len(plain) < 6
            assert translation.define(theirs, ours) == has_room
            if has_room:
                plain[theirs] = ours
            assert translation.one(theirs) == plain.get(theirs, -1)
        assert translation.of(np.arange(10, dtype=np.uint32)).tolist() == [plain.get(one, -1) for one in range(10)]


@given(st.lists(st.integers(1, 60), max_size=100))
def test_sequences_are_a_set(numbers: list[int]) -> None:
    sequences = Sequences()
    seen: set[int] = set()
    for number in numbers:
        assert sequences.add(number) == (number not in seen)
        seen.add(number)
    assert [number in sequences for number in range(62)] == [number in seen for number in range(62)]
    assert sequences.highest == max(seen, default=0)
    assert len(sequences.ranges) == sum(number - 1 not in seen for number in seen)


def test_sequences_with_more_gaps_than_can_be_kept_forget_the_oldest_gap() -> None:
    sequences = Sequences()
    for number in range(1, 2 * 300, 2):
        sequences.add(number)
    assert len(sequences.ranges) == 256
    assert 2 in sequences and 2 * 299 not in sequences


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contract_version": 0}, "version"),
        ({"oldest_contract_version": 2, "contract_version": 3}, "version"),
        ({"host": ""}, "host"),
        ({"host": "a/b"}, "host"),
        ({"host": "a\nb"}, "host"),
        ({"host": "x" * 254}, "host"),
        ({"cluster": "a\0"}, "cluster"),
        ({"epoch": 0}, "epoch"),
    ],
)
def test_a_hello_that_cannot_be_used(fields: dict[str, Any], reason: str) -> None:
    usual: dict[str, Any] = {"contract_version": 1, "oldest_contract_version": 1, "host": "a", "epoch": 1}
    hello = flow.Hello(**usual | fields)
    with pytest.raises(Refused) as refused:
        check_hello(hello)
    assert refused.value.reason == reason


def test_a_later_agent_that_still_speaks_ours_is_welcome() -> None:
    check_hello(flow.Hello(contract_version=2, oldest_contract_version=1, host="a", epoch=1))


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(raw: bytes) -> None:
    try:
        decode(raw)
    except Refused as refused:
        assert refused.reason == "undecodable"


def test_what_a_batch_costs_does_not_grow_with_flows_of_which_nobody_knows_who_opened_them() -> None:
    """As many connections as were open when agents began: each batch of each host asks which of its flows are such."""
    spent, found = [], []
    for many in (100, 50_000):
        ingest = Ingest(many, many, many)
        tables = Tables()
        for one in range(many):
            tables.flows.id_of(Flow(0, bytes(16), bytes(16), one, flow.ROLE_UNSPECIFIED, flow.TRANSPORT_TCP, b"", 0))
        ingest.restore(tables, Counter())
        # One of them, and one that was defined later and is none.
        flows = {name: np.array([7, many], np.int64) for name in ("flow", "bytes_sent", "bytes_received")}
        started = time.thread_time()
        found += [ingest.undirected_bytes(flows) for _ in range(300)]
        spent.append(time.thread_time() - started)
    assert set(found) == {14}
    assert spent[1] < 10 * spent[0]
