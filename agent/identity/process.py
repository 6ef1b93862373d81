"""What /proc and cgroup.procs tell about processes. A process may vanish between two reads: then it told nothing."""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from agent.text import carried

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)


class Proc:
    """One proc file system. `denied` counts what existed and could not be read for want of rights.

    `cgroup_namespace`: where the root of our cgroup namespace is in the hierarchy that we look at."""

    def __init__(self, root: Path = Path("/proc"), cgroup_namespace: str = "/") -> None:
        self.root = root
        self._cgroup_namespace = cgroup_namespace.rstrip("/")
        self.denied = 0

    def command(self, pid: int) -> str:
        """As the kernel notes it (at most 15 bytes); "" when the process is gone."""
        return carried(self._read(f"{pid}/comm").rstrip(b"\n"))

    def network_namespace(self, pid: int | str) -> int:
        """Inode of its network namespace; 0 when unknown."""
        try:
            return Path(self.root, f"{pid}/ns/net").stat().st_ino
        except _GONE:
            return 0
        except PermissionError:
            self.denied += 1
            return 0

    def cgroup_path(self, pid: int | str) -> str | None:
        """Its path in the cgroup v2 hierarchy; None when unknown."""
        for line in self._read(f"{pid}/cgroup").decode("utf-8", "surrogateescape").splitlines():
            if line.startswith("0::"):
                shown = line.removeprefix("0::").removesuffix(" (deleted)")
                return posixpath.normpath(self._cgroup_namespace + shown)
        return None

    def sockets(self, pid: int) -> Iterator[int]:
        """Inodes of the sockets it holds."""
        directory = f"{self.root}/{pid}/fd"
        try:
            names = os.listdir(directory)  # noqa: PTH208 (an iterator of paths costs three times as much)
        except _GONE:
            return
        except PermissionError:
            self.denied += 1
            return
        for name in names:
            try:
                target = os.readlink(f"{directory}/{name}")  # noqa: PTH115 (as above)
            except OSError:
                continue
            socket = _SOCKET.fullmatch(target)
            if socket:
                yield int(socket.group(1))

    def network_table(self, pid: int | str, name: str) -> str:
        """The text of /proc/PID/net/NAME; "" when it is not there."""
        return self._read(f"{pid}/net/{name}").decode("ascii", "replace")

    def network_rows(self, pid: int | str, name: str) -> Iterator[str]:
        """The same line by line: of a table that can be long, what is not read is not made."""
        try:
            with Path(self.root, f"{pid}/net/{name}").open(encoding="ascii", errors="replace") as lines:
                yield from lines
        except PermissionError:
            self.denied += 1
        except OSError:  # It is gone, or a zombie's.
            return

    def text(self, path: str) -> str:
        """Of any other file; "" when it is not there."""
        return self._read(path).decode("ascii", "replace")

    def lives(self, pid: int) -> bool:
        """False for a zombie, which has no sockets any more."""
        state = self._read(f"{pid}/stat").rpartition(b") ")[2][:1]
        return state not in (b"", b"Z", b"X")

    def _read(self, path: str) -> bytes:
        try:
            return Path(self.root, path).read_bytes()
        except _GONE:
            return b""
        except PermissionError:
            self.denied += 1
            return b""
        except OSError:  # A zombie's files answer with EINVAL or ESRCH.
            return b""


def processes_in(cgroup_directory: Path) -> list[int]:
    """Process ids in one cgroup, without its children; empty when it is gone or threaded."""
    try:
        text = (cgroup_directory / "cgroup.procs").read_text()
    except OSError:
        return []
    # 0 stands for a process of another pid namespace.
    return [pid for pid in map(int, text.split()) if pid]


def cgroup_namespace(mount: Path, shown: str, pid: int) -> str:
    """Where the root of our cgroup namespace is below `mount`; `shown` is how /proc calls the cgroup that we, `pid`,
    are in. Not "/" in a container that sees the whole hierarchy but has a namespace of its own."""
    if pid in processes_in(mount / shown.lstrip("/")):
        return "/"
    for directory, _, _ in os.walk(mount):
        own = directory.removeprefix(str(mount))
        if pid in processes_in(Path(directory)) and f"{own}/".endswith(f"{shown.rstrip('/')}/"):
            return own.removesuffix(shown.rstrip("/")) or "/"
    return "/"
