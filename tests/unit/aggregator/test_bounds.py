"""Numbers that no honest host can say: refused where they come, and held where many of them add up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1.flow_pb2 import ReportRequest

from aggregator.estate import Estate
from aggregator.ingest.decoding import check_hello
from aggregator.records import JournalRecord, RecordKind, Refused
from aggregator.topology.latency import latencies_ms
from aggregator.topology.tallies import MOST, added, total
from tests.unit.aggregator.agents import World, ns
from tests.unit.aggregator.restarts import Folder

MOST_OF_A_ROW = 2**53
SUMMED = ("bytes_sent", "bytes_received", "connections", "closed", "refused", "retransmits", "rtt_sum_us")


@pytest.mark.parametrize("counter", SUMMED)
def test_what_rows_of_one_batch_say_together_has_a_bound(counter: str) -> None:
    alpha = World().agent("alpha", "10.0.0.1")
    for _ in range(2):
        alpha.calls(alpha.unit("web"), "192.0.2.7", 80, **{counter: MOST_OF_A_ROW})
    with pytest.raises(Refused) as refused:
        alpha.tells()
    assert refused.value.reason == "value"
    assert alpha.world.edges() == {}


def test_batches_without_end_saturate_every_number() -> None:
    world = World()
    alpha, beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")
    shop = beta.unit("shop")
    beta.listens(shop, "10.0.0.2", 80)
    alpha.tells()
    beta.tells()
    for _ in range(1500):
        most = dict.fromkeys((*SUMMED, "rtt_count", "parsed_bytes", "other"), MOST_OF_A_ROW)
        alpha.calls(alpha.unit("web"), "10.0.0.2", 80, MOST_OF_A_ROW, sum_ns=2**59, **most)
        beta.serves(shop, "10.0.0.1", 80, MOST_OF_A_ROW, local="10.0.0.2", sum_ns=2**59, code=500, **most)
        for agent in (alpha, beta):
            batch = agent.batch(0, 1)
            batch.host_status.lost.add(reason="x", count=MOST_OF_A_ROW)
            world.deliver(agent, batch, 1)
    edge = world.edges()["alpha/web", "beta/shop"]
    assert (edge.requests, edge.bytes_sent, edge.errors) == (MOST, MOST, MOST)
    assert world.topology().hosts[0].lost["x"] == MOST
    world.estate.age(ns(60))
    assert world.edges(60)["alpha/web", "beta/shop"].requests == MOST


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_stand_still_at_the_most(sign: int) -> None:
    values = np.array([1, 2, *[sign * MOST_OF_A_ROW] * 3000], np.int64)
    at = np.array([0, 0, *[1] * 3000])
    assert total(values, at, 3).tolist() == [3, sign * MOST, 0]
    assert added(values, np.array([0, 2])).tolist() == [3, sign * MOST]
    assert added(np.stack([values, values], 1), np.array([0, 2])).tolist() == [[3, 3], [sign * MOST] * 2]


def test_what_one_edge_says_too_much_of_is_not_felt_in_the_latency_of_another() -> None:
    at = np.array([*range(20), 20], np.int64)
    buckets, counts = np.array([400] * 20 + [160]), np.array([MOST] * 20 + [10])
    (alone,) = latencies_ms(np.zeros(1, np.int64), buckets[20:], counts[20:], counts[20:], 1)
    assert latencies_ms(at, buckets, counts, counts, 21)[20] == alone


WRONG_HELLOS: list[dict[str, Any]] = [
    {"clock": Timestamp(seconds=2**61)},
    {"clock": Timestamp(seconds=-1)},
    {"clock": Timestamp(nanos=2**30)},
    {"interval": Duration(seconds=2**61)},
    {"interval": Duration(seconds=-1)},
    {"interval": Duration(nanos=-1)},
    {"boot_id": "x" * 129},
    {"agent_version": "x" * 129},
    {"agent_version": "1\n2"},
    {"cluster": "x" * 129},
]


@pytest.mark.parametrize("wrong", WRONG_HELLOS, ids=str)
def test_a_hello_that_cannot_be_kept_is_never_in_the_journal(tmp_path: Path, wrong: dict[str, Any]) -> None:
    folder = Folder(tmp_path)
    with folder.start() as first:
        hello = folder.alpha.hello(1)
        for name in wrong:
            hello.ClearField(name)  # type: ignore[arg-type]
        hello.MergeFrom(flow.Hello(**wrong))
        with pytest.raises(Refused):
            check_hello(hello)
        with pytest.raises(Refused):
            first.store.hello(hello, ReportRequest(hello=hello).SerializeToString())
        assert first.store.position == 0


def test_a_record_that_no_longer_can_be_used_keeps_no_other_from_being_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    with folder.start() as first:
        folder.traffic(first, 0)
        hello = folder.alpha.hello(1)
        hello.clock.seconds = 2**61
        payload = ReportRequest(hello=hello).SerializeToString()
        first.store._journal.append(JournalRecord(RecordKind.HELLO, "default/alpha", hello.epoch, 1, payload))
        first.store._journal.append(JournalRecord(7, "default/alpha", 1, 1, b""))  # type: ignore[arg-type]
        folder.traffic(first, 1)
        before = first.topology()
    with folder.start() as again:
        assert again.topology() == before
        assert again.restored.refused == 1
        assert len(again.damages.files) == 1
    replay = Estate.replay

    def spoilt(estate: Estate, record: JournalRecord, is_whole: bool = True) -> None:
        if record.kind == RecordKind.BATCH and record.host == "default/beta":
            raise ValueError("Value out of range")
        replay(estate, record, is_whole)

    monkeypatch.setattr(Estate, "replay", spoilt)
    with folder.start() as third:
        assert {what for what, _ in third.damages.faults} == {"a record of the journal"}
        assert (third.restored.records, third.restored.refused) == (7, 3)
        assert {edge.source for edge in third.topology().edges} == {"alpha/web"}


def test_a_batch_that_meets_a_fault_is_refused_and_those_behind_it_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    with folder.start() as first, monkeypatch.context() as patched:
        folder.traffic(first, 0)

        def broken(*_: object) -> None:
            raise OverflowError("int too large")

        patched.setattr(Estate, "_apply", broken)
        batch = folder.alpha.batch(1, 2)
        taken = first.store.batch(folder.alpha.hello(2), batch, ReportRequest(batch=batch).SerializeToString())
        assert taken.refused is not None and taken.refused.reason == "fault"
        patched.undo()
        assert not first.take(folder.alpha, batch)
        folder.traffic(first, 2)
        assert first.requests()["alpha/web", "beta/shop"] == 6


def test_reasons_beyond_what_can_be_read_are_one_that_keeps_the_sum() -> None:
    world = World()
    alpha = world.agent("alpha", "10.0.0.1")
    alpha.tells()
    batch = alpha.batch(1, 2)
    for number in range(100):
        batch.host_status.lost.add(reason=f"reason {number}", count=1)
        batch.host_status.dropped.add(reason="x" * 65 + str(number), count=1)
    blind = batch.host_status.blind.add(reason="y" * 10_000)
    for time in (getattr(blind, "from"), blind.to):
        time.CopyFrom(alpha.stamp(1))
    world.deliver(alpha, batch, 2)
    (host,) = world.topology(3).hosts
    assert len(host.lost) == 65 and host.lost["(other)"] == 36
    assert dict(host.dropped) == {"(other)": 100}
    assert [len(one.reason) for one in host.blind] == [64]
