"""The way from an agent to the aggregator's disk breaks in every way, under 2,000 requests a second: no count is lost,
none is double, no traffic waits, no rate jumps, no total steps back.

Each fault as a short one and, marked `long`, for as long as an operator needs to notice it.
"""

import logging
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.faults import Fate, Wire, any_byte, full_disk, small_disk, whole
from tests.cluster.product import Graph, Product
from tests.cluster.readers import Reader
from tests.cluster.steady import Run, Steady, Wait
from tests.cluster.truth import Truth, differences, expected, unequal

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
DISK_MEGABYTES = 8
LEAD_SECONDS, TAIL_SECONDS = 2.5, 1.0
SETTLE_SECONDS = 60


@dataclass
class System:
    cluster: Cluster
    steady: Steady
    product: Product
    wire: Wire


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Two hosts whose agents reach the aggregator by a wire that can break; its disk is a small one."""
    with ExitStack() as opened:
        cluster = opened.enter_context(Cluster())
        steady = Steady(cluster)
        opened.enter_context(small_disk(cluster.directory / "data", DISK_MEGABYTES))
        wire = opened.enter_context(Wire())
        product = Product(cluster, agent_flags=("--aggregator", f"127.0.0.1:{wire.port}"))
        wire.target_port = product.agents_port
        opened.enter_context(product)
        yield System(cluster, steady, product, wire)


def killed(system: System, seconds: float) -> None:
    system.product.aggregator.kill()
    time.sleep(seconds)
    system.product.start_aggregator()
    system.product.await_ready()


def stopped(system: System, seconds: float) -> None:
    system.product.aggregator.tell(signal.SIGSTOP)
    time.sleep(seconds)
    system.product.aggregator.tell(signal.SIGCONT)


def disk_full(system: System, seconds: float) -> None:
    with full_disk(system.cluster.directory / "data"):
        time.sleep(seconds)


def cut_every_second(system: System, seconds: float) -> None:
    for _ in range(round(seconds)):
        time.sleep(1)
        system.wire.cut()


def cut_at_any_byte(system: System, seconds: float) -> None:
    system.wire.fate = any_byte(random.Random(17))
    system.wire.cut()
    time.sleep(seconds)
    system.wire.fate = whole
    system.wire.cut()


def silent(system: System, seconds: float) -> None:
    """What both sides send goes nowhere, and nobody is told."""
    system.wire.fate = lambda: Fate(up_bytes=1, down_bytes=1, swallow_seconds=seconds)
    system.wire.cut()
    time.sleep(seconds)
    system.wire.fate = whole


SHORT: dict[Callable[[System, float], None], float] = {
    killed: 4,
    stopped: 6,
    disk_full: 4,
    cut_at_any_byte: 5,
}
LONG: dict[Callable[[System, float], None], float] = {
    killed: 30,
    stopped: 60,
    disk_full: 30,
    cut_every_second: 60,
    cut_at_any_byte: 60,
    silent: 60,
}
CASES = [pytest.param(fault, seconds, id=f"{fault.__name__}-{seconds}s") for fault, seconds in SHORT.items()]
CASES += [
    pytest.param(fault, seconds, id=f"{fault.__name__}-{seconds}s", marks=[pytest.mark.long, pytest.mark.timeout(400)])
    for fault, seconds in LONG.items()
]


@pytest.mark.parametrize(("fault", "seconds"), CASES)
def test_totals_are_the_same_and_nobody_feels_it(
    system: System, fault: Callable[[System, float], None], seconds: float
) -> None:
    cuts = system.wire.cuts
    run = system.steady.start(LEAD_SECONDS + seconds + TAIL_SECONDS)
    with Reader(system.product.address) as reader:
        time.sleep(LEAD_SECONDS)
        begin = time.time()
        fault(system, seconds)
        end = time.time()
        run.end()
        ended = time.monotonic()
        truth = system.steady.truth()
        graph = system.product.graph_when(lambda graph: not wrong(truth, graph), SETTLE_SECONDS)
        settled_seconds = time.monotonic() - ended
        time.sleep(1)
    lines = wrong(truth, graph)
    assert not lines, "\n".join(lines)
    assert not any(any(host["lost"].values()) or any(host["dropped"].values()) for host in graph["hosts"]), graph[
        "hosts"
    ]
    assert not any(host["blind"] for host in graph["hosts"]), graph["hosts"]
    report(system, fault, seconds, run, begin, end, settled_seconds, system.wire.cuts - cuts, reader)
    assert not reader.steps_back(), "\n".join(reader.steps_back())
    assert reader.highest_rate(system.steady.main_edge) < 1.5 * highest_rate(run, truth), reader.story(
        system.steady.main_edge
    )
    assert_nobody_waited(run, begin, end)


def wrong(truth: Truth, graph: Graph) -> list[str]:
    """Of every edge, and of what each end says by itself."""
    lines = differences(truth, graph["edges"])
    for edge in graph["edges"]:
        for key, numbers in truth.edges.items():
            if (edge["source"], edge["target"], edge["port"]) == (key.source, key.target, key.port):
                for side in ("client_side", "server_side"):
                    lines += unequal(key, expected(key, numbers), edge[side] or {"requests": 0}, f"{side}.")
    return lines


def highest_rate(run: Run, truth: Truth) -> float:
    """Of requests in any second, as the main edge's clients timed them; those over new connections are as many more."""
    seconds: dict[int, int] = {}
    for wait in run.waits:
        seconds[int(wait.time)] = seconds.get(int(wait.time), 0) + 1
    return 1.15 * max(seconds.values())


def assert_nobody_waited(run: Run, begin: float, end: float) -> None:
    """As a ratio, and generously: other programs run on this machine too."""
    before, during = percentiles(run, begin, end)
    assert during[0] < max(3 * before[0], 5.0), (before, during)
    assert during[1] < max(5 * before[1], 50.0), (before, during)


def percentiles(run: Run, begin: float, end: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """(median and p99 in ms outside of the fault, the same within it)."""

    def of(waits: list[Wait]) -> tuple[float, float]:
        cuts = statistics.quantiles([wait.milliseconds for wait in waits], n=100)
        return round(cuts[49], 3), round(cuts[98], 3)

    inside = [wait for wait in run.waits if begin <= wait.time < end]
    return of([wait for wait in run.waits if not begin <= wait.time < end]), of(inside)


def report(
    system: System, fault: Callable[[System, float], None], seconds: float, run: Run, begin: float, end: float,
    settled_seconds: float, cuts: int, reader: Reader,
) -> None:  # fmt: skip
    """A line for the table in docs/; `pytest --log-cli-level=INFO` shows it."""
    before, during = percentiles(run, begin, end)
    rate = len(run.waits) / (run.waits[-1].time - run.waits[0].time)
    line = (
        f"{fault.__name__} {seconds} s: {len(run.waits)} timed requests at {rate:.0f}/s, median and p99 outside "
        f"{before}, within {during} ms, exact {settled_seconds:.1f} s after the load, {cuts} cuts, "
        f"{reader.missed} looks of {reader.missed + len(reader.looks)} unanswered, "
        f"highest rate over 10 s {reader.highest_rate(system.steady.main_edge):.0f}/s"
    )
    logging.getLogger(__name__).info(line)
