"""What watching costs: kernel time a request and side, the agent's CPU, and the throughput that a bare nginx keeps.

python -m bench.kernel_cost [--json] [--quads 12]     (root; nginx-light, wrk, bpftool, curl)

nginx answers six bytes and wrk asks as fast as it can over 16 connections, on the same cores: the worst case. Kernel
time is the BPF programs' own run time, as the kernel's statistics have it; how throughput is compared is told in
throughput.py.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import Figure, flags, median, progress, show, write
from bench.stage import (
    CONNECTIONS,
    PLAIN_HOSTS,
    PORT,
    SERVER_HOST,
    Missing,
    Pair,
    agents,
    bpftool,
    edge_of,
    load_of,
    run_statistics,
    stage,
)
from bench.throughput import BOTH, throughput
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed
from tests.cluster.product import Product

# Between two requests of a connection: slow, ten times as fast, as fast as it goes.
PACES_MS = (50, 4, 0)


@dataclass(frozen=True, slots=True)
class Run:
    nanoseconds: int
    count: int


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds a second."""

    user: float
    system: float

    @property
    def both(self) -> float:
        return self.user + self.system


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--quads", type=int, default=12, help="rounds of four blocks, for each of the two")
    parser.add_argument("--block-seconds", type=int, default=2)
    asked = parser.parse_args()
    try:
        with stage() as (cluster, product):
            traced, plain = Pair(cluster, *BOTH), Pair(cluster, *PLAIN_HOSTS)
            figures = [*kernel_time(traced, product), *agent_cpu(traced, product)]
            for hosts in (BOTH, (SERVER_HOST,)):
                figures += throughput(traced, plain, product, hosts, asked.quads, asked.block_seconds)
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"kernel_cost: {error}")
        return 4
    show(figures, asked.json)
    return 0


def kernel_time(scene: Pair, product: Product) -> list[Figure]:
    """Run time of our programs by hook, and whether every request was counted."""
    progress("kernel time of each hook")
    roots = [product.cluster.cgroup_root(host) for host in BOTH]
    with agents(product, *BOTH), run_statistics():
        served, cpu, before = scene.served(), scene.cpu_seconds(), [runs(root) for root in roots]
        load = scene.wrk(10)
        after = [runs(root) for root in roots]
        served, cpu = scene.served() - served, scene.cpu_seconds() - cpu
        counted = _settled_count(product, scene)
    sides = [{hook: _less(late[hook], early[hook]) for hook in late} for early, late in zip(before, after, strict=True)]
    shares = [sum(one.nanoseconds for one in hooks.values()) / 1e9 / cpu for hooks in sides]
    return [
        *_side("client's", sides[0], served),
        *_side("server's", sides[1], served),
        Figure("kernel time, of all CPU of nginx and wrk: both sides", sum(shares) * 100, "%", "<= 10"),
        Figure("  the server's side alone", shares[1] * 100, "%", "<= 2"),
        Figure("requests that nginx counted", served, "requests"),
        Figure("requests that the graph counts", counted, "requests", "all"),
        Figure(
            "requests that wrk counted", load.requests, "requests", note="without those it still waits for at its end"
        ),
        Figure("difference of the graph to nginx", counted - served, "requests", "0"),
        Figure("difference of nginx to wrk", served - load.requests, "requests", f"<= {CONNECTIONS}"),
    ]


def _side(name: str, hooks: dict[str, Run], served: int) -> list[Figure]:
    whole = sum(one.nanoseconds for one in hooks.values())
    found = [Figure(f"kernel time a request, {name} side", whole / served / 1e3, "us")]
    for hook, one in sorted(hooks.items()):
        if one.count > served / 100:
            note = f"{one.count / served:.2f} runs a request"
            found.append(Figure(f"  {hook}", one.nanoseconds / one.count, "ns a run", note=note))
    return found


def agent_cpu(scene: Pair, product: Product) -> list[Figure]:
    """User CPU of the server's agent: idle, with load, and with ten times the load over the same edge."""
    idle: list[Cpu] = []
    used: dict[int, list[Cpu]] = {delay_ms: [] for delay_ms in PACES_MS}
    rates: dict[int, list[float]] = {delay_ms: [] for delay_ms in PACES_MS}
    with agents(product, *BOTH):
        for number in range(4):
            progress(f"the agent's CPU: round {number + 1} of 4")
            idle.append(_cpu(product, 6))
            for delay_ms in PACES_MS if number % 2 else reversed(PACES_MS):
                cpu, rate = _cpu_under_load(scene, product, delay_ms)
                used[delay_ms].append(cpu)
                rates[delay_ms].append(rate)
    slow, fast, full = PACES_MS
    times = median(rates[fast]) / median(rates[slow])
    grown = median([one.user for one in used[fast]]) / median([one.user for one in used[slow]])
    return [
        Figure("agent's CPU without traffic, user and system", median([one.both for one in idle]) * 1e3, "ms/s"),
        *(
            Figure(
                "  with it", median([one.both for one in used[pace]]) * 1e3, "ms/s", note=f"{median(rates[pace]):.0f}/s"
            )
            for pace in PACES_MS
        ),
        Figure(f"agent's user CPU at {times:.1f} times the rate", grown, "x", "<= 1.3"),
        Figure("user CPU for 1,000 requests, full speed", _a_thousand(used[full], idle, rates[full]), "ms"),
        Figure(f"  at {median(rates[fast]):.0f}/s", _a_thousand(used[fast], idle, rates[fast]), "ms"),
    ]


def runs(root: Path) -> dict[str, Run]:
    """What the programs at this cgroup have run, by name."""
    cgroup_id = root.stat().st_ino
    ours = {link["prog_id"] for link in bpftool("link", "list") if link.get("cgroup_id") == cgroup_id}
    programs = [program for program in bpftool("prog", "list") if program["id"] in ours]
    return {one["name"]: Run(one.get("run_time_ns", 0), one.get("run_cnt", 0)) for one in programs}


def _less(after: Run, before: Run) -> Run:
    return Run(after.nanoseconds - before.nanoseconds, after.count - before.count)


def _settled_count(product: Product, scene: Pair) -> int:
    """Once it does not move any more."""
    counts = [-1, -2]
    while counts[-1] != counts[-2]:
        time.sleep(2.5)
        counts.append(_counted(product, scene))
    return counts[-1]


def _counted(product: Product, scene: Pair) -> int:
    return int(edge_of(product, scene.server, PORT).get("requests", 0))


def _cpu_under_load(scene: Pair, product: Product, delay_ms: int, seconds: int = 6) -> tuple[Cpu, float]:
    """(CPU a second, requests a second), without the first moments of the connections."""
    program = scene.start_wrk(seconds + 3, delay_ms)
    time.sleep(1.5)
    cpu = _cpu(product, seconds)
    program.wait(30)
    return cpu, load_of(program).rate


def _cpu(product: Product, seconds: float) -> Cpu:
    begin, before = time.monotonic(), product.cpu_seconds(f"agent-{SERVER_HOST}")
    time.sleep(seconds)
    after, passed = product.cpu_seconds(f"agent-{SERVER_HOST}"), time.monotonic() - begin
    return Cpu((after["user"] - before["user"]) / passed, (after["system"] - before["system"]) / passed)


def _a_thousand(loaded: Sequence[Cpu], idle: Sequence[Cpu], rates: Sequence[float]) -> float:
    """Milliseconds."""
    more = median([one.user for one in loaded]) - median([one.user for one in idle])
    return more / median(rates) * 1e6


if __name__ == "__main__":
    sys.exit(main())
