"""Starting and ending programs inside a (cgroup, network namespace). What they run is not decided here.

A program enters its cgroup and namespace before it is executed, so that every socket it ever has belongs there.
It gets a mount namespace of its own, in which /etc/resolv.conf names the cluster's resolver.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON = "/usr/bin/python3"
_ENTER = """
echo $$ > "$CLUSTER_CGROUP/cgroup.procs" || exit 97
exec nsenter --net="$CLUSTER_NAMESPACE" -- unshare --mount -- sh -c '
mount --bind "$CLUSTER_RESOLV_CONF" "$(readlink -f /etc/resolv.conf)" || exit 98
unset CLUSTER_CGROUP CLUSTER_NAMESPACE CLUSTER_RESOLV_CONF
exec "$@"' sh "$@"
"""


class ProgramFailed(RuntimeError):
    """A program ended badly or did not become ready; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program runs."""

    cgroup: Path
    namespace: Path
    resolv_conf: Path
    logs: Path


class Program:
    """One running program and the file that has its output."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], output: Path) -> None:
        self.name, self.output, self._process = name, output, process
        self._asked_to_end = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float = 60) -> None:
        """Raises ProgramFailed when it ends with a status other than 0, or not in time."""
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{self.name} still runs after {timeout_seconds} s\n{self.tail()}") from None
        if status:
            raise ProgramFailed(f"{self.name} ended with status {status}\n{self.tail()}")

    def ask_to_end(self) -> None:
        """Once: a second signal would meet it where it has taken its handler away, and be its status."""
        if self.running and not self._asked_to_end:
            self._process.terminate()
        self._asked_to_end = True

    def end(self, timeout_seconds: float = 5) -> int:
        """Asks it to end, then insists; returns its status."""
        self.ask_to_end()
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def counts(self, file: Path, number: signal.Signals = signal.SIGUSR1) -> Any:
        """What a program of apps/ has counted by now: it writes that file when it gets that signal."""
        file.unlink(missing_ok=True)
        self.tell(number)
        wait_until(file.exists, f"{self.name} has written its counts")
        return json.loads(file.read_text())

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


def start(place: Place, name: str, command: Sequence[object], environment: Mapping[str, str] | None = None) -> Program:
    """Starts command in place; its output goes to NAME.log beside the others."""
    inside = {
        "CLUSTER_CGROUP": str(place.cgroup),
        "CLUSTER_NAMESPACE": str(place.namespace),
        "CLUSTER_RESOLV_CONF": str(place.resolv_conf),
    }
    variables = {**os.environ, **(environment or {}), **inside}
    return spawn(name, ["sh", "-c", _ENTER, "sh", *map(str, command)], place.logs, variables)


def spawn(name: str, command: Sequence[object], logs: Path, environment: Mapping[str, str] | None = None) -> Program:
    """Starts command where the caller is, in a process group of its own (Ctrl-C reaches only the caller)."""
    output = logs / f"{name}.log"
    with output.open("ab") as sink:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
        )
    return Program(name, process, output)


def wait_until(
    holds: Callable[[], object], what: str, timeout_seconds: float = 10, pause_seconds: float = 0.02
) -> None:
    """Raises ProgramFailed when it does not hold in time."""
    end = time.monotonic() + timeout_seconds
    while not holds():
        if time.monotonic() > end:
            raise ProgramFailed(f"after {timeout_seconds} s still not: {what}")
        time.sleep(pause_seconds)


def listens(place: Place, pid: int, port: int) -> bool:
    """Whether TCP port is in the state LISTEN in the namespace that pid has entered."""
    try:
        if not place.namespace.samefile(f"/proc/{pid}/ns/net"):
            return False
        tables = [Path(f"/proc/{pid}/net/{table}").read_text() for table in ("tcp", "tcp6")]
    except OSError:
        return False
    rows = [row.split() for table in tables for row in table.splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)
