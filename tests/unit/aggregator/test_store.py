"""The estate through restarts: checkpoint and journal's tail together are the state that was, whatever breaks."""

from pathlib import Path

import pytest
from plumbline.v1.flow_pb2 import ReportRequest

from aggregator.estate import Estate
from aggregator.records import SECOND_NS
from tests.unit.aggregator.agents import ns
from tests.unit.aggregator.restarts import WINDOW_NS, Folder

PAIR = ("alpha/web", "beta/shop")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_journal_alone_is_enough(folder: Folder) -> None:
    with folder.start() as first:
        for second in range(5):
            folder.traffic(first, second)
        before = first.topology()
    assert len(before.edges) == 2
    with folder.start() as again:
        assert (again.restored.records, again.restored.refused, again.restored.checkpoint_position) == (12, 0, 0)
        assert again.topology() == before


@pytest.mark.parametrize("saved_after", [0, 2, 4])
def test_a_checkpoint_and_the_tail_are_the_state_that_was(folder: Folder, saved_after: int) -> None:
    with folder.start() as first:
        for second in range(5):
            folder.traffic(first, second)
            first.store.age()
            if second == saved_after:
                first.save()
        before, checkpoint_position = first.topology(), first.store.saved_position
    with folder.start() as again:
        assert again.restored.checkpoint_position == checkpoint_position > 0
        assert again.restored.records == (4 - saved_after) * 2
        assert again.topology() == before
        assert again.requests() == {PAIR: 15, ("alpha/web", "api.pay.test"): 0}
        folder.traffic(again, 6)
        assert again.requests()[PAIR] == 18


def test_what_is_repeated_after_a_restart_counts_once(folder: Folder) -> None:
    with folder.start() as first:
        early = folder.traffic(first, 0)
        first.save()
        late = folder.traffic(first, 1)
    with folder.start() as again:
        for alpha_batch, beta_batch in (early, late):
            assert not again.take(folder.alpha, alpha_batch)
            assert not again.take(folder.beta, beta_batch)
        assert again.requests()[PAIR] == 6
        hello = folder.alpha.hello(3)
        assert again.store.hello(hello, ReportRequest(hello=hello).SerializeToString()) == (2, False)


def test_a_damaged_newest_checkpoint_costs_nothing(folder: Folder) -> None:
    with folder.start() as first:
        for second in range(4):
            folder.traffic(first, second)
            first.save()
        folder.traffic(first, 5)
        before = first.topology()
    raw = bytearray(folder.newest_checkpoint().read_bytes())
    raw[len(raw) // 2] ^= 1
    folder.newest_checkpoint().write_bytes(raw)
    with folder.start() as again:
        assert again.damages.files == [folder.newest_checkpoint().name]
        assert again.restored.records == 4
        assert again.topology() == before


def test_a_crash_between_a_checkpoint_and_the_cut_repeats_nothing(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
        position, write = first.store.checkpoint()
        folder.traffic(first, 1)
        first.store._checkpoints.save(position, write)
        before = first.topology()
    with folder.start() as again:
        assert again.restored.records == 2
        assert again.topology() == before


def test_a_checkpoint_of_another_format_is_made_up_for_by_the_journal(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
        first.store.save(first.store.position, lambda file: file.write(b"estate 1\nof old"))
        before = first.topology()
    with folder.start() as again:
        assert again.restored.checkpoint_position == 0
        assert again.topology() == before


def test_what_a_cut_journal_refers_to_is_said_again_by_agents(folder: Folder) -> None:
    """Its hello is there, its definitions are not: half an epoch would count in nothing, and never be mended."""
    with folder.start() as first:
        first.store._journal._segment_bytes = 1
        folder.traffic(first, 0)
        first.store.save(first.store.position, lambda file: file.write(b"of old"))
        hello = folder.alpha.hello(2)
        first.store.hello(hello, ReportRequest(hello=hello).SerializeToString())
        folder.traffic(first, 2)
        first.store.save(first.store.position, lambda file: file.write(b"of old too"))
        folder.traffic(first, 3)
    with folder.start() as again:
        assert (again.restored.records, again.restored.refused) == (5, 4)
        assert again.requests() == {}
        hello = folder.alpha.hello(9)
        assert again.store.hello(hello, ReportRequest(hello=hello).SerializeToString()) == (0, False)


def test_a_journal_that_was_lost_goes_on_behind_its_checkpoint(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
        first.save()
    for segment in folder.path.glob("journal-*.log"):
        segment.unlink()
    with folder.start() as again:
        folder.traffic(again, 1)
        assert again.requests()[PAIR] == 6
    with folder.start() as third:
        assert third.requests()[PAIR] == 6


def test_another_retention_and_other_bounds_hold_from_the_next_start(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
        first.save()
    with folder.start(retention_seconds=400.0, max_names=1) as again:
        folder.alpha.name("/another", 1)
        folder.traffic(again, 1)
        assert again.store.estate.dropped()["names_full"] == 1
        for now, kept in ((300, 2), (600, 0)):
            again.now = now
            again.store.age()
            assert len(again.store.topology(1000 * SECOND_NS).edges) == kept


def test_another_name_of_the_cluster_does_not_lose_the_journal(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
    with folder.start(cluster="west") as again:
        assert again.restored.refused == 0
        assert again.requests() == {
            ("default:alpha/web", "default:beta/shop"): 3,
            ("default:alpha/web", "api.pay.test"): 0,
        }


def test_a_refused_batch_is_refused_again_by_a_replay_and_changes_nothing(folder: Folder) -> None:
    with folder.start() as first:
        folder.traffic(first, 0)
        batch = folder.alpha.batch(1, 2)
        batch.flows.flow = b"123"
        taken = first.store.batch(folder.alpha.hello(2), batch, ReportRequest(batch=batch).SerializeToString())
        assert taken.refused is not None and taken.refused.reason == "columns" and not taken.is_new
        assert taken.position == first.store.position
        before = first.topology()
    with folder.start() as again:
        assert again.restored.refused == 1
        assert again.topology() == before


def test_an_estate_is_the_same_after_its_checkpoint_at_any_age(folder: Folder) -> None:
    with folder.start() as first:
        for second in range(0, 200, 10):
            folder.traffic(first, second)
            first.store.age()
        for now in (200, 210, 300):
            restored = Estate.restore(folder.settings, first.store.estate.checkpoint().content())
            assert restored.topology(WINDOW_NS, ns(now)) == first.topology(now)
            assert restored.held() == first.store.estate.held()
            assert restored.dropped() == first.store.estate.dropped()
