"""What /proc and cgroup.procs tell about processes. A process may vanish between two reads: then it told nothing."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from agent.text import carried

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)


class Proc:
    """One proc file system. `denied` counts what existed and could not be read for want of rights."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self.root = root
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

    def cgroup_path(self, pid: int) -> str | None:
        """Its path in the cgroup v2 hierarchy, as seen from our cgroup namespace; None when unknown."""
        for line in self._read(f"{pid}/cgroup").decode("utf-8", "surrogateescape").splitlines():
            if line.startswith("0::"):
                return line.removeprefix("0::").removesuffix(" (deleted)")
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
