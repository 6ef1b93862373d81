"""The p99 that an agent adds to nginx at half its capacity, its server's side traced.

python -m bench.latency [--json] [--runs 5]     (root; the programs of scripts/setup dev)

A p99 of a shared machine moves by more than what is looked for, from second to second: some thousandths of a second in
which a processor is somewhere else are all that a p99 of seconds shows. So the traced server and a plain one are asked
in turn for a fiftieth of a second each (openloop.c), and what counts is the median of the slots' p99: one that was held
up says nothing. What the agent itself takes of a processor meets both servers alike; bench.kernel_cost has it.

nginx has one processor, the client the other, which does the kernel's part of the server's receiving too. Half of the
capacity is the rate at which the busier of both is half busy: a client that has no time left measures itself.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.common import Figure, flags, median, progress, show, write
from bench.quads import spread
from bench.stage import CLIENT_HOST, CONNECTIONS, PLAIN_HOSTS, PORT, SERVER_HOST, Missing, Pair, agents, stage
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed

_OPENLOOP = Path(__file__).with_name("openloop.c")
_SLOT_MS, _ROUNDS = 20, 700
_SERVER_CPU, _CLIENT_CPU = 0, 1
# To begin with, and well above what one processor can ask for in single requests.
_TRIED_RATE = 25_000


@dataclass(frozen=True, slots=True)
class Run:
    """The median p99 of its slots: of the traced server, and of the plain one twice."""

    traced_ns: float
    plain_ns: float
    plain_again_ns: float

    @property
    def added(self) -> float:
        return 2 * self.traced_ns / (self.plain_ns + self.plain_again_ns) - 1

    @property
    def noise(self) -> float:
        return self.plain_ns / self.plain_again_ns - 1


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    try:
        with stage() as (cluster, product):
            traced, plain = Pair(cluster, CLIENT_HOST, SERVER_HOST), Pair(cluster, *PLAIN_HOSTS)
            with agents(product, SERVER_HOST):
                figures = added_p99(traced, plain, product.cluster.directory, asked.runs)
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"latency: {error}")
        return 4
    show(figures, asked.json)
    return 0


def added_p99(traced: Pair, plain: Pair, directory: Path, count: int) -> list[Figure]:
    """Raises Missing on a machine of one processor."""
    if (os.cpu_count() or 1) < 2:
        raise Missing("two processors are needed, one for nginx and one for its client")
    program = _built(directory)

    def ask(rate: int, rounds: int) -> Run:
        words = [rate, _SLOT_MS, rounds, CONNECTIONS, PORT, traced.server.ipv4, plain.server.ipv4]
        lines = plain.ask("openloop", ["taskset", "-c", _CLIENT_CPU, program, *words]).splitlines()
        return Run(*(median(list(column)) for column in zip(*(map(int, line.split()) for line in lines), strict=True)))

    with _pinned(traced), _pinned(plain):
        rate = round(_half_busy(ask))
        runs = []
        for number in range(count):
            progress(f"p99 of nginx at {rate:,}/s: {number + 1} of {count}")
            runs.append(ask(rate, _ROUNDS))
    return _figures(runs, rate)


def _figures(runs: list[Run], rate: int) -> list[Figure]:
    added, noise = [one.added for one in runs], [one.noise for one in runs]
    return [
        Figure(f"p99 added, nginx at {rate:,}/s", median(added) * 100, "%", "<= 5", spread(added), "p99 added"),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  p99, traced", median([one.traced_ns for one in runs]) / 1e3, "us"),
        Figure("  p99, plain", median([one.plain_ns for one in runs]) / 1e3, "us"),
        Figure("  requests of each", len(runs) * _ROUNDS * rate * _SLOT_MS // 1000, "requests"),
    ]


def _half_busy(ask: Callable[[int, int], Run]) -> float:
    """The rate, as what a rate that was tried took of the busier processor."""
    before = psutil.cpu_times(percpu=True)
    ask(_TRIED_RATE, 50)
    shares = [_busy(*times) for times in zip(before, psutil.cpu_times(percpu=True), strict=True)]
    return _TRIED_RATE * 0.5 / max(shares[_SERVER_CPU], shares[_CLIENT_CPU])


def _busy(before: Any, after: Any) -> float:
    """Share of the time between, as /proc/stat has it."""
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return float(1 - (after.idle - before.idle) / sum(spent))


@contextmanager
def _pinned(pair: Pair) -> Iterator[None]:
    """nginx on one processor of its own."""
    nginx = pair.server.programs[0].pid
    workers = Path(f"/proc/{nginx}/task/{nginx}/children").read_text().split()
    before = os.sched_getaffinity(nginx)
    for worker in workers:
        os.sched_setaffinity(int(worker), {_SERVER_CPU})
    try:
        yield
    finally:
        for worker in workers:
            os.sched_setaffinity(int(worker), before)


def _built(directory: Path) -> Path:
    if shutil.which("gcc") is None:
        raise Missing("gcc is not there: apt-get install gcc")
    program = directory / "openloop"
    subprocess.run(["gcc", "-O2", "-o", program, _OPENLOOP], check=True)
    return program


if __name__ == "__main__":
    sys.exit(main())
