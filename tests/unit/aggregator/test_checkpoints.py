"""Checkpoints as files: the newest good one is found, a damaged or half-written one costs nothing."""

from pathlib import Path

import pytest

from aggregator.checkpoints import Checkpoints
from tests.unit.aggregator.test_journal import disk_that_ends_at


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: list[tuple[str, str]] = []
        self.checkpoints = Checkpoints(path, lambda file, why: self.damaged.append((file.name, why)))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    def save(self, position: int, content: bytes) -> int:
        return self.checkpoints.save(position, lambda file: file.write(content))

    def newest(self) -> Path:
        return max(self.path.glob("checkpoint-*.bin"))

    def usable(self) -> list[tuple[int, bytes]]:
        return list(self.checkpoints.usable())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_newest_two_are_kept_and_the_older_one_says_where_to_cut(folder: Folder) -> None:
    assert folder.usable() == []
    assert [folder.save(position, str(position).encode()) for position in (5, 70, 900)] == [0, 5, 70]
    assert folder.usable() == [(900, b"900"), (70, b"70")]


def test_a_checkpoint_at_one_position_is_written_again(folder: Folder) -> None:
    folder.save(5, b"old")
    folder.save(5, b"new")
    assert folder.usable() == [(5, b"new")]


@pytest.mark.parametrize("byte", [0, 8, 15, 16, 20, 24])
def test_a_flipped_bit_anywhere_is_told_and_the_older_one_is_used(folder: Folder, byte: int) -> None:
    folder.save(5, b"older")
    folder.save(70, b"newer")
    content = bytearray(folder.newest().read_bytes())
    content[byte] ^= 1
    folder.newest().write_bytes(content)
    assert folder.usable() == [(5, b"older")]
    assert folder.damaged == [(folder.newest().name, "checksum differs")]


def test_half_a_file_is_told_and_left_out(folder: Folder) -> None:
    folder.save(5, b"older")
    folder.save(70, b"newer")
    whole = folder.newest().read_bytes()
    for size in range(len(whole)):
        folder.newest().write_bytes(whole[:size])
        assert folder.usable() == [(5, b"older")]


def test_a_full_disk_leaves_the_last_one_and_no_litter(folder: Folder) -> None:
    folder.save(5, b"older")
    before = folder.names()
    with disk_that_ends_at(1000), pytest.raises(OSError, match="large"):
        folder.save(70, bytes(5000))
    assert folder.names() == before
    assert folder.usable() == [(5, b"older")]
