"""What watching costs: kernel time a request and side, the agent's CPU, and the throughput that a bare nginx keeps.

python -m bench.kernel_cost [--json] [--blocks 6] [--block-seconds 4]        (root; nginx-light, wrk, bpftool, curl)

nginx answers six bytes and wrk asks as fast as it can over 16 connections, on the same cores: the worst case. With and
without agents in turn (ABBA), the median of the pairs' ratios. Kernel time is the BPF programs' own run time.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.common import Figure, flags, median, progress, show, write
from bench.stage import (
    CLIENT_HOST,
    CONNECTIONS,
    PORT,
    SERVER_HOST,
    Missing,
    Stage,
    agents,
    bpftool,
    edge_of,
    load_of,
    run_statistics,
    stage,
)
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed, wait_until
from tests.cluster.product import Product

BOTH = (CLIENT_HOST, SERVER_HOST)
SLOW_MS, FAST_MS = 50, 4


@dataclass(frozen=True, slots=True)
class Run:
    nanoseconds: int
    count: int


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--blocks", type=int, default=6, help="pairs of blocks with and without, for each of the two")
    parser.add_argument("--block-seconds", type=float, default=4)
    asked = parser.parse_args()
    try:
        with stage() as (_, scene, product):
            figures = [*kernel_time(scene, product), *agent_cpu(scene, product)]
            for hosts in (BOTH, (SERVER_HOST,)):
                figures += throughput(scene, product, hosts, asked.blocks, asked.block_seconds)
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"kernel_cost: {error}")
        return 4
    show(figures, asked.json)
    return 0


def kernel_time(scene: Stage, product: Product) -> list[Figure]:
    """Run time of our programs by hook, and whether every request was counted."""
    progress("kernel time of each hook")
    found: list[Figure] = []
    with agents(product, *BOTH), run_statistics():
        roots = {host: product.cluster.cgroup_root(host) for host in BOTH}
        served = scene.served()
        before = {host: runs(root) for host, root in roots.items()}
        load = scene.wrk(10)
        after = {host: runs(root) for host, root in roots.items()}
        served = scene.served() - served
        for host, side in zip(BOTH, ("client", "server"), strict=True):
            spent = {hook: _less(after[host][hook], before[host][hook]) for hook in after[host]}
            whole = sum(one.nanoseconds for one in spent.values())
            found.append(Figure(f"kernel time a request, {side}'s side", whole / served / 1e3, "us"))
            for hook, one in sorted(spent.items()):
                if one.count > served / 100:
                    each = one.nanoseconds / one.count
                    found.append(Figure(f"  {hook}", each, "ns a run", note=f"{one.count / served:.2f} runs a request"))
        wait_until(lambda: _counted(product, scene) >= served, "the graph has every request", 15)
        counted = _counted(product, scene)
    return [
        *found,
        Figure("requests that nginx counted", served, "requests"),
        Figure("requests that the graph counts", counted, "requests", "all"),
        Figure(
            "requests that wrk counted", load.requests, "requests", note="those it waits for at its end are missing"
        ),
        Figure("difference of the graph to nginx", counted - served, "requests", "0"),
        Figure("difference of nginx to wrk", served - load.requests, "requests", f"<= {CONNECTIONS}"),
    ]


def agent_cpu(scene: Stage, product: Product) -> list[Figure]:
    """User CPU of the server's agent: idle, with load, and with ten times the load over the same edge."""
    idle, slow, fast, full = [], [], [], []
    slow_rates, fast_rates, full_rates = [], [], []
    with agents(product, *BOTH):
        for number in range(4):
            progress(f"the agent's CPU: round {number + 1} of 4")
            idle.append(_user_cpu(product, 6))
            for delay_ms, used, rates in _in_turn(number, (SLOW_MS, slow, slow_rates), (FAST_MS, fast, fast_rates)):
                cpu, rate = _cpu_under_load(scene, product, delay_ms)
                used.append(cpu)
                rates.append(rate)
            cpu, rate = _cpu_under_load(scene, product, 0)
            full.append(cpu)
            full_rates.append(rate)
    times = median(fast_rates) / median(slow_rates)
    return [
        Figure("agent's CPU without traffic (user and system)", median([sum(one) for one in idle]) * 1e3, "ms/s"),
        Figure(
            "  at the slow rate", median([sum(one) for one in slow]) * 1e3, "ms/s", note=f"{median(slow_rates):.0f}/s"
        ),
        Figure(
            "  at the fast rate", median([sum(one) for one in fast]) * 1e3, "ms/s", note=f"{median(fast_rates):.0f}/s"
        ),
        Figure("  at full speed", median([sum(one) for one in full]) * 1e3, "ms/s", note=f"{median(full_rates):.0f}/s"),
        Figure(f"agent's user CPU at {times:.1f} times the rate", _ratio(fast, slow), "x", "<= 1.3"),
        Figure("user CPU for 1,000 requests, full speed", _a_thousand(full, idle, full_rates), "ms"),
        Figure("  fast rate", _a_thousand(fast, idle, fast_rates), "ms"),
    ]


