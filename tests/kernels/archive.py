"""The archive that a kernel unpacks as its first file system ("newc"), and what comes back from a guest."""

import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_ALIGNMENT = 4


class Archive:
    """Written as it grows; directories above a file come by themselves. Times are kept: Python compares them."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._known: set[str] = {"."}

    def add(self, file: Path, name: str = "") -> None:
        """A file, link or directory, by its own name or by another one; the second of a name is left out."""
        state = file.lstat()
        content = b""
        if stat.S_ISLNK(state.st_mode):
            content = os.fsencode(file.readlink())
        elif stat.S_ISREG(state.st_mode):
            content = file.read_bytes()
        self.write(name or str(file), state.st_mode, content, int(state.st_mtime))

    def write(self, name: str, mode: int, content: bytes = b"", mtime: int = 0) -> None:
        relative = PurePosixPath(name.lstrip("/"))
        if str(relative) in self._known:
            return
        if str(relative.parent) not in self._known:
            self.write(str(relative.parent), stat.S_IFDIR | 0o755)
        self._known.add(str(relative))
        self._entry(str(relative), mode, content, mtime)

    def close(self) -> None:
        self._entry("TRAILER!!!", 0, b"", 0)

    def _entry(self, name: str, mode: int, content: bytes, mtime: int) -> None:
        encoded = os.fsencode(name) + b"\0"
        fields = (len(self._known), mode, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(encoded), 0)
        head = b"070701" + b"".join(b"%08x" % one for one in fields) + encoded
        for part in (head, content):
            self._sink.write(part)
            self._sink.write(b"\0" * (-len(part) % _ALIGNMENT))
