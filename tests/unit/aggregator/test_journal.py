"""The journal through crashes, damage, a full disk and a second process: what was acknowledged is replayed, once."""

import multiprocessing
import random
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.journal import FileJournal, JournalFailed
from aggregator.records import JournalRecord, RecordKind


def record(number: int, size: int = 20) -> JournalRecord:
    return JournalRecord(RecordKind.BATCH, f"default/höst-{number}", 2**64 - 1, number, bytes([number % 251]) * size)


class Damages:
    """What the journal told of damage: (file's name, at byte, bytes cut, why)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int, str]] = []

    def __call__(self, path: Path, at: int, cut: int, why: str) -> None:
        self.told.append((path.name, at, cut, why))


@contextmanager
def opened(folder: Path, segment_bytes: int = 32 * 1024 * 1024) -> Iterator[FileJournal]:
    journal = FileJournal(folder, Damages(), segment_bytes)
    try:
        yield journal
    finally:
        journal.close()


def replayed(journal: FileJournal, position: int = 0) -> list[JournalRecord]:
    return [one for _, one in journal.replay(position)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("journal-*.log"))


def test_what_was_appended_is_replayed_by_the_next_start(tmp_path: Path) -> None:
    records = [record(1), JournalRecord(RecordKind.HELLO, "", 0, 0, b""), record(3, 5000)]
    with opened(tmp_path) as journal:
        ends = [journal.append(one) for one in records]
        assert journal.acknowledge() == ends[-1] == journal.position
        assert replayed(journal) == records
    with opened(tmp_path) as journal:
        assert list(journal.replay(0)) == list(zip(ends, records, strict=True))
        assert replayed(journal, ends[0]) == records[1:]
        assert replayed(journal, ends[2]) == []


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=30), segment_bytes=st.integers(1, 500))
def test_segments_change_nothing_but_the_files(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], segment_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    records = [record(number, size) for number, size in enumerate(sizes)]
    with opened(folder, segment_bytes) as journal:
        ends = [journal.append(one) for one in records]
    with opened(folder, segment_bytes) as journal:
        for at in range(len(ends) + 1):
            assert replayed(journal, ends[at - 1] if at else 0) == records[at:]
        journal.cut(ends[len(ends) // 2])
        assert replayed(journal, ends[len(ends) // 2]) == records[len(ends) // 2 + 1 :]
        assert journal.position == ends[-1]


def test_a_cut_removes_whole_segments_only(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as journal:
        ends = [journal.append(record(number)) for number in range(4)]
        journal.cut(ends[1] - 1)
        assert len(segments(tmp_path)) == 3
        assert journal.oldest_position == ends[0]
        journal.cut(ends[3])
        # The one that is written to stays.
        assert len(segments(tmp_path)) == 1


def test_a_tail_torn_at_any_byte_costs_the_last_record_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "whole") as journal:
        first = journal.append(record(1))
        whole = journal.append(record(2))
    content = segments(tmp_path / "whole")[0].read_bytes()
    assert len(content) == whole
    for size in range(first, whole):
        folder = tmp_path / f"torn-{size}"
        folder.mkdir()
        (folder / "journal-00000000000000000000.log").write_bytes(content[:size])
        damages = Damages()
        journal = FileJournal(folder, damages)
        assert replayed(journal) == [record(1)]
        assert bool(damages.told) == (size > first)
        journal.append(record(3))
        assert replayed(journal) == [record(1), record(3)]
        journal.close()


@pytest.mark.parametrize("byte", [0, 3, 4, 8, 30], ids=["length", "length's top", "checksum", "kind", "body"])
def test_a_flipped_bit_costs_its_record_alone_which_is_kept_beside(tmp_path: Path, byte: int) -> None:
    with opened(tmp_path, segment_bytes=150) as journal:
        ends = [journal.append(record(number)) for number in range(6)]
    damaged = segments(tmp_path)[0]
    content = bytearray(damaged.read_bytes())
    content[ends[0] + byte] ^= 4
    damaged.write_bytes(content)
    damages = Damages()
    journal = FileJournal(tmp_path, damages, 150)
    assert replayed(journal) == [record(number) for number in range(6) if number != 1]
    ((name, at, cut, _),) = damages.told
    assert (name, at, cut) == (damaged.name, ends[0], ends[1] - ends[0])
    assert (tmp_path / f"quarantine-{ends[0]:020d}.bin").read_bytes() == content[ends[0] : ends[1]]
    assert journal.position == ends[-1]
    journal.close()


def test_what_looks_like_a_record_inside_another_is_none(tmp_path: Path) -> None:
    """Agents choose payloads: one may hold whole records of an earlier journal, or of its own making."""
    with opened(tmp_path / "forged") as journal:
        journal.append(record(7))
        journal.append(record(8))
    forged = segments(tmp_path / "forged")[0].read_bytes()
    with opened(tmp_path) as journal:
        journal.append(record(1))
        begin = journal.position
        journal.append(JournalRecord(RecordKind.BATCH, "default/liar", 1, 1, forged * 3))
        journal.append(record(2))
    (file,) = segments(tmp_path)
    content = bytearray(file.read_bytes())
    content[begin] ^= 1
    file.write_bytes(content)
    with opened(tmp_path) as journal:
        assert replayed(journal) == [record(1), record(2)]


@pytest.mark.parametrize("which", [0, 1])
def test_a_segment_that_is_shorter_or_gone_is_told(tmp_path: Path, which: int) -> None:
    with opened(tmp_path, segment_bytes=150) as journal:
        ends = [journal.append(record(number)) for number in range(8)]
    bases = [int(one.stem.removeprefix("journal-")) for one in segments(tmp_path)]
    file = segments(tmp_path)[which]
    left = [record(number) for number, end in enumerate(ends) if not bases[which] < end <= bases[which + 1]]
    for change in (lambda: file.write_bytes(b""), file.unlink):
        change()
        damages = Damages()
        journal = FileJournal(tmp_path, damages, 150)
        assert replayed(journal) == left
        assert sum(cut for _, _, cut, _ in damages.told) == bases[which + 1] - bases[which]
        assert journal.position == ends[-1]
        journal.close()


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One of the ways in which disks and people spoil a file."""
    at, length = chance.randrange(len(content)), chance.randrange(1, 60)
    match chance.randrange(6):
        case 0:
            return content[:at]
        case 1:
            flipped = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            return bytes(flipped)
        case 2:
            return content[:at] + bytes(length) + content[at + length :]
        case 3:
            return content[:at] + chance.randbytes(length) + content[at:]
        case 4:
            return content[:at] + content[at + length :]
        case _:
            return content[:at] + content[max(0, at - length) :]


