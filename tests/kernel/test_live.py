"""`plumb up` in the foreground: what curl does is shown at once (measured in rounds), and the end leaves nothing.

It runs in a host's network namespace of the miniature cluster: its ports are its own, whatever else runs here.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.cluster.product import PLUMB
from tests.kernel import bpf

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
TREE = Path(__file__).parents[2]
GRAPH_SECONDS, WATCH_SECONDS = 2.0, 1.0
ROUNDS = range(4)
FIRST_PORT = 8080
OUTSIDE = "api.bank.example"
PLUMBLINE_PORTS = range(7170, 7174)
Edge = dict[str, Any]


class Machine:
    """One host on which a person types: `plumb` in one terminal, `curl` in another."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.terminal, self.frontend = cluster.session("alpha", "plumb"), cluster.unit("alpha", "frontend")
        self.cart = cluster.pod("alpha", "cart")
        bank = cluster.outsider(OUTSIDE, ["203.0.113.10"])
        cluster.publish({OUTSIDE: {"A": ["203.0.113.10"]}})
        serve(cluster, self.cart, [f"[::]:{FIRST_PORT + number}" for number in ROUNDS])
        serve(cluster, bank, ["203.0.113.10:80"])

    def up(self, name: str = "up") -> Program:
        """Returns when it says that it is ready."""
        flags = ["--host", "alpha", "--cgroup-root", self.cluster.cgroup_root("alpha")]
        command = [*PLUMB, "up", *flags, "--data", self.cluster.directory / name]
        started = self.terminal.start(name, command, environment={"PYTHONPATH": f"{TREE}:{TREE / 'protos'}"})

        def is_ready() -> bool:
            assert started.running, started.tail()
            return "plumb: ready" in started.tail(50)

        wait_until(is_ready, "plumb up is ready", 60, 0.05)
        return started

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Where `plumb up` runs; not below the cgroup that it watches."""
        inside = ["nsenter", f"--net={self.terminal.place.namespace}", "--", *map(str, command)]
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=60, cwd=TREE)

    def edges(self) -> list[Edge]:
        done = self.run(*PLUMB, "graph", "-o", "json")
        assert done.returncode == 0, done.stderr
        edges: list[Edge] = json.loads(done.stdout)["edges"]
        return edges

    def curl(self, url: str) -> float:
        """The time at which it had ended."""
        self.frontend.run("curl", ["curl", "-sS", "-o", "/dev/null", url])
        return time.monotonic()

    def listening(self) -> set[int]:
        rows = self.run("ss", "-Hltn").stdout.splitlines()
        return {int(row.split()[3].rpartition(":")[2]) for row in rows}


class Watch:
    """`plumb watch -o json`, with the time of each line."""

    def __init__(self, machine: Machine) -> None:
        command = ["nsenter", f"--net={machine.terminal.place.namespace}", "--", *PLUMB, "watch", "-o", "json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TREE)
        self.seen: list[tuple[float, dict[str, Any]]] = []
        threading.Thread(target=self._read, daemon=True).start()
        try:
            wait_until(lambda: watchers(machine) == 1, "plumb watch is there")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def when(self, target: str, port: int) -> float:
        """When the new edge was printed; waits for it."""

        def times() -> list[float]:
            edges = [(moment, row["edge"]) for moment, row in self.seen if row["event"] == "appeared" and "edge" in row]
            return [moment for moment, edge in edges if (edge["target"], edge["port"]) == (target, port)]

        wait_until(times, f"plumb watch tells the edge to {target}:{port}")
        return times()[0]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append((time.monotonic(), json.loads(line)))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Cluster(["alpha"]) as cluster:
        yield Machine(cluster)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_its_end_leaves_nothing(machine: Machine, number: signal.Signals) -> None:
    program = machine.up(f"up-{number.name}")
    children = children_of(program.pid)
    held = [bpf.loaded(machine.cluster.cgroup_root("alpha"), child) for child in children]
    assert len(children) == 2 and any(one.links and one.programs for one in held)
    assert set(PLUMBLINE_PORTS) <= machine.listening()
    began = time.monotonic()
    program.tell(number)
    wait_until(lambda: not program.running, "plumb up has ended", 10)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "its children have ended", 10)
    assert time.monotonic() - began < 8
    assert number is signal.SIGKILL or program.end() == 0
    wait_until(lambda: not any(map(bpf.still_there, held)), "the kernel has nothing of it")
    assert not set(PLUMBLINE_PORTS) & machine.listening()
    output = program.output.read_text()
    assert "Traceback" not in output
    assert '"event": "agent_stopped"' in output and '"event": "aggregator_stopped"' in output


@pytest.fixture(scope="module")
def running(machine: Machine) -> Iterator[Program]:
    program = machine.up()
    yield program
    assert program.end(15) == 0


def test_what_curl_does_is_shown_at_once(machine: Machine, running: Program) -> None:
    calls = [
        (machine.cart.node_id, FIRST_PORT + one, f"http://{machine.cart.ipv4}:{FIRST_PORT + one}/") for one in ROUNDS
    ]
    calls.append((OUTSIDE, 80, f"http://{OUTSIDE}/v1/charges/17"))
    waited: list[tuple[float, float]] = []
    with Watch(machine) as watch:
        for target, port, url in calls:
            called = machine.curl(url)
            edge = shown(machine, target, port, lambda edge: edge["requests"] == 1)
            shown_after = time.monotonic() - called
            assert edge["source"] == "alpha/frontend" and edge["protocol"] == "http"
            assert edge["statuses"]["2xx"] == 1 and edge["latency_ms"]["mean"] > 0
            waited.append((shown_after, watch.when(target, port) - called))
    assert max(graph for graph, _ in waited) < GRAPH_SECONDS, waited
    assert max(watch for _, watch in waited) < WATCH_SECONDS, waited


def test_the_next_request_on_an_edge_that_is_known(machine: Machine, running: Program) -> None:
    waited: list[float] = []
    for number in ROUNDS:
        known = next((edge["requests"] for edge in machine.edges() if edge["port"] == FIRST_PORT), 0)
        # At another moment of the agent's interval each time.
        time.sleep(0.23 * number)
        called = machine.curl(f"http://{machine.cart.ipv4}:{FIRST_PORT}/delay/20")
        shown(machine, machine.cart.node_id, FIRST_PORT, lambda edge, known=known: edge["requests"] == known + 1)
        waited.append(time.monotonic() - called)
    assert max(waited) < GRAPH_SECONDS, waited


def test_a_second_one_says_that_there_is_one(machine: Machine, running: Program) -> None:
    flags = ["--cgroup-root", machine.cluster.cgroup_root("alpha"), "--data", machine.cluster.directory / "second"]
    done = machine.run(*PLUMB, "up", *flags)
    assert done.returncode == 4 and "plumb doctor" in done.stderr, done.stderr
    assert "plumb: ready" not in done.stderr
    machine.edges()
    assert running.running


def serve(cluster: Cluster, workload: Workload, listens: Sequence[str]) -> None:
    flags = [word for one in listens for word in ("--listen", one)]
    counts = cluster.directory / f"{workload.name}.counts"
    workload.start("server", [PYTHON, APPS / "server.py", *flags, "--counts", counts], listens=listens)


def shown(machine: Machine, target: str, port: int, holds: Callable[[Edge], bool]) -> Edge:
    """The edge as `plumb graph` prints it, as soon as it holds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for edge in machine.edges():
            if (edge["target"], edge["port"]) == (target, port) and holds(edge):
                return edge
    raise AssertionError(f"plumb graph does not show {target}:{port}: {machine.edges()}")


def watchers(machine: Machine) -> float:
    metrics = machine.run("curl", "-s", "http://127.0.0.1:7172/metrics").stdout.splitlines()
    return sum(float(line.split()[1]) for line in metrics if line.startswith("plumbline_aggregator_watchers "))


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
