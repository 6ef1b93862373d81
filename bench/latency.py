"""The p99 that an agent adds to nginx at half its capacity, its server's side traced.

python -m bench.latency [--json] [--runs 5]     (root; the programs of scripts/setup dev)

A p99 of a shared machine moves by more than what is looked for, from second to second. So the traced server and a plain
one are asked in turn for a quarter of a second each (openloop.c), and whatever disturbs the machine disturbs both. The
agent is stopped while the plain server is asked: what it does itself is in the traced server's slots. nginx has one
processor, the client the other; half of the capacity is half of what a closed loop reaches so.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.common import Figure, flags, median, progress, show, write
from bench.stage import CLIENT_HOST, CONNECTIONS, PLAIN_HOSTS, PORT, SERVER_HOST, Missing, Pair, agents, load_of, stage
from bench.throughput import spread
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed
from tests.cluster.product import Product

_OPENLOOP = Path(__file__).with_name("openloop.c")
_SLOT_MS, _ROUNDS = 250, 40
_SERVER_CPU, _CLIENT_CPU = 0, 1


@dataclass(frozen=True, slots=True)
class Run:
    """Of the same rounds: the traced server's p99, and the plain one's twice."""

    requests: int
    traced_ns: int
    plain_ns: int
    plain_again_ns: int

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
                figures = added_p99(traced, plain, product, asked.runs)
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"latency: {error}")
        return 4
    show(figures, asked.json)
    return 0


def added_p99(traced: Pair, plain: Pair, product: Product, count: int) -> list[Figure]:
    """Raises Missing on a machine of one processor."""
    if (os.cpu_count() or 1) < 2:
        raise Missing("two processors are needed, one for nginx and one for its client")
    program = _built(product.cluster.directory)
    with _pinned(traced), _pinned(plain):
        rate = round(_capacity(plain) / 2)
        runs = []
        for number in range(count):
            progress(f"p99 of nginx at {rate:,}/s: {number + 1} of {count}")
            runs.append(_run(program, rate, traced, plain, product.agents[SERVER_HOST].pid))
    return _figures(runs, rate)


def _figures(runs: list[Run], rate: int) -> list[Figure]:
    added, noise = [one.added for one in runs], [one.noise for one in runs]
    return [
        Figure(f"p99 added, nginx at {rate:,}/s", median(added) * 100, "%", "<= 5", spread(added), "p99 added"),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  p99, traced", median([one.traced_ns for one in runs]) / 1e3, "us"),
        Figure("  p99, plain", median([one.plain_ns for one in runs]) / 1e3, "us"),
        Figure("  requests of each", sum(one.requests for one in runs), "requests"),
    ]


def _run(program: Path, rate: int, traced: Pair, plain: Pair, agent: int) -> Run:
    words = [rate, _SLOT_MS, _ROUNDS, CONNECTIONS, agent, PORT, traced.server.ipv4, plain.server.ipv4]
    lines = plain.ask("openloop", ["taskset", "-c", _CLIENT_CPU, program, *words]).splitlines()
    (requests, _, on, _), (_, _, off, _), (_, _, again, _) = (map(int, line.split()) for line in lines)
    return Run(requests, on, off, again)


def _capacity(pair: Pair) -> float:
    """Requests a second in a closed loop."""
    load = pair.start_wrk(5)
    os.sched_setaffinity(load.pid, {_CLIENT_CPU})
    load.wait(30)
    return load_of(load).rate


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
