"""Agents on a real port: who is let in, and that what is acknowledged is on disk."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from plumbline.v1.flow_pb2 import Batch, Hello, ReportRequest
from plumbline.v1.topology_pb2 import GetTopologyRequest

from aggregator.journal import FileJournal
from aggregator.outputs import reporting
from tests.unit.aggregator.test_journal import disk_that_ends_at
from tests.unit.outputs.running import UNAVAILABLE, Running, Stream, agent, batch_now, run, running, until

Code = grpc.StatusCode


def hello(**changed: Any) -> bytes:
    known = agent().hello(0)
    known.MergeFrom(Hello(**changed))
    return ReportRequest(hello=known).SerializeToString()


def batch(sequence: int = 1) -> bytes:
    return ReportRequest(batch=Batch(sequence=sequence)).SerializeToString()


async def edges_of(aggregator: Running) -> dict[str, int]:
    answer = await aggregator.topology.GetTopology(GetTopologyRequest())
    return {edge.target: edge.requests for edge in answer.topology.edges}


def test_what_is_reported_is_acknowledged_and_shown(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            assert await stream.greet(one.hello(0)) == 0
            first = batch_now(one, 3)
            assert await stream.bring(first) == 1
            assert await stream.bring(batch_now(one, 4)) == 2
            # Again, as after a broken stream: acknowledged, and counted once.
            assert await stream.bring(first) == 2
            while await edges_of(aggregator) != {"api.pay.test": 7}:
                await asyncio.sleep(0.01)
            metrics = await aggregator.metrics()
            assert (metrics["batches_total"], metrics["repeated_batches_total"], metrics["agents"]) == (3, 1, 1)
            assert metrics["records_total"] == 4
            await stream.call.done_writing()
            assert (await stream.refusal())[0] == Code.OK
            await until(lambda: aggregator.events("agent_left"))

    run(test)


REFUSED: dict[str, tuple[list[bytes], Any, str]] = {
    "no hello": ([batch()], Code.INVALID_ARGUMENT, "begins with a hello"),
    "nothing at all": ([], Code.INVALID_ARGUMENT, "begins with a hello"),
    "garbage": ([b"\xff\xff garbage"], Code.INVALID_ARGUMENT, "no ReportRequest"),
    "a later contract": (
        [hello(contract_version=3, oldest_contract_version=2)],
        Code.FAILED_PRECONDITION,
        "versions 2 to 3",
    ),
    "a host that is a path": ([hello(host="a/b")], Code.INVALID_ARGUMENT, "--host"),
    "a second hello": ([hello(), hello()], Code.INVALID_ARGUMENT, "batches only"),
    "garbage later": ([hello(), b"\xff\xff"], Code.INVALID_ARGUMENT, "no ReportRequest"),
    "too large": ([hello(), batch() + bytes(5000)], Code.RESOURCE_EXHAUSTED, "larger than max"),
}


@pytest.mark.parametrize(("messages", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_who_does_not_keep_to_the_contract_is_refused_with_a_sentence(
    tmp_path: Path, messages: list[bytes], code: Any, words: str
) -> None:
    async def test() -> None:
        async with running(tmp_path, max_agent_message_bytes=4096) as aggregator:
            stream = Stream(aggregator.channel("agents"))
            for message in messages:
                await stream.say(message)
            await stream.call.done_writing()
            found, sentence = await stream.refusal()
            assert found == code
            assert words in sentence
            assert not aggregator.events("request_failed")
            # It harmed nobody.
            assert await Stream(aggregator.channel("agents")).greet(agent("beta").hello(0)) == 0

    run(test)


def test_another_machine_of_the_same_name_is_refused_while_the_first_one_reports(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            channel = aggregator.channel("agents")
            first, second = Stream(channel), Stream(channel)
            one = agent()
            await first.greet(one.hello(0))
            other = agent().hello(0)
            other.boot_id, other.epoch = "another boot", 99
            await second.say(ReportRequest(hello=other).SerializeToString())
            code, sentence = await second.refusal()
            assert code == Code.ALREADY_EXISTS and "--host" in sentence
            assert await first.bring(batch_now(one)) == 1
            second_agent = Stream(channel)
            twin = agent().hello(0)
            twin.epoch = one.hello(0).epoch + 1
            await second_agent.say(ReportRequest(hello=twin).SerializeToString())
            code, sentence = await second_agent.refusal()
            assert code == Code.ALREADY_EXISTS and "Another agent of this machine" in sentence
            # Nobody but the first one was ever connected, and the operator is told why.
            assert len(aggregator.events("agent_connected")) == len(aggregator.events("agent_refused")) == 1
            # The same machine again: its stream broke, and it does not know that we have not noticed.
            again = Stream(channel)
            assert await again.greet(one.hello(1)) == 1
            first.call.cancel()
            await until(lambda: aggregator.events("agent_left"))
            third = Stream(channel)
            await third.say(ReportRequest(hello=other).SerializeToString())
            assert (await third.refusal())[0] == Code.ALREADY_EXISTS
            again.call.cancel()
            await until(lambda: len(aggregator.events("agent_left")) == 2)
            assert await Stream(channel).greet(other) == 0

    run(test)


def test_a_host_that_lost_its_power_comes_in_although_its_old_stream_has_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_SILENT_SECONDS", 1.0)

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            channel = aggregator.channel("agents")
            old, early, late = Stream(channel), Stream(channel), Stream(channel)
            one = agent()
            one.interval = 0.2
            await old.greet(one.hello(0))
            assert await old.bring(batch_now(one)) == 1
            rebooted = agent().hello(0)
            rebooted.boot_id, rebooted.epoch = "another boot", 99
            await early.say(ReportRequest(hello=rebooted).SerializeToString())
            assert (await early.refusal())[0] == Code.ALREADY_EXISTS
            await asyncio.sleep(1.1)
            assert await late.greet(rebooted) == 0
            # Should it only have hung, it is told who is in its place.
            await old.say(ReportRequest(batch=batch_now(one)).SerializeToString())
            assert (await old.refusal())[0] == Code.UNAVAILABLE

    run(test)


def test_an_agent_that_goes_on_from_another_comes_in_while_that_ones_stream_is_open(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            channel = aggregator.channel("agents")
            first, second, third = Stream(channel), Stream(channel), Stream(channel)
            one = agent()
            await first.greet(one.hello(0))
            assert await first.bring(batch_now(one)) == 1
            stranger, heir = agent().hello(0), agent().hello(0)
            stranger.epoch, stranger.continues_epoch = 99, one.epoch + 7
            await third.say(ReportRequest(hello=stranger).SerializeToString())
            assert (await third.refusal())[0] == Code.ALREADY_EXISTS
            heir.epoch, heir.continues_epoch = 100, one.epoch
            assert await second.greet(heir) == 0
            await first.say(batch(2))
            assert (await first.refusal())[0] == UNAVAILABLE
            again = Stream(channel)
            await again.say(ReportRequest(hello=one.hello(0)).SerializeToString())
            assert (await again.refusal())[0] == Code.ALREADY_EXISTS
            assert await second.bring(Batch(sequence=1)) == 1

    run(test)


@pytest.mark.parametrize("message", ["welcome", "acknowledgement"])
def test_nothing_is_promised_before_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    disk_moves = threading.Event()
    acknowledge: Callable[[FileJournal], int] = FileJournal.acknowledge

    def slow(journal: FileJournal) -> int:
        assert disk_moves.wait(20)
        return acknowledge(journal)

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            if message == "acknowledgement":
                await stream.greet(one.hello(0))
            monkeypatch.setattr(FileJournal, "acknowledge", slow)
            is_greeted = message == "acknowledgement"
            sent = ReportRequest(batch=batch_now(one)) if is_greeted else ReportRequest(hello=one.hello(0))
            await stream.say(sent.SerializeToString())
            answer = asyncio.create_task(stream.hear())
            done, _ = await asyncio.wait([answer], timeout=0.3)
            assert not done
            disk_moves.set()
            assert (await answer).WhichOneof("message") == message

    run(test)


def test_a_full_disk_acknowledges_nothing_is_told_once_and_recovers(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            kept = batch_now(one, 5)
            (segment,) = tmp_path.glob("journal-*.log")
            with disk_that_ends_at(segment.stat().st_size):
                for _ in range(2):
                    await stream.say(ReportRequest(batch=kept).SerializeToString())
                    code, sentence = await stream.refusal()
                    assert code == UNAVAILABLE and "free some space" in sentence
                    stream = Stream(aggregator.channel("agents"))
                    await stream.say(ReportRequest(hello=one.hello(0)).SerializeToString())
                    assert (await stream.refusal())[0] == UNAVAILABLE
                    stream = Stream(aggregator.channel("agents"))
                    await stream.say(ReportRequest(hello=one.hello(0)).SerializeToString())
            assert len(aggregator.events("journal_failed")) == 1
            stream = Stream(aggregator.channel("agents"))
            assert await stream.greet(one.hello(0)) == 0
            assert await stream.bring(kept) == 1

    run(test)


def test_a_batch_that_can_never_be_used_is_acknowledged_counted_and_told_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            for number in (1, 2):
                spoiled = batch_now(one)
                spoiled.flows.connections = b"123"
                assert await stream.bring(spoiled) == number
            (told,) = aggregator.events("batch_refused")
            assert told["agent"] == "alpha" and "cannot be read" in told["reason"]
            metrics = await aggregator.metrics()
            assert metrics['refused_total{reason="columns"}'] == 2
            # A new stream hears of them as known: nothing was forgotten.
            stream.call.cancel()
            assert await Stream(aggregator.channel("agents")).greet(one.hello(0)) == 2

    run(test)


def test_an_older_stream_of_an_agent_is_not_heard_any_more(tmp_path: Path) -> None:
    """What is left in its pipe comes again on the newer one, perhaps by other numbers."""

    async def test() -> None:
        async with running(tmp_path) as aggregator:
            one = agent()
            older, newer = Stream(aggregator.channel("agents")), Stream(aggregator.channel("agents"))
            assert await older.greet(one.hello(0)) == 0
            first, second = batch_now(one, 3), batch_now(one, 4)
            assert await older.bring(first) == 1
            assert await newer.greet(one.hello(0)) == 1
            await older.say(ReportRequest(batch=second).SerializeToString())
            code, sentence = await older.refusal()
            assert (code, "newer stream" in sentence) == (UNAVAILABLE, True)
            second.sequence = 5
            assert await newer.bring(second) == 5
            while await edges_of(aggregator) != {"api.pay.test": 7}:
                await asyncio.sleep(0.01)

    run(test)


def test_a_restart_remembers_what_it_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        one = agent()
        async with running(tmp_path) as aggregator:
            stream = Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            known = batch_now(one, 3)
            await stream.bring(known)
            aggregator.stop.set()
            assert (await stream.refusal())[0] == UNAVAILABLE
        assert list(tmp_path.glob("checkpoint-*.bin"))
        async with running(tmp_path) as aggregator:
            stream = Stream(aggregator.channel("agents"))
            assert await stream.greet(one.hello(0)) == 1
            assert await stream.bring(known) == 1
            assert await edges_of(aggregator) == {"api.pay.test": 3}

    run(test)
