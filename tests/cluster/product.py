"""The product beside a cluster: an agent for each host and one aggregator, as processes of their own, and `plumb`.

with Cluster() as cluster, Product(cluster) as product:
    graph = product.graph()
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from tests.cluster import processes
from tests.cluster.cluster import Cluster
from tests.cluster.processes import Program, ProgramFailed, wait_until

Graph: TypeAlias = dict[str, Any]
PLUMB = [sys.executable, "-m", "cli"]
# What the cluster's network gives to hosts and pods.
INSIDE = ("10.0.0.0/24", "10.10.0.0/16", "fd00:a::/64", "fd00:b::/32")
START_SECONDS = 60
_JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Product:
    """A context manager; the aggregator's data outlives its restarts."""

    def __init__(
        self,
        cluster: Cluster,
        catalog: Sequence[Path] = (),
        interval_seconds: float = 1.0,
        agent_flags: Sequence[str] = (),
        aggregator_flags: Sequence[str] = (),
    ) -> None:
        self.cluster = cluster
        self.agents_port, self.readers_port, self.http_port, *metrics = free_ports(3 + len(cluster.host_names))
        self.metrics_ports = dict(zip(cluster.host_names, metrics, strict=True))
        self.agents: dict[str, Program] = {}
        self._catalog = catalog
        self._interval_seconds = interval_seconds
        self._agent_flags, self._aggregator_flags = agent_flags, aggregator_flags

    def __enter__(self) -> "Product":
        try:
            self.start_aggregator()
            for host in self.cluster.host_names:
                self.start_agent(host)
            self.await_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self.agents.values():
            agent.ask_to_end()
        for program in [*self.agents.values(), self.aggregator]:
            program.end(timeout_seconds=15)

    def start_aggregator(self) -> None:
        listeners = {"--agents": self.agents_port, "--grpc": self.readers_port, "--http": self.http_port}
        flags = [word for flag, port in listeners.items() for word in (flag, f"127.0.0.1:{port}")]
        flags += ["--data", str(self.cluster.directory / "data")]
        flags += [word for cidr in INSIDE for word in ("--inside", cidr)]
        flags += [word for path in self._catalog for word in ("--catalog", str(path))]
        self.aggregator = self._start("aggregator", [*PLUMB, "aggregator", *flags, *self._aggregator_flags])

    def start_agent(self, host: str, before: Sequence[str] = (), more_flags: Sequence[str] = ()) -> None:
        """`before`: words of a command that starts it with fewer rights, or elsewhere."""
        flags = ["--host", host, "--cgroup-root", str(self.cluster.cgroup_root(host))]
        flags += ["--aggregator", f"127.0.0.1:{self.agents_port}", "--interval", str(self._interval_seconds)]
        flags += ["--runtime-dir", str(self.cluster.directory / "run")]
        flags += ["--metrics", f"127.0.0.1:{self.metrics_ports[host]}"]
        self.agents[host] = self._start(
            f"agent-{host}", [*before, *PLUMB, "agent", *flags, *self._agent_flags, *more_flags]
        )

    def await_ready(self) -> None:
        """Everything that was started answers that it is ready. Raises ProgramFailed with the end of its log."""
        self._await_ready(self.aggregator, self.http_port)
        for host, program in self.agents.items():
            self._await_ready(program, self.metrics_ports[host])

    def plumb(self, *arguments: str, statuses: Sequence[int] = (0,)) -> str:
        """What a reading command prints. Raises ProgramFailed when it ends with another status."""
        command = [*PLUMB, *arguments, "--aggregator", self.address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in statuses:
            said = f"{done.stderr}{done.stdout}\n{self.aggregator.tail()}"
            raise ProgramFailed(f"plumb {' '.join(arguments)} ended with {done.returncode}: {said}")
        return done.stdout

    def answer(self, *arguments: str, statuses: Sequence[int] = (0,)) -> Any:
        """The JSON of a reading command."""
        return json.loads(self.plumb(*arguments, "-o", "json", statuses=statuses))

    def graph(self, window: str = "1h") -> Graph:
        graph: Graph = self.answer("graph", "--window", window)
        return graph

    def graph_when(self, holds: Callable[[Graph], object], timeout_seconds: float = 30) -> Graph:
        """The first graph for which it holds, else the last one: the caller says what is wrong with it.

        What it asserts in vain does not hold yet: one end of a call may be told before the other. At the end it fails.
        """
        end = time.monotonic() + timeout_seconds
        graph = self.graph()
        while not _holds(holds, graph):
            if time.monotonic() > end:
                holds(graph)
                break
            time.sleep(0.5)
            graph = self.graph()
        return graph

    @property
    def address(self) -> str:
        """Where readers ask."""
        return f"127.0.0.1:{self.readers_port}"

    def cpu_seconds(self, name: str) -> float:
        """Of "aggregator" or "agent-HOST" and its children by now."""
        rows = dict(line.split() for line in (self._cgroup(name) / "cpu.stat").read_text().splitlines())
        return int(rows["usage_usec"]) / 1e6

    def http(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as response:
            body: bytes = response.read()
        return body

    def _start(self, name: str, command: list[str]) -> Program:
        cgroup = self._cgroup(name)
        cgroup.mkdir(parents=True, exist_ok=True)
        return processes.spawn(name, ["sh", "-c", _JOIN, cgroup, *command], self.cluster.directory / "logs")

    def _cgroup(self, name: str) -> Path:
        """Beside the hosts, so that no agent sees it and taking down the cluster ends it."""
        return self.cluster.cgroup / "product" / name

    @staticmethod
    def _await_ready(program: Program, port: int) -> None:
        def ready() -> bool:
            if not program.running:
                raise ProgramFailed(f"{program.name} ended\n{program.tail()}")
            return _is_ready(port)

        try:
            wait_until(ready, "ready", START_SECONDS, pause_seconds=0.1)
        except ProgramFailed as failed:
            raise ProgramFailed(f"{failed}\n{program.tail()}") from None


def _holds(holds: Callable[[Graph], object], graph: Graph) -> bool:
    try:
        return bool(holds(graph))
    except AssertionError:
        return False


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]
