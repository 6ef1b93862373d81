"""The append-only file of everything that was reported: what is acknowledged is on disk first.

A position is the number of journal bytes before a record, counted from the first record ever written; it grows
for ever, whatever segments are cut. A segment is a file `journal-<position of its first record>.log` of records (see
frames.py). What is damaged is left out, told, and kept beside as `quarantine-<position>.bin`.

A distributed log can take this one's place: it needs append, acknowledge, replay and cut.
"""

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from aggregator import frames
from aggregator.records import JournalRecord

_SEGMENT_NAME = "journal-{:020d}.log"
_SEGMENT = re.compile(r"journal-(\d{20})\.log")
_QUARANTINE_NAME = "quarantine-{:020d}.bin"
_MOST_QUARANTINED = 16

Damage = Callable[[Path, int, int, str], None]


class JournalFailed(Exception):
    """The disk does not take what must be kept; one sentence with the remedy."""


class FileJournal:
    """The journal as segment files in one folder, owned by one process.

    Appends are visible to replay at once, and safe from a crash once acknowledged.
    """

    def __init__(self, folder: Path, damaged: Damage, segment_bytes: int = 32 * 1024 * 1024) -> None:
        """Cuts a damaged end off the newest segment. `damaged(file, at byte, bytes, why)` hears what is left out: of
        an end at once, of what lies between whole records in its place among those that are replayed.

        Raises JournalFailed when the folder cannot be used, or another process does.
        """
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._damaged = damaged
        self._sync_lock = threading.Lock()
        self._broken = ""
        self._lock = _lock(folder)
        bases = self._bases()
        self._base = bases[-1] if bases else 0
        self._file = self._open_segment(self._base)
        self._size = self._mend(self._base)

    @property
    def position(self) -> int:
        return self._base + self._size

    @property
    def oldest_position(self) -> int:
        """Of the first record that is still here: above 0 once the journal was cut."""
        return self._bases()[0]

    def skip_to(self, position: int) -> None:
        """Begin a new segment at `position`, when a checkpoint knows of more than the files here hold."""
        if position > self.position:
            self._start_segment(position)

    def append(self, record: JournalRecord) -> int:
        """The position after the record. Raises JournalFailed; then nothing of the record is kept."""
        if self._broken:
            raise JournalFailed(self._broken)
        try:
            frame = frames.encode(record, self.position)
        except ValueError as error:
            raise JournalFailed(str(error)) from error
        if self._size and self._size + len(frame) > self._segment_bytes:
            self.acknowledge()
            self._start_segment(self.position)
        try:
            self._write(frame)
        except OSError as error:
            self._take_back()
            raise JournalFailed(self._unwritable(error)) from error
        self._size += len(frame)
        return self.position

    def acknowledge(self) -> int:
        """Blocks until all that was appended before is on disk; the position up to which it is."""
        with self._sync_lock:
            if self._broken:
                raise JournalFailed(self._broken)
            position, file = self.position, self._file
            try:
                os.fdatasync(file)
            except OSError as error:
                # After a failed sync the kernel may have dropped the pages: nothing here can be trusted any more.
                self._broken = (
                    f"The journal in {self._folder} did not reach the disk ({error.strerror}): "
                    "check the disk, then start the aggregator again."
                )
                raise JournalFailed(self._broken) from error
            return position

    def replay(self, position: int) -> Iterator[tuple[int, JournalRecord]]:
        """Records from `position` on, each with the position after it."""
        bases = self._bases()
        if bases[0] > position:
            self._damaged(self._path(bases[0]), 0, bases[0] - position, "what was before it is missing")
        for base, following in zip(bases, [*bases[1:], self.position], strict=True):
            if following > position or base == bases[-1]:
                yield from self._replay_segment(base, following, position)

    def cut(self, position: int) -> None:
        """Records before `position` are not needed any more."""
        bases = self._bases()
        for base, following in pairwise(bases):
            if following <= position:
                self._path(base).unlink()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def _replay_segment(self, base: int, following: int, position: int) -> Iterator[tuple[int, JournalRecord]]:
        path = self._path(base)
        content = path.read_bytes()[: following - base]
        for found in frames.scan(content, base):
            if base + found.end <= position:
                continue
            if isinstance(found, frames.Damaged):
                self._leave_out(path, base, content, found)
                continue
            try:
                record = frames.decode(found.body)
            except ValueError as error:
                begin = found.end - len(found.body)
                self._leave_out(path, base, content, frames.Damaged(begin, found.end, f"no record: {error}"))
                continue
            yield base + found.end, record
        if base + len(content) < following:
            missing = following - base - len(content)
            self._damaged(path, len(content), missing, "its end is missing")

    def _leave_out(self, path: Path, base: int, content: bytes, found: frames.Damaged) -> None:
        why = found.why
        try:
            self._quarantine(base + found.at, content[found.at : found.end])
        except OSError as error:
            why = f"{why}; and it could not be kept beside: {error.strerror}"
        self._damaged(path, found.at, found.end - found.at, why)

    def _quarantine(self, position: int, content: bytes) -> None:
        """For a person who wants to know what it was. The newest ones are kept."""
        path = self._folder / _QUARANTINE_NAME.format(position)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(opened, "wb") as file:
            file.write(content)
        for old in sorted(self._folder.glob("quarantine-*.bin"))[:-_MOST_QUARANTINED]:
            old.unlink()

    def _mend(self, base: int) -> int:
        """Nothing is appended to half a record."""
        path = self._path(base)
        content = path.read_bytes()
        good = len(content)
        for found in frames.scan(content, base):
            if isinstance(found, frames.Damaged) and found.end == len(content):
                good = found.at
                self._leave_out(path, base, content, found)
        os.ftruncate(self._file, good)
        return good

    def _write(self, frame: bytes) -> None:
        view = memoryview(frame)
        while view:
            view = view[os.write(self._file, view) :]

    def _take_back(self) -> None:
        """Half a record would make all that follows it unreadable."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._broken = f"{self._unwritable(error)} Then start the aggregator again."

    def _unwritable(self, error: OSError) -> str:
        return f"The journal in {self._folder} cannot be written ({error.strerror}): free some space."

    def _start_segment(self, base: int) -> None:
        """Raises JournalFailed; then the present segment goes on."""
        try:
            opened = self._open_segment(base)
        except OSError as error:
            raise JournalFailed(self._unwritable(error)) from error
        # Another thread may be about to bring the previous one to disk.
        with self._sync_lock:
            previous, self._file = self._file, opened
            self._base, self._size = base, 0
        os.close(previous)

    def _open_segment(self, base: int) -> int:
        file = os.open(self._path(base), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        sync_folder(self._folder)
        return file

    def _path(self, base: int) -> Path:
        return self._folder / _SEGMENT_NAME.format(base)

    def _bases(self) -> list[int]:
        found = (_SEGMENT.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(one[1]) for one in found if one)


def sync_folder(folder: Path) -> None:
    """A new or renamed file is safe only when its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Two processes that append to one file would each spoil what the other acknowledged."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        sentence = f"{folder} cannot be used ({error.strerror}); name a directory that can be written with --data."
        raise JournalFailed(sentence) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise JournalFailed(f"Another aggregator uses {folder}; end it, or name another --data.") from error
    return lock
