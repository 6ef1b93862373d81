"""Taking a cluster down, also one whose maker died: its processes, cgroups, namespaces and files.

A cluster's id is plumbline-PID-START-RANDOM of the process that made it, and everything that it has begins with it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.cluster import network, processes

PREFIX = "plumbline-"


class NoCluster(RuntimeError):
    """This machine cannot hold a cluster; the message says why."""


def cgroup_mount() -> Path:
    """Where cgroup v2 is mounted. Raises NoCluster."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise NoCluster("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


def hierarchies() -> list[Path]:
    """Where cgroups are mounted: version 2, and each of version 1 that stands beside it. Raises NoCluster."""
    rows = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [cgroup_mount(), *(Path(where) for _, where, kind, *_ in rows if kind == "cgroup")]


def identity_of_this_process(word: str) -> str:
    return f"{PREFIX}{os.getpid()}-{_start_ticks(os.getpid())}-{word}"


def remains(identity: str) -> list[Path]:
    """Everything of a cluster that is still there."""
    return [path for place in _places() for path in place.glob(f"{identity}*")]


def end_all(cgroup: Path) -> None:
    """All that runs in it and below; nothing where it is not there."""
    if cgroup.is_dir():
        processes.wait_until(lambda: _is_killed(cgroup), f"the processes of {cgroup.name} ended")


def remove(identity: str) -> None:
    """Ends what runs in a cluster and removes what it has; what is gone already is no error."""
    end_all(cgroup_mount() / identity)
    for part in (hierarchy / identity for hierarchy in hierarchies()):
        for directory, _, _ in os.walk(part, topdown=False):
            Path(directory).rmdir()
    network.remove_namespaces(identity)
    for directory_of_files in Path(tempfile.gettempdir()).glob(f"{identity}-*"):
        _unmount(directory_of_files)
        shutil.rmtree(directory_of_files, ignore_errors=True)


def sweep() -> list[str]:
    """Removes the clusters whose makers are dead; returns their ids."""
    found = {_identity(path.name) for place in _places() for path in place.glob(f"{PREFIX}*-*-*")}
    dead = sorted(identity for identity in found if identity and not _maker_lives(identity))
    for identity in dead:
        remove(identity)
    return dead


def _places() -> list[Path]:
    places = (cgroup_mount(), network.NAMESPACES, Path(tempfile.gettempdir()))
    return [place for place in places if place.is_dir()]


def _unmount(directory: Path) -> None:
    """What a test mounted below it: a disk that can be full."""
    places = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([one for one in places if one.is_relative_to(directory)]):
        subprocess.run(["umount", "--lazy", place], check=False)


def _is_killed(cgroup: Path) -> bool:
    if (cgroup / "cgroup.kill").exists():
        (cgroup / "cgroup.kill").write_text("1")
    else:  # before Linux 5.14
        for pid in (pid for one in cgroup.rglob("cgroup.procs") for pid in one.read_text().split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    return "populated 0" in (cgroup / "cgroup.events").read_text()


def _identity(name: str) -> str:
    words = name.removeprefix(PREFIX).split("-")
    return f"{PREFIX}{'-'.join(words[:3])}" if words[0].isdigit() and words[1].isdigit() else ""


def _maker_lives(identity: str) -> bool:
    pid, ticks, _ = identity.removeprefix(PREFIX).split("-")
    return _start_ticks(int(pid)) == int(ticks)


def _start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none. With the pid it names one process."""
    try:
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    state_and_later_begin_at_field = 3
    return int(after_command[22 - state_and_later_begin_at_field])


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as an exception, so that the cluster is taken down on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds back the signals that would interrupt taking the cluster down."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
