"""The agent's own CPU: without traffic, as rates grow over the same edge, and beside a design that ships events.

User and system together, which the kernel knows exactly. It divides them by what its ticks met: of an agent that takes
5 ms of a second that is a handful of samples.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.common import Figure, median, progress
from bench.stage import SERVER_HOST, Pair, result_of
from tests.cluster.processes import ProgramFailed
from tests.cluster.product import Product

# Between two requests of a connection: slow, ten times as fast, as fast as it goes.
PACES_MS = (50, 4, 0)
ROUNDS = 3


def agent_cpu(scene: Pair, product: Product) -> list[Figure]:
    """Of the server's agent: idle, with load, and with ten times the load over the same edge."""
    idle: list[float] = []
    used: dict[int, list[float]] = {delay_ms: [] for delay_ms in PACES_MS}
    rates: dict[int, list[float]] = {delay_ms: [] for delay_ms in PACES_MS}
    for number in range(ROUNDS):
        progress(f"the agent's CPU: round {number + 1} of {ROUNDS}")
        idle.append(_cpu(product, 5))
        for delay_ms in PACES_MS if number % 2 else reversed(PACES_MS):
            cpu, rate = _cpu_under_load(scene, product, delay_ms)
            used[delay_ms].append(cpu)
            rates[delay_ms].append(rate)
    slow, fast, full = PACES_MS
    times = median(rates[fast]) / median(rates[slow])
    grown = median(used[fast]) / median(used[slow])
    return [
        Figure("agent's CPU without traffic", median(idle) * 1e3, "ms/s"),
        *(
            Figure("  with it", median(used[pace]) * 1e3, "ms/s", note=f"{median(rates[pace]):.0f}/s")
            for pace in PACES_MS
        ),
        Figure(f"agent's CPU at {times:.1f} times the rate", grown, "x", "<= 1.3", row="agent CPU at 10x"),
        Figure("agent's CPU for 1,000 requests, full speed", _a_thousand(used[full], idle, rates[full]), "ms"),
        Figure(f"  at {median(rates[fast]):.0f}/s", _a_thousand(used[fast], idle, rates[fast]), "ms"),
    ]


def against_events(scene: Pair, product: Product) -> list[Figure]:
    """Both look at the same requests at the same time: ours, and the same hooks with an event for each request."""
    progress("an event a request")
    said: list[str] = []
    with events_agent(product, SERVER_HOST, said) as events:
        idle = both_cpu(product, SERVER_HOST, events, 5)
        program = scene.start_wrk(10)
        time.sleep(1)
        before = scene.served()
        busy = both_cpu(product, SERVER_HOST, events, 6)
        requests = scene.served() - before
        program.wait(30)
    ours, theirs = (max(late - early * 6 / 5, 0) / requests * 1e6 for early, late in zip(idle, busy, strict=True))
    whole = busy[0] / requests * 1e6
    note = f"{theirs / ours:.0f} times without what ours takes idle" if ours else "ours took no more than idle"
    return [
        Figure("CPU for 1,000 requests, an event each", theirs, "ms", note=" ".join(said)),
        Figure("  ours, all that it did meanwhile", whole, "ms"),
        Figure("  ours, without what it takes idle", ours, "ms"),
        Figure("times less CPU than with an event each", theirs / whole, "x", ">= 20", note, "against events"),
    ]


@contextmanager
def events_agent(product: Product, host: str, said: list[str]) -> Iterator[int]:
    """The process id of the other design's agent, at that host's cgroup. What it says at its end joins `said`."""
    command = [sys.executable, "-m", "bench.events", str(product.cluster.cgroup_root(host))]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None
        if agent.stdout.readline() != "ready\n":
            raise ProgramFailed("the agent that ships events has ended")
        yield agent.pid
    finally:
        agent.terminate()
        said.append(agent.communicate()[0].strip())


def both_cpu(product: Product, host: str, events: int, seconds: float) -> tuple[float, float]:
    """CPU of ours and of the other, in that time; both in seconds."""
    before = product.cpu_seconds(f"agent-{host}"), _of_process(events)
    time.sleep(seconds)
    after = product.cpu_seconds(f"agent-{host}"), _of_process(events)
    return after[0] - before[0], after[1] - before[1]


def _of_process(process_id: int) -> float:
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _cpu_under_load(scene: Pair, product: Product, delay_ms: int, seconds: int = 5) -> tuple[float, float]:
    """(CPU seconds a second, requests a second), without the first moments of the connections."""
    program = scene.start_wrk(seconds + 3, delay_ms)
    time.sleep(1.5)
    cpu = _cpu(product, seconds)
    program.wait(30)
    return cpu, result_of(program).rate


def _cpu(product: Product, seconds: float) -> float:
    begin, before = time.monotonic(), product.cpu_seconds(f"agent-{SERVER_HOST}")
    time.sleep(seconds)
    return (product.cpu_seconds(f"agent-{SERVER_HOST}") - before) / (time.monotonic() - begin)


def _a_thousand(loaded: Sequence[float], idle: Sequence[float], rates: Sequence[float]) -> float:
    """Milliseconds."""
    return max(median(loaded) - median(idle), 0) / median(rates) * 1e6
