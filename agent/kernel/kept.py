"""Compiled programs on disk: an agent that starts again need not compile again.

They run in the kernel, so what somebody else could have written is not read. Nothing depends on the directory: without
it, or with damage in it, the agent compiles.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from agent.kernel.compiled import Compiled, packed, unpacked

# Of other releases and kernels, the latest are left.
MOST_FILES = 4
_MOST_BYTES = 16_000_000
USED, WRITTEN = "used", "written"


def read_or_compile(directory: Path | None, key: str, compile_anew: Callable[[], Compiled]) -> tuple[Compiled, str]:
    """And what became of the directory: USED, WRITTEN, "" where there is to be none, or why it could not be used."""
    if directory is None:
        return compile_anew(), ""
    path = directory / f"{key}.compiled"
    try:
        found = _read(path)
    except NotKept as why:
        return compile_anew(), str(why)
    if found is not None:
        return found, USED
    compiled = compile_anew()
    try:
        _write(path, packed(compiled))
    except NotKept as why:
        return compiled, str(why)
    return compiled, WRITTEN


class NotKept(Exception):
    """Why the directory is of no use; for a person."""


def _read(path: Path) -> Compiled | None:
    """None where there is nothing, or nothing whole. Raises NotKept."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_ours(path.parent, path.parent.stat())
        with path.open("rb") as file:
            _check_ours(path, os.fstat(file.fileno()))
            return unpacked(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotKept(f"{path.parent}: {error.strerror}") from None


def _check_ours(path: Path, told: os.stat_result) -> None:
    if told.st_uid != os.geteuid() or told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotKept(f"{path} can be written by others")


def _write(path: Path, content: bytes) -> None:
    """Raises NotKept."""
    fresh = path.with_suffix(".fresh")
    try:
        # Of one that was killed while it wrote.
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fresh.replace(path)
        others = sorted(path.parent.glob("*.compiled"), key=lambda one: one.stat().st_mtime_ns)
        for old in others[:-MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise NotKept(f"{path.parent}: {error.strerror}") from None
