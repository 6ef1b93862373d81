"""A bad wire: a host's uplink that loses, reorders and doubles TCP segments, by a seed.

This kernel need not have netem: a small relay (apps/relay.c) passes the frames between two TAP devices. It lives in a
cgroup of its cluster and ends when its input does, so it never outlives who made it.
"""

import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import NAMESPACES
from tests.cluster.processes import ProgramFailed

SOURCE = Path(__file__).parent / "apps" / "relay.c"
ANSWER_SECONDS = 10
_JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Impairment:
    """Shares of TCP segments, between 0 and 1, each way. What is held back goes on after one to eight later frames,
    or after hold_seconds."""

    loss: float = 0
    reordering: float = 0
    duplication: float = 0
    hold_seconds: float = 0.003
    seed: int = 1

    def line(self) -> str:
        shares = (self.loss, self.reordering, self.duplication, self.hold_seconds)
        return " ".join([*(str(round(share * 1_000_000)) for share in shares), str(self.seed)])


@dataclass(frozen=True, slots=True)
class Passed:
    """What a wire did to the frames of both ways."""

    frames: int
    lost: int
    held_back: int
    doubled: int


class ImpairedWire:
    def __init__(self, cgroup: Path, directory: Path) -> None:
        self._cgroup, self._program = cgroup, directory / "relay"
        self._process: subprocess.Popen[str] | None = None

    def join(self, namespace: str, device: str, other_namespace: str, other_device: str) -> None:
        """Makes both devices and passes frames between them. Raises ProgramFailed."""
        if not self._program.exists():
            _run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(self._program), str(SOURCE)])
        self._cgroup.mkdir(parents=True)
        ends = [str(NAMESPACES / namespace), device, str(NAMESPACES / other_namespace), other_device]
        self._process = subprocess.Popen(
            ["sh", "-c", _JOIN, str(self._cgroup), str(self._program), *ends],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answer()
        for inside, name in ((namespace, device), (other_namespace, other_device)):
            # A full queue would lose more than was asked for.
            _run(["ip", "-n", inside, "link", "set", name, "txqueuelen", "10000"])

    def impair(self, impairment: Impairment) -> Passed:
        """From now on; returns what happened since the last time."""
        assert self._process and self._process.stdin, "the wire joins nothing yet"
        self._process.stdin.write(f"{impairment.line()}\n")
        self._process.stdin.flush()
        return Passed(*map(int, self._answer().split()))

    def close(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process and self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise ProgramFailed(f"the relay does not answer; its status is {self._process.poll()}")
        return line


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProgramFailed(f"{' '.join(command)}: {done.stderr.strip()}")
