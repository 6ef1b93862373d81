"""A journal that was damaged: the graph counts what is whole, says by numbers what is missing, and agents mend it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from plumbline.v1.flow_pb2 import ReportRequest

from aggregator import frames
from aggregator.records import RecordKind
from aggregator.store import Known
from aggregator.topology.coverage import DISK_REASON, MISSING_BATCHES
from tests.unit.aggregator.agents import Agent, World
from tests.unit.aggregator.restarts import Folder, Started

EDGE = ("alpha/web", "api.pay.test")
SECONDS, REQUESTS = 8, 3


class Written:
    """A journal of one agent's hello and eight batches of three requests each; which bytes are which record."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.agent = World().agent("alpha", "10.0.0.1")
        with self.folder.start() as first:
            for second in range(SECONDS):
                self.one_second(first, second)
        (self.file,) = path.glob("journal-*.log")
        self.content = self.file.read_bytes()
        ends = [found.end for found in frames.scan(self.content, 0)]
        self.records = list(zip([0, *ends[:-1]], ends, strict=True))

    def one_second(self, started: Started, second: int) -> None:
        web = self.agent.unit("web")
        self.agent.told(web, "api.pay.test", "192.0.2.7", at=second)
        self.agent.calls(web, "192.0.2.7", 80, REQUESTS)
        started.hear(self.agent, second)

    def spoil(self, *numbers: int) -> None:
        """Of those records; 0 is the hello."""
        content = bytearray(self.content)
        for number in numbers:
            begin, end = self.records[number]
            content[(begin + end) // 2] ^= 8
        self.file.write_bytes(content)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.mark.parametrize(("spoiled", "blind"), [((4,), [(3, 4)]), ((4, 5), [(3, 5)]), ((3, 6), [(2, 3), (5, 6)])])
def test_batches_in_the_middle_are_missing_by_number_and_their_time_is_blind(
    written: Written, spoiled: tuple[int, ...], blind: list[tuple[int, int]]
) -> None:
    written.spoil(*spoiled)
    with written.folder.start() as again:
        assert again.requests() == {EDGE: REQUESTS * (SECONDS - len(spoiled))}
        (host,) = again.topology().hosts
        assert dict(host.lost) == {MISSING_BATCHES: len(spoiled)}
        spans = [(getattr(one, "from").seconds % 100, one.to.seconds % 100) for one in host.blind]
        assert spans == blind
        assert {one.reason for one in host.blind} == {DISK_REASON}


def test_definitions_that_were_lost_are_asked_for_once_and_nothing_counts_twice(written: Written) -> None:
    written.spoil(1)
    agent = written.agent
    with written.folder.start() as again:
        # Every row is of a flow that the first batch had defined.
        assert again.requests() == {}
        assert hello(again, agent) == (SECONDS, True)
        assert hello(again, agent) == (SECONDS, True)
        agent._ids.clear()
        written.one_second(again, 20)
        assert again.requests() == {EDGE: REQUESTS}
        assert hello(again, agent) == (SECONDS + 1, False)
    with written.folder.start() as third:
        assert third.requests() == {EDGE: REQUESTS}
        assert dict(third.topology().hosts[0].lost) == {MISSING_BATCHES: 1}


def test_without_its_hello_an_epoch_goes_on(written: Written) -> None:
    written.spoil(0)
    with written.folder.start() as again:
        assert again.requests() == {EDGE: REQUESTS * SECONDS}
        assert hello(again, written.agent) == (SECONDS, True)


def test_the_last_batch_is_told_by_its_agent(written: Written) -> None:
    written.spoil(SECONDS)
    with written.folder.start() as again:
        assert again.requests() == {EDGE: REQUESTS * (SECONDS - 1)}
        # It was acknowledged up to eight, so it says everything again, and that it lost one.
        assert hello(again, written.agent) == (SECONDS - 1, False)


def test_the_other_ends_numbers_count_where_ours_were_lost(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.start() as first:
        for second in range(6):
            folder.traffic(first, second)
    (file,) = tmp_path.glob("journal-*.log")
    content = bytearray(file.read_bytes())
    found = [one for one in frames.scan(bytes(content), 0) if isinstance(one, frames.Whole)]
    records = [frames.decode(one.body) for one in found]
    of_beta = [
        one.end - 10
        for one, record in zip(found, records, strict=True)
        if record.host.endswith("beta") and record.kind == RecordKind.BATCH
    ]
    content[of_beta[3]] ^= 1
    file.write_bytes(content)
    with folder.start() as again:
        assert again.requests()["alpha/web", "beta/shop"] == 18


def flip(content: bytearray, chance: random.Random) -> bytearray:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def zero(content: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(content))
    content[at : at + 300] = bytes(len(content[at : at + 300]))
    return content


def truncate(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))]


@pytest.mark.parametrize("spoil", [flip, zero, truncate])
def test_no_spoiled_journal_gives_a_wrong_count(
    written: Written, spoil: Callable[[bytearray, random.Random], bytearray]
) -> None:
    chance = random.Random(11)
    for _ in range(40):
        content = bytes(spoil(bytearray(written.content), chance))
        written.file.write_bytes(content)
        intact = [content[begin:end] == written.content[begin:end] for begin, end in written.records]
        batches = intact[1:]
        # Rows need the definitions of the first batch.
        counted = REQUESTS * sum(batches) if batches[0] else 0
        last = max((number for number, is_whole in enumerate(batches, 1) if is_whole), default=0)
        with written.folder.start() as again:
            assert again.requests().get(EDGE, 0) == counted
            missing = sum(host.lost[MISSING_BATCHES] for host in again.topology().hosts)
            assert missing == last - sum(batches)
            if last or intact[0]:
                assert hello(again, written.agent).sequence == last
        for old in written.file.parent.glob("quarantine-*"):
            old.unlink()


def hello(started: Started, agent: Agent) -> Known:
    said = agent.hello(started.now)
    return started.store.hello(said, ReportRequest(hello=said).SerializeToString())
