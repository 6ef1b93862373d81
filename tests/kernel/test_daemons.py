"""`make up` and `make down`: both may be run again at any time, and end nothing that is not theirs.

In a network namespace of their own, and from a checkout that has nothing but the script and the command.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.processes import PYTHON, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
TREE = Path(__file__).parents[2]
DONE, NOT_REACHED = 0, 4
PORTS = {7170, 7171, 7172, 7173}
NAMES = ("aggregator", "agent")


class Checkout:
    def __init__(self, directory: Path, place: Workload) -> None:
        self.run_directory, self.place = directory / ".run", place
        self._directory = directory
        (directory / "scripts").mkdir()
        shutil.copy(TREE / "scripts/daemons", directory / "scripts/daemons")
        (directory / ".venv").symlink_to(TREE / ".venv")

    def inside(self, *command: object) -> list[str]:
        return ["nsenter", f"--net={self.place.place.namespace}", "--", *map(str, command)]

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        words = self.inside(*command)
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=90, cwd=self._directory)

    def daemons(self, word: str) -> str:
        """Its output; asserts that it ended well."""
        done = self.run("scripts/daemons", word)
        assert done.returncode == DONE, done.stdout + done.stderr
        return done.stdout

    def pids(self) -> dict[str, int]:
        files = {name: self.run_directory / f"{name}.pid" for name in NAMES}
        return {name: int(file.read_text().split()[0]) for name, file in files.items() if file.exists()}

    def listening(self) -> set[int]:
        rows = self.run("ss", "-Hltn").stdout.splitlines()
        return {int(row.split()[3].rpartition(":")[2]) for row in rows} & PORTS


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with Cluster(["alpha"]) as cluster:
        checkout = Checkout(tmp_path, cluster.session("alpha", "shell"))
        yield checkout
        checkout.daemons("down")


def test_up_and_down_twice(checkout: Checkout) -> None:
    words = checkout.inside("scripts/daemons", "up")
    # Also at once: the second one waits, and finds what the first one started.
    both = [
        subprocess.Popen(words, cwd=checkout.run_directory.parent, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [one.communicate(timeout=90)[0] for one in both]
    assert [one.returncode for one in both] == [DONE, DONE]
    assert sorted("running already" in text for text in told) == [False, True]
    started = checkout.pids()
    assert set(started) == set(NAMES) and checkout.listening() == PORTS
    assert "running already" in checkout.daemons("up")
    assert checkout.pids() == started
    graph = checkout.run(".venv/bin/plumb", "graph")
    assert graph.returncode == DONE and "1 of 1 hosts watched" in graph.stdout

    os.kill(started["agent"], signal.SIGKILL)
    wait_until(lambda: not lives(started["agent"]), "the agent is dead")
    assert "agent: running already" not in checkout.daemons("up")
    again = checkout.pids()
    assert again["aggregator"] == started["aggregator"] and again["agent"] != started["agent"]

    assert checkout.daemons("down") == "agent: ended\naggregator: ended\n"
    assert not checkout.listening() and not checkout.pids()
    assert not any(map(lives, again.values()))
    assert checkout.daemons("down") == ""


def test_what_is_not_theirs_is_left_alone(checkout: Checkout) -> None:
    stranger = checkout.place.start(
        "web", [PYTHON, "-m", "http.server", "7172", "--bind", "127.0.0.1"], ["127.0.0.1:7172"]
    )
    done = checkout.run("scripts/daemons", "up")
    assert done.returncode == NOT_REACHED and "7172" in done.stderr and "ready" not in done.stdout
    assert not checkout.pids() and checkout.listening() == {7172}
    # A pid file that has outlived its process, whose number is somebody else's by now.
    (checkout.run_directory / "agent.pid").write_text(f"{stranger.pid} 1\n")
    assert checkout.daemons("down") == ""
    wait_until(lambda: not checkout.pids(), "the pid file is gone")
    assert stranger.running


def lives(pid: int) -> bool:
    """A zombie does not: nobody may have looked after it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
