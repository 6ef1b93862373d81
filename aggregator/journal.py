"""The append-only file of everything that was reported: what is acknowledged is on disk first.

A position is the number of journal bytes before a record, counted from the first record ever written; it grows
for ever, whatever segments are cut. Layout of a segment `journal-<position of its first record>.log`:

    record  := u32 length of body | u32 crc32 of body | body        (little-endian)
    body    := u8 kind | u64 received_ns | u64 epoch | u16 length of host | host (UTF-8) | payload

A distributed log can take this one's place: it needs append, acknowledge, replay and cut.
"""

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from aggregator.records import JournalRecord, RecordKind

_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<BQQH")
_MAX_BODY_BYTES = 64 * 1024 * 1024
_SEGMENT_NAME = "journal-{:020d}.log"

Damage = Callable[[Path, int, int, str], None]


class JournalFailed(Exception):
    """The disk does not take what must be kept; one sentence with the remedy."""


class FileJournal:
    """The journal as segment files in one folder, owned by one process.

    Appends are visible to replay at once, and safe from a crash once acknowledged.
    """

    def __init__(self, folder: Path, damaged: Damage, segment_bytes: int = 32 * 1024 * 1024) -> None:
        """Cuts a damaged tail off the newest segment and tells `damaged(file, at byte, bytes cut, why)`.

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
        self._size = self._mend(self._path(self._base))

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
        frame = _encode(record)
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
        for base, following in zip(bases, [*bases[1:], None], strict=True):
            if following is not None and following <= position:
                continue
            yield from self._replay_segment(base, position)

    def cut(self, position: int) -> None:
        """Records before `position` are not needed any more."""
        bases = self._bases()
        for base, following in pairwise(bases):
            if following <= position:
                self._path(base).unlink()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def _replay_segment(self, base: int, position: int) -> Iterator[tuple[int, JournalRecord]]:
        path = self._path(base)
        for end, body in _frames(path.read_bytes(), lambda at, cut, why: self._damaged(path, at, cut, why)):
            if base + end > position:
                try:
                    record = _decode(body)
                except ValueError as error:
                    self._damaged(path, end - len(body), len(body), f"no record: {error}")
                    continue
                yield base + end, record

    def _mend(self, path: Path) -> int:
        content = path.read_bytes()
        good = len(content)

        def note(at: int, cut: int, why: str) -> None:
            nonlocal good
            good = at
            self._damaged(path, at, cut, why)

        for _ in _frames(content, note):
            pass
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
        return sorted(int(path.stem.removeprefix("journal-")) for path in self._folder.glob("journal-*.log"))


def sync_folder(folder: Path) -> None:
    """A new or renamed file is safe only when its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode(record: JournalRecord) -> bytes:
    host = record.host.encode()
    body = _HEAD.pack(record.kind, record.received_ns, record.epoch, len(host)) + host + record.payload
    if len(body) > _MAX_BODY_BYTES:
        raise JournalFailed(f"A record of {len(body)} bytes is larger than the journal takes ({_MAX_BODY_BYTES}).")
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _decode(body: bytes) -> JournalRecord:
    kind, received_ns, epoch, host_length = _HEAD.unpack_from(body)
    start = _HEAD.size + host_length
    return JournalRecord(RecordKind(kind), body[_HEAD.size : start].decode(), epoch, received_ns, body[start:])


def _frames(content: bytes, damaged: Callable[[int, int, str], None]) -> Iterator[tuple[int, bytes]]:
    """(end, body) of each whole record; stops at the first damage, after telling where and why."""
    at = 0
    while at < len(content):
        body_at = at + _FRAME.size
        if body_at > len(content):
            return damaged(at, len(content) - at, "half a frame")
        length, crc = _FRAME.unpack_from(content, at)
        body = content[body_at : body_at + length]
        if len(body) < length or length < _HEAD.size:
            return damaged(at, len(content) - at, "half a record")
        if zlib.crc32(body) != crc:
            return damaged(at, len(content) - at, "checksum differs")
        at = body_at + length
        yield at, body


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