def test_of_a_thousand_spoiled_files_each_gives_what_is_whole_in_it_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path / "whole") as journal:
        ends = [journal.append(record(number, 10 + 7 * number % 50)) for number in range(12)]
    content = segments(tmp_path / "whole")[0].read_bytes()
    whole = [record(number, 10 + 7 * number % 50) for number in range(12)]
    chance = random.Random(4)
    folder = tmp_path / "spoiled"
    folder.mkdir()
    file = folder / "journal-00000000000000000000.log"
    for number in range(1000):
        spoiled = mutated(content, chance)
        file.write_bytes(spoiled)
        damages = Damages()
        journal = FileJournal(folder, damages)
        found = replayed(journal)
        differ = (at for at, (old, new) in enumerate(zip(content, spoiled, strict=False)) if old != new)
        untouched = next(differ, min(len(content), len(spoiled)))
        assert found == sorted(found, key=whole.index), number
        assert found[: sum(end <= untouched for end in ends)] == whole[: sum(end <= untouched for end in ends)], number
        assert found == whole or damages.told or len(spoiled) in (0, *ends), number
        journal.append(record(99))
        assert replayed(journal) == [*found, record(99)]
        journal.close()


@settings(max_examples=60, deadline=None)
@given(garbage=st.binary(max_size=200))
def test_no_content_of_a_file_stops_a_start(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    folder = tmp_path_factory.mktemp("journal")
    (folder / "journal-00000000000000000000.log").write_bytes(garbage)
    with opened(folder) as journal:
        journal.append(record(1))
        assert replayed(journal)[-1] == record(1)


def test_a_second_process_is_refused_and_spoils_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.append(record(1))
        pool = multiprocessing.get_context("spawn").Pool(1)
        with pool:
            assert "Another aggregator uses" in pool.apply(refusal_of, (tmp_path,))
        pool.join()
        journal.append(record(2))
        assert replayed(journal) == [record(1), record(2)]
    with opened(tmp_path) as journal:
        assert replayed(journal) == [record(1), record(2)]


def refusal_of(folder: Path) -> str:
    with pytest.raises(JournalFailed) as refused:
        FileJournal(folder, Damages())
    return str(refused.value)


@contextmanager
def disk_that_ends_at(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", range(0, 70, 7))
def test_a_full_disk_refuses_a_record_whole(tmp_path: Path, room: int) -> None:
    with opened(tmp_path) as journal:
        end = journal.append(record(1))
        with disk_that_ends_at(end + room):
            with pytest.raises(JournalFailed, match="free some space"):
                journal.append(record(2, 200))
            assert journal.position == end == segments(tmp_path)[0].stat().st_size
            assert journal.acknowledge() == end
        journal.append(record(3))
        assert replayed(journal) == [record(1), record(3)]


def test_a_segment_that_cannot_begin_is_a_failed_journal_and_the_old_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with opened(folder, segment_bytes=1) as journal:
        journal.append(record(1))
        away = folder.rename(tmp_path / "away")
        with pytest.raises(JournalFailed, match="cannot be written"):
            journal.append(record(2))
        away.rename(folder)
        journal.append(record(3))
        assert replayed(journal) == [record(1), record(3)]


def test_after_a_failed_sync_nothing_is_taken_any_more(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, Damages())
    journal.append(record(1))
    journal.close()
    with pytest.raises(JournalFailed, match="did not reach the disk"):
        journal.acknowledge()
    with pytest.raises(JournalFailed, match="did not reach the disk"):
        journal.append(record(2))


def test_a_folder_that_is_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalFailed, match="name a directory"):
        FileJournal(tmp_path / "file", Damages())


def test_a_checkpoint_that_knows_more_than_the_files_moves_the_position(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.append(record(1))
        journal.skip_to(5000)
        end = journal.append(record(2))
        assert end > 5000
    with opened(tmp_path) as journal:
        assert journal.position == end
        assert replayed(journal, 5000) == [record(2)]
        journal.skip_to(10)
        assert journal.position == end
    shutil.rmtree(tmp_path)
