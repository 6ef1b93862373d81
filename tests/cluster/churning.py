"""What an agent takes while things come and go around it by the thousand: its CPU, its memory, its own tables.

The programs are apps/churn.c; they say how much they have made.
"""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

from bench.memory_cgroup import MEGABYTE, MemoryCgroup
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import Program
from tests.cluster.product import Product

PORT = 8080
_EACH_SECONDS = 0.5
# Of two halves each can then be judged by itself, also where a fast machine has done everything in a second.
_LEAST_SAMPLES = 10
_GAUGE = re.compile(r"^plumbline_agent_([a-z_]+) ([0-9.e+]+)$", re.MULTILINE)
_LOSSES = re.compile(r'^plumbline_agent_(lost|dropped)_total\{reason="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """`cpu_seconds` since its start; `megabytes` as its memory cgroup counts them."""

    at_seconds: float
    cpu_seconds: float
    megabytes: float
    gauges: dict[str, float]
    losses: dict[str, int]


class Watched:
    """The agent of one host beside its `product`, in a memory cgroup of its own."""

    def __init__(self, product: Product, memory: MemoryCgroup, host: str) -> None:
        self._product, self._memory, self._host = product, memory, host

    def sample(self) -> Sample:
        port = self._product.metrics_ports[self._host]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
            text = response.read().decode()
        return Sample(
            time.monotonic(),
            self._product.cpu_seconds(f"agent-{self._host}"),
            self._memory.read().working_set / MEGABYTE,
            {name: float(value) for name, value in _GAUGE.findall(text)},
            {reason: int(float(value)) for _, reason, value in _LOSSES.findall(text) if float(value)},
        )

    @contextmanager
    def sampled(self) -> Iterator[list[Sample]]:
        """Samples of the time until it is left, the first one at once; and of some time after it if they are few."""
        samples, done = [self.sample()], Event()

        def go_on() -> None:
            while not done.wait(_EACH_SECONDS):
                samples.append(self.sample())

        thread = Thread(target=go_on)
        thread.start()
        try:
            yield samples
            while thread.is_alive() and len(samples) < _LEAST_SAMPLES:
                time.sleep(_EACH_SECONDS)
        finally:
            done.set()
            thread.join()
            samples.append(self.sample())

    def settled(self, holds: Callable[[Sample], object], timeout_seconds: float) -> Sample:
        """The first sample for which it holds, else the last one: the caller says what is wrong with it."""
        end = time.monotonic() + timeout_seconds
        while not holds(sample := self.sample()) and time.monotonic() < end:
            time.sleep(_EACH_SECONDS)
        return sample


class Churn:
    """The compiled program, and a pod that serves it."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self._program = cluster.directory / "churn"
        subprocess.run(["gcc", "-O2", "-o", self._program, APPS / "churn.c"], check=True)
        self.server = cluster.pod(host, "server")
        self.server.start("serve", [self._program, "serve", PORT], listens=[f"0.0.0.0:{PORT}"])

    def start(self, who: Workload, *words: object) -> Program:
        return who.start("churn", [self._program, *words])

    def at_server(self) -> tuple[str, int]:
        return self.server.ipv4, PORT


def made(program: Program, timeout_seconds: float) -> dict[str, int]:
    """What it says at its end. Raises ProgramFailed."""
    program.wait(timeout_seconds)
    counts: dict[str, int] = json.loads(program.output.read_text())
    return counts


def tenths(samples: list[Sample]) -> list[list[Sample]]:
    """Of the time between the first and the last one; each has its share of it, and at least one."""
    first, last = samples[0].at_seconds, samples[-1].at_seconds
    parts: list[list[Sample]] = [[] for _ in range(10)]
    for one in samples:
        parts[min(9, int(10 * (one.at_seconds - first) / (last - first)))].append(one)
    return [part for part in parts if part]
