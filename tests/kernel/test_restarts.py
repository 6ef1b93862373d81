"""Agents that are killed again and again, that have one name, or a clock that is wrong and is set: what the other end
saw is whole, times are right, no rate jumps, no total steps back."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.cluster import APPS, Cluster
from tests.cluster.processes import wait_until
from tests.cluster.product import PLUMB, Graph, Product
from tests.cluster.readers import Reader
from tests.cluster.steady import Steady
from tests.cluster.truth import Truth, differences

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
RATE = 400


@dataclass
class System:
    cluster: Cluster
    steady: Steady
    product: Product

    def exact(self, truth: Truth, timeout_seconds: float = 60) -> Graph:
        graph = self.product.graph_when(lambda graph: not differences(truth, graph["edges"]), timeout_seconds)
        lines = differences(truth, graph["edges"])
        assert not lines, "\n".join(lines)
        return graph


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with ExitStack() as opened:
        cluster = opened.enter_context(Cluster())
        steady = Steady(cluster)
        yield System(cluster, steady, opened.enter_context(Product(cluster)))


@pytest.mark.parametrize(
    "times",
    [2, pytest.param(10, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
    ids=lambda times: f"{times}-times",
)
def test_an_agent_that_is_killed_again_and_again(system: System, times: int) -> None:
    """Beta's; alpha's sees one end of everything."""
    run = system.steady.start(600, RATE)
    blind_before = len(host(system.product.graph(), "beta")["blind"])
    with Reader(system.product.address) as reader:
        time.sleep(2)
        for number in range(times):
            system.product.agents["beta"].kill()
            system.product.start_agent("beta")
            # Every other time it is killed again before it has begun.
            if number % 2 == 0 or number == times - 1:
                system.product.await_ready()
                time.sleep(1)
        run.stop()
        graph = system.exact(system.steady.truth())
        time.sleep(1)
    spans = host(graph, "beta")["blind"][blind_before:]
    assert 1 <= len(spans) <= times and {span["reason"] for span in spans} == {"agent restarted"}
    assert all(moment(span["from"]) < moment(span["to"]) for span in spans)
    assert not host(graph, "alpha")["blind"]
    assert_steady(system, reader)


def test_both_the_aggregator_and_an_agent_are_killed_at_once(system: System) -> None:
    run = system.steady.start(600, RATE)
    with Reader(system.product.address) as reader:
        time.sleep(2)
        system.product.aggregator.kill()
        system.product.agents["beta"].kill()
        time.sleep(2)
        system.product.start_aggregator()
        system.product.start_agent("beta")
        system.product.await_ready()
        time.sleep(2)
        run.stop()
        system.exact(system.steady.truth())
        time.sleep(1)
    # While the one that was silent says what it owes, batch by batch, the last second of the other's may be in neither.
    assert_steady(system, reader, for_seconds=2)


@pytest.mark.long
def test_an_agent_that_stands_still_is_stale_and_the_graph_goes_on(system: System) -> None:
    """What it did not read meanwhile the kernel has kept."""
    run = system.steady.start(600, RATE)
    before = host(system.product.graph(), "beta")
    with Reader(system.product.address) as reader:
        time.sleep(2)
        system.product.agents["beta"].tell(signal.SIGSTOP)
        stale = system.product.graph_when(lambda graph: host(graph, "beta")["stale"], 20)
        assert host(stale, "beta")["stale"] and not host(stale, "alpha")["stale"]
        seen = len(reader.looks)
        time.sleep(3)
        system.product.agents["beta"].tell(signal.SIGCONT)
        time.sleep(2)
        run.stop()
        graph = system.exact(system.steady.truth())
        time.sleep(1)
    grown = [look.totals[system.steady.main_edge][0] for look in reader.looks[seen:]]
    assert grown[-1] - grown[0] > RATE
    after = host(graph, "beta")
    assert len(after["blind"]) == len(before["blind"])
    # Of the starts before this one's connections are older than their agents.
    assert Counter(after["lost"]) <= Counter(before["lost"])
    assert_steady(system, reader)


def test_the_second_agent_of_one_name_is_told_and_spoils_nothing(system: System) -> None:
    product = system.product
    run = system.steady.start(600, RATE)
    flags = ["--host", "alpha", "--cgroup-root", system.cluster.cgroup_root("beta")]
    second = product._start(
        "agent-second", [*PLUMB, "agent", *map(str, flags), "--aggregator", agents_address(product)]
    )
    try:
        wait_until(lambda: "aggregator_refuses" in second.tail(50), "it is told", 60, 0.2)
        line = next(line for line in second.tail(50).splitlines() if "aggregator_refuses" in line)
        assert "reports as host 'alpha'" in line and "--host" in line
        time.sleep(1)
    finally:
        second.end(15)
        run.stop()
    graph = system.exact(system.steady.truth())
    assert [one["name"] for one in graph["hosts"]] == ["alpha", "beta"]


@pytest.mark.long
@pytest.mark.parametrize("steps", [(-3600.0, 3600.0), (0.0, 86_400.0, -86_400.0)], ids=str)
def test_a_clock_that_is_wrong_and_is_set_under_way(system: System, steps: tuple[float, ...], tmp_path: Path) -> None:
    file, wrong = tmp_path / "seconds", -420.0
    file.write_text(str(wrong))
    product = system.product
    product.agents["beta"].kill()
    product.start_agent("beta", before=[PLUMB[0], str(APPS / "skewed.py"), str(file)])
    product.await_ready()
    began = datetime.now(UTC)
    run = system.steady.start(600, RATE)
    with Reader(product.address) as reader:
        for ahead in (wrong, *steps):
            set_clock(file, ahead)
            graph = product.graph_when(lambda graph, ahead=ahead: shows(graph, ahead))
            assert shows(graph, ahead), graph["hosts"]
        run.stop()
        graph = system.exact(system.steady.truth())
        time.sleep(1)
    ended = datetime.now(UTC)
    for edge in graph["edges"]:
        assert began < moment(edge["last_seen"]) < ended, edge
    assert abs(host(graph, "alpha")["clock_ahead_seconds"]) < 1
    assert_steady(system, reader)
    spans = [span for span in host(graph, "beta")["blind"] if moment(span["to"]) > began]
    assert not spans, spans


def assert_steady(system: System, reader: Reader, for_seconds: float = 0) -> None:
    back = reader.steps_back(for_seconds)
    assert not back, "\n".join(back)
    # The share of new connections is on the main edge too.
    edge = system.steady.main_edge
    assert reader.highest_rate(edge) < 1.5 * RATE, reader.story(edge)


def set_clock(file: Path, seconds: float) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.replace(file)


def shows(graph: Graph, ahead_seconds: float) -> bool:
    return abs(host(graph, "beta")["clock_ahead_seconds"] - ahead_seconds) < 1


def host(graph: Graph, name: str) -> Graph:
    found: Graph = next(one for one in graph["hosts"] if one["name"] == name)
    return found


def agents_address(product: Product) -> str:
    return f"127.0.0.1:{product.agents_port}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