def throughput(scene: Stage, product: Product, hosts: tuple[str, ...], blocks: int, seconds: float) -> list[Figure]:
    """Share of its throughput that nginx keeps; on-off-off-on-... and a pair of offs to tell the noise."""
    name = "both sides traced" if hosts == BOTH else "the server's side traced"
    kept, noise = [], []
    scene.wrk(2)
    for number in range(blocks):
        progress(f"throughput, {name}: pair {number + 1} of {blocks}")
        if number % 2:
            on, off = _rate_on(scene, product, hosts, seconds), scene.wrk(seconds).rate
            again = scene.wrk(seconds).rate
        else:
            again, off = scene.wrk(seconds).rate, scene.wrk(seconds).rate
            on = _rate_on(scene, product, hosts, seconds)
        kept.append(on / off)
        noise.append(again / off)
    must = ">= 90 %" if hosts == BOTH else ">= 98 %"
    return [
        Figure(f"throughput kept, {name}", median(kept) * 100, "%", must, f"{min(kept):.1%} to {max(kept):.1%}"),
        Figure("  off against off", median(noise) * 100, "%", note=f"{min(noise):.1%} to {max(noise):.1%}"),
    ]


def runs(root: Path) -> dict[str, Run]:
    """What the programs at this cgroup have run, by name."""
    cgroup_id = root.stat().st_ino
    ours = {link["prog_id"] for link in bpftool("link", "list") if link.get("cgroup_id") == cgroup_id}
    programs = [program for program in bpftool("prog", "list") if program["id"] in ours]
    return {one["name"]: Run(one.get("run_time_ns", 0), one.get("run_cnt", 0)) for one in programs}


def _less(after: Run, before: Run) -> Run:
    return Run(after.nanoseconds - before.nanoseconds, after.count - before.count)


def _counted(product: Product, scene: Stage) -> int:
    return int(edge_of(product, scene.server, PORT).get("requests", 0))


def _in_turn(
    number: int, *what: tuple[int, list[tuple[float, float]], list[float]]
) -> list[tuple[int, list[tuple[float, float]], list[float]]]:
    return list(what) if number % 2 else list(reversed(what))


def _rate_on(scene: Stage, product: Product, hosts: tuple[str, ...], seconds: float) -> float:
    with agents(product, *hosts):
        time.sleep(1)
        return scene.wrk(seconds).rate


def _cpu_under_load(
    scene: Stage, product: Product, delay_ms: int, seconds: float = 6
) -> tuple[tuple[float, float], float]:
    """((user, system) of CPU a second, requests a second), without the first moments of the connections."""
    program = scene.start_wrk(seconds + 3, delay_ms)
    time.sleep(1.5)
    cpu = _user_cpu(product, seconds)
    program.wait(30)
    return cpu, load_of(program).rate


def _user_cpu(product: Product, seconds: float) -> tuple[float, float]:
    begin, before = time.monotonic(), product.cpu_seconds(f"agent-{SERVER_HOST}")
    time.sleep(seconds)
    after, passed = product.cpu_seconds(f"agent-{SERVER_HOST}"), time.monotonic() - begin
    return (after["user"] - before["user"]) / passed, (after["system"] - before["system"]) / passed


def _ratio(some: list[tuple[float, float]], others: list[tuple[float, float]]) -> float:
    return median([one[0] for one in some]) / median([other[0] for other in others])


def _a_thousand(loaded: list[tuple[float, float]], idle: list[tuple[float, float]], rates: list[float]) -> float:
    more = median([one[0] for one in loaded]) - median([one[0] for one in idle])
    return more / median(rates) * 1e6


if __name__ == "__main__":
    sys.exit(main())
