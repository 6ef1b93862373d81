"""What was made of the journal up to a position, as files: so that it can be cut, and a start is quick.

A file `checkpoint-<position>.bin` is: magic | u64 position | u32 crc32 of content | content. The newest two are
kept, and the journal is cut at the older one: a damaged file costs time, never data.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from aggregator.journal import sync_folder
from aggregator.kept import Write

_HEAD: Final = struct.Struct("<8sQI")
_MAGIC: Final = b"plumb-ck"
_NAME: Final = "checkpoint-{:020d}.bin"
_DRAFT: Final = "checkpoint.new"
_KEPT: Final = 2

Damage = Callable[[Path, str], None]


class Checkpoints:
    """Of one folder, which a FileJournal has locked."""

    def __init__(self, folder: Path, damaged: Damage) -> None:
        self._folder = folder
        self._damaged = damaged
        self.saved_bytes = 0  # the content of the last one

    def usable(self) -> Iterator[tuple[int, bytes]]:
        """(position, content), the newest first; damaged ones are told and left out."""
        for path in reversed(self._paths()):
            raw = path.read_bytes()
            if len(raw) < _HEAD.size:
                self._damaged(path, "too short")
                continue
            magic, position, crc = _HEAD.unpack_from(raw)
            content = raw[_HEAD.size :]
            if magic != _MAGIC or position != _position(path) or zlib.crc32(content) != crc:
                self._damaged(path, "checksum differs")
                continue
            yield position, content

    def save(self, position: int, write: Write) -> int:
        """Returns the position before which the journal is not needed any more. Raises OSError."""
        path = self._folder / _NAME.format(position)
        draft = self._folder / _DRAFT
        try:
            draft.unlink(missing_ok=True)
            # It says all that the journal says, so nobody else may read it either.
            opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            with os.fdopen(opened, "wb") as file:
                file.write(bytes(_HEAD.size))
                content = _Summed(file)
                write(content)
                file.seek(0)
                file.write(_HEAD.pack(_MAGIC, position, content.crc32))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            # Half a checkpoint would take the room that the journal needs.
            draft.unlink(missing_ok=True)
        sync_folder(self._folder)
        self.saved_bytes = content.size_bytes
        paths = self._paths()
        for one in paths[:-_KEPT]:
            one.unlink()
        return _position(paths[-_KEPT]) if len(paths) >= _KEPT else 0

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*.bin"))


class _Summed:
    """A file with the sum of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc32 = self.size_bytes = 0

    def write(self, data: Any) -> int:
        self.crc32 = zlib.crc32(data, self.crc32)
        self.size_bytes += memoryview(data).nbytes
        return self._file.write(data)


def _position(path: Path) -> int:
    return int(path.stem.removeprefix("checkpoint-"))
