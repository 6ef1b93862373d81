"""The miniature cluster itself: what its clients count is what its servers count, and it leaves nothing."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import leftovers, processes
from tests.cluster.cluster import Cluster
from tests.cluster.estate import Estate
from tests.cluster.truth import EdgeTruth, Truth

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
HELD = "import time\nfrom tests.cluster.cluster import Cluster\nwith Cluster() as cluster:\n"
RUNNING = f"{HELD}    cluster.pod('alpha', 'one').start('sleep', ['sleep', '600'])\n    print(cluster.id, flush=True)\n"


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Estate, Truth]]:
    with Cluster() as cluster:
        estate = Estate(cluster)
        yield estate, estate.load(share=0.1)


@pytest.mark.parametrize("name", ["cart", "orders", "frontend", "payments", "ledger", "relay", "idle"])
def test_servers_count_what_clients_count(loaded: tuple[Estate, Truth], name: str) -> None:
    estate, truth = loaded
    server = estate.servers[name]
    edges = [edge for key, edge in truth.edges.items() if key.target == server.workload.node_id]
    counts = server.counts()
    assert _summed(counts["served"] if name == "relay" else counts["rows"]) == _totals(edges)


def test_nginx_logs_what_clients_count(loaded: tuple[Estate, Truth]) -> None:
    estate, truth = loaded
    logged = [line.split() for line in estate.nginx_log.read_text().splitlines()]
    edges = [edge for key, edge in truth.edges.items() if key.target == estate.web.node_id]
    assert Counter(int(words[1]) for words in logged) == sum((edge.statuses for edge in edges), Counter())
    passed_on = Counter(int(words[4]) for words in logged if words[4] != "-")
    edges = [edge for key, edge in truth.edges.items() if key.source == estate.web.node_id]
    assert passed_on == sum((edge.statuses for edge in edges), Counter())


def test_the_resolver_counts_what_clients_count(loaded: tuple[Estate, Truth]) -> None:
    estate, truth = loaded
    queries = estate.cluster.resolver.programs[0].counts(estate.cluster.resolver_counts)["queries"]
    edges = [edge for key, edge in truth.edges.items() if key.protocol == "dns"]
    assert sum(count for *_, count in queries) == sum(edge.requests for edge in edges) > 0


def test_the_load_has_every_class_and_every_failure(loaded: tuple[Estate, Truth]) -> None:
    _, truth = loaded
    failed = sum((edge.failed for edge in truth.edges.values()), Counter[str]())
    assert set(failed) == {"refused", "timeout", "unreachable", "other"}
    statuses = sum((edge.statuses for key, edge in truth.edges.items() if key.protocol == "http"), Counter[int]())
    assert {status // 100 for status in statuses} == {2, 3, 4, 5, 6}


def test_a_cluster_leaves_nothing() -> None:
    with Cluster() as cluster:
        cluster.pod("beta", "one").start("sleep", ["sleep", "600"])
        assert leftovers.remains(cluster.id)
    assert not leftovers.remains(cluster.id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_takes_it_down(number: signal.Signals) -> None:
    with _other_process(f"{RUNNING}    time.sleep(600)\n") as other:
        identity = _first_line(other)
        os.kill(other.pid, number)
        assert other.wait(10) != 0
    assert not leftovers.remains(identity)


def test_an_error_takes_it_down() -> None:
    with _other_process(f"{RUNNING}    raise RuntimeError\n") as other:
        identity = _first_line(other)
        assert other.wait(10) != 0
    assert not leftovers.remains(identity)


def test_what_a_killed_maker_left_is_swept() -> None:
    with _other_process(f"{RUNNING}    time.sleep(600)\n") as other:
        identity = _first_line(other)
        other.kill()
        other.wait()
    assert leftovers.remains(identity)
    with Cluster() as cluster:
        assert not leftovers.remains(identity)
        assert leftovers.remains(cluster.id)


def test_a_program_that_ends_at_once_is_told(loaded: tuple[Estate, Truth]) -> None:
    estate, _ = loaded
    with pytest.raises(processes.ProgramFailed, match="no such option"):
        estate.idle.start("wrong", ["sh", "-c", "echo no such option; exit 3"], listens=["0.0.0.0:1"])


def _totals(edges: list[EdgeTruth]) -> dict[str, Any]:
    """Without what never reached the server's program: failed connections."""
    return _plain(
        sum(edge.requests for edge in edges),
        sum(edge.connections for edge in edges),
        sum((edge.statuses for edge in edges), Counter()),
        sum((edge.unanswered for edge in edges), Counter()),
    )


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    statuses: Counter[int] = Counter()
    unanswered: Counter[str] = Counter()
    for row in rows:
        statuses.update({int(code): count for code, count in row["statuses"].items()})
        unanswered.update(row["unanswered"])
    return _plain(sum(row["requests"] for row in rows), sum(row["connections"] for row in rows), statuses, unanswered)


def _plain(requests: int, connections: int, statuses: Counter[int], unanswered: Counter[str]) -> dict[str, Any]:
    return {"requests": requests, "connections": connections, "statuses": +statuses, "unanswered": +unanswered}


def _other_process(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
