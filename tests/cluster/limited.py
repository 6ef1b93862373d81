"""Real cgroups with limits, in whichever hierarchies this machine has their controllers, and programs in them."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.leftovers import cgroup_mount, end_all

_PERIOD_US = 100_000


def controller_mount(controller: str) -> Path | None:
    """Where a hierarchy of version 1 has it; None: it is version 2's."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return Path(place)
    return None


@dataclass(frozen=True, slots=True)
class Limited:
    """One cgroup in each hierarchy, all with the same path."""

    unified: Path
    cpu: Path
    memory: Path

    @property
    def directories(self) -> Sequence[Path]:
        return tuple(dict.fromkeys((self.unified, self.cpu, self.memory)))

    def limit_cpu(self, cores: float) -> None:
        quota = round(cores * _PERIOD_US)
        if self.cpu == self.unified:
            (self.cpu / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (self.cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.cpu / "cpu.cfs_quota_us").write_text(str(quota))

    def limit_memory(self, size_bytes: int) -> None:
        name = "memory.max" if self.memory == self.unified else "memory.limit_in_bytes"
        (self.memory / name).write_text(str(size_bytes))

    def start(self, code: str) -> "subprocess.Popen[bytes]":
        """Python code, in it before it begins."""
        return self.start_program(sys.executable, "-c", code)

    def start_program(self, *command: str) -> "subprocess.Popen[bytes]":
        enter = " && ".join(f"echo $$ > {one}/cgroup.procs" for one in self.directories)
        return subprocess.Popen(["/bin/sh", "-c", f'{enter} && exec "$@"', "sh", *command])

    def take_in(self, process_id: int) -> None:
        """A program that runs."""
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(process_id))

    def stat(self, name: str) -> dict[str, int]:
        """A file of lines "key value", from the hierarchy that has it."""
        place = self.cpu if name == "cpu.stat" else self.memory
        return {word: int(value) for word, value in _pairs(place / name)}

    def cpu_ns(self) -> int:
        return int(dict(_pairs(self.unified / "cpu.stat"))["usage_usec"]) * 1000

    def throttled(self) -> tuple[int, int, int]:
        """Periods, throttled periods, ns, by the kernel."""
        found = self.stat("cpu.stat")
        waited_ns = found["throttled_time"] if "throttled_time" in found else found["throttled_usec"] * 1000
        return found["nr_periods"], found["nr_throttled"], waited_ns

    def oom_kills(self) -> int:
        return self.stat("memory.events" if self.memory == self.unified else "memory.oom_control")["oom_kill"]

    def usage_bytes(self) -> int:
        name = "memory.current" if self.memory == self.unified else "memory.usage_in_bytes"
        return int((self.memory / name).read_text())

    def remove(self) -> None:
        for directory in self.directories:
            _remove(directory)


@contextmanager
def limited(path: str, beside: bool = False) -> Iterator[Limited]:
    """`path` below the root of each hierarchy; all of it goes again. `beside`: version 2's is somebody's."""
    mount = cgroup_mount()
    mounts = [mount, controller_mount("cpu") or mount, controller_mount("memory") or mount]
    found = Limited(*(one / path for one in mounts))
    for directory in found.directories:
        directory.mkdir(parents=True, exist_ok=True)
    _enable(mount, path)
    try:
        yield found
    finally:
        if not beside:
            end_all(found.unified)
        for root, directory in zip(mounts, (found.unified, found.cpu, found.memory), strict=True):
            while directory != root and not (beside and root == mount):
                _remove(directory)
                directory = directory.parent


def _enable(mount: Path, path: str) -> None:
    """Where the controllers are version 2's, a cgroup has them when those above it say so."""
    ours = [one for one in ("cpu", "memory") if controller_mount(one) is None]
    above = mount
    for part in Path(path).parts:
        for one in ours:
            (above / "cgroup.subtree_control").write_text(f"+{one}")
        above /= part


def _remove(directory: Path) -> None:
    deadline = time.monotonic() + 5
    while directory.is_dir() and not [one for one in directory.iterdir() if one.is_dir()]:
        try:
            directory.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _pairs(file: Path) -> list[tuple[str, str]]:
    return [(word, value) for word, _, value in (line.partition(" ") for line in file.read_text().splitlines())]
