"""A memory cgroup of one's own, of version 1 or 2, whichever this machine has the memory controller in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `working_set` is what a kubelet looks at: all but file pages that were not used lately."""

    current: int
    peak: int
    working_set: int
    anonymous: int
    kernel: int


class NoController(RuntimeError):
    """This machine has no memory controller that can be used; the message says why."""


class MemoryCgroup:
    def __init__(self, path: Path, is_v2: bool) -> None:
        self.path, self._is_v2 = path, is_v2

    @property
    def processes(self) -> Path:
        return self.path / "cgroup.procs"

    def read(self) -> Memory:
        stat = {name: int(value) for name, value in (line.split() for line in self._text("memory.stat"))}
        if self._is_v2:
            current, peak, kernel = self._number("memory.current"), self._number("memory.peak"), stat["kernel"]
            return Memory(current, peak, current - stat["inactive_file"], stat["anon"], kernel)
        current, peak = self._number("memory.usage_in_bytes"), self._number("memory.max_usage_in_bytes")
        kernel = self._number("memory.kmem.usage_in_bytes")
        return Memory(current, peak, current - stat["total_inactive_file"], stat["total_rss"], kernel)

    def _text(self, name: str) -> list[str]:
        return (self.path / name).read_text().splitlines()

    def _number(self, name: str) -> int:
        return int((self.path / name).read_text())


@contextmanager
def memory_cgroup(name: str) -> Iterator[MemoryCgroup]:
    """Below this process's own one. Raises NoController. What runs in it must have ended before this is left."""
    parent, is_v2 = _own()
    path = parent / name
    try:
        path.mkdir()
    except OSError as error:
        raise NoController(f"{path} cannot be made: {error.strerror}") from error
    try:
        if is_v2 and not (path / "memory.current").exists():
            raise NoController(f"the memory controller is not handed down to {path}")
        yield MemoryCgroup(path, is_v2)
    finally:
        path.rmdir()


def _own() -> tuple[Path, bool]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = {("v2" if row[2] == "cgroup2" else row[3]): row[1] for row in mounts if row[2] in ("cgroup", "cgroup2")}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            mount = next((where for options, where in places.items() if "memory" in options.split(",")), None)
            if mount is not None:
                return Path(mount + path), False
        elif number == "0" and "v2" in places and "memory" in _controllers(Path(places["v2"] + path)):
            return Path(places["v2"] + path), True
    raise NoController("no hierarchy of cgroups here has the memory controller")


def _controllers(path: Path) -> str:
    return (path / "cgroup.subtree_control").read_text()
