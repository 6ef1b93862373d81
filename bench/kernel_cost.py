"""What watching costs: kernel time a request and side, the throughput that servers keep, redis's p99, the agent's CPU.

python -m bench.kernel_cost [--json] [--quads 100]     (root; the programs of scripts/setup dev)

nginx answers six bytes and wrk asks as fast as it can over 16 connections, on the same cores: the worst case. Kernel
time is the BPF programs' own run time, as the kernel's statistics have it; how throughput is compared is told in
throughput.py. redis and an nginx with TLS follow, with the server's side traced.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import loads
from bench.agent_cpu import against_events, agent_cpu
from bench.common import Figure, flags, progress, show, write
from bench.stage import (
    CLIENT_HOST,
    CONNECTIONS,
    PLAIN_HOSTS,
    PORT,
    SERVER_HOST,
    Missing,
    Pair,
    agents,
    bpftool,
    edge_of,
    run_statistics,
    stage,
)
from bench.tails import added_p99
from bench.throughput import compared, kept
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import ProgramFailed
from tests.cluster.product import Product

BOTH = (CLIENT_HOST, SERVER_HOST)


@dataclass(frozen=True, slots=True)
class Run:
    nanoseconds: int
    count: int


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--quads", type=int, default=100, help="rounds of four turns, for each of the loads")
    asked = parser.parse_args()
    try:
        with stage() as (cluster, product):
            traced, plain = Pair(cluster, *BOTH), Pair(cluster, *PLAIN_HOSTS)
            with agents(product, *BOTH):
                figures = kernel_time(traced, product)
                both = compared(traced, plain, loads.HTTP, "nginx, both sides", asked.quads)
                figures += kept(both, "nginx, both sides traced", ">= 90 %", "kept, both sides")
                both = compared(traced, plain, loads.VARIED, "nginx, no message like another, both sides", asked.quads)
                figures += kept(both, "nginx, no message like another, both sides traced")
            with agents(product, SERVER_HOST):
                figures += server_side(traced, plain, asked.quads)
                figures += [*agent_cpu(traced, product), *against_events(traced, product)]
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"kernel_cost: {error}")
        return 4
    show(figures, asked.json)
    return 0


def server_side(traced: Pair, plain: Pair, count: int) -> list[Figure]:
    found = compared(traced, plain, loads.HTTP, "nginx, the server's side", count)
    figures = kept(found, "nginx, the server's side traced", ">= 93 %", "kept, server's side")
    found = compared(traced, plain, loads.HTTPS, "nginx with TLS", count)
    figures += kept(found, "nginx with TLS, the server's side traced", ">= 95 %", "kept, TLS")
    for pair in (traced, plain):
        pair.start_redis()
    for pipeline in loads.REDIS_COMMANDS:
        name = f"redis, pipeline {pipeline}, the server's side traced"
        found = compared(traced, plain, loads.redis(pipeline), name, count)
        figures += kept(found, name, ">= 95 %", f"kept, redis {pipeline}")
        figures += added_p99(traced, plain, pipeline, name, count // 2)
    return figures


def kernel_time(scene: Pair, product: Product) -> list[Figure]:
    """Run time of our programs by hook, and whether every request was counted."""
    progress("kernel time of each hook")
    roots = [product.cluster.cgroup_root(host) for host in BOTH]
    with run_statistics():
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
        Figure("  the server's side alone", shares[1] * 100, "%", "<= 5.5"),
        Figure("requests that nginx counted", served, "requests"),
        Figure("requests that the graph counts", counted, "requests", "all"),
        Figure(
            "requests that wrk counted", load.requests, "requests", note="without those it still waits for at its end"
        ),
        Figure("difference of the graph to nginx", counted - served, "requests", "0", row="requests counted"),
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


if __name__ == "__main__":
    sys.exit(main())
