"""An agent that takes more than it may leaves out detail, never counts, and takes it back; it says so in the graph."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.agent_memory import Holders, MeasuredProduct
from bench.memory_cgroup import MemoryCgroup, NoController, memory_cgroup
from tests.cluster.cluster import Cluster
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.long]
STORM = Path(__file__).with_name("storm.py")
STORMERS, PEERS, REQUESTS = 5, 8_000, 1_000
LITTLE_BYTES, HELD = 160_000_000, 25_000


class Stormers:
    """Units of one host that call what is in no agent's view."""

    def __init__(self, cluster: Cluster) -> None:
        self.places = [cluster.unit("alpha", f"stormer{number}").place for number in range(STORMERS)]
        self.requests = self.connections = 0

    def storm(self) -> None:
        self._call(PEERS)

    def ask(self) -> None:
        """Requests alone."""
        self._call(1)

    def _call(self, peers_each: int) -> None:
        jobs = []
        for number, place in enumerate(self.places):
            peers = {"what": "peers", "count": peers_each, "distinct": peers_each, "port": 9000}
            paths = {"what": "paths", "count": REQUESTS, "distinct": 200, "port": 8080}
            jobs += [{"cgroup": str(place.cgroup), "first": 1000 * number, **one} for one in (peers, paths)]
        subprocess.run(
            ["unshare", "--net", sys.executable, str(STORM)],
            input=json.dumps(jobs),
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self.requests += STORMERS * REQUESTS
        self.connections += STORMERS * (peers_each + 1)


def shed(graph: Graph) -> list[str]:
    (host,) = graph["hosts"]
    words: list[str] = host["shed"]
    return words


def sums(graph: Graph) -> tuple[int, int]:
    edges = [edge for edge in graph["edges"] if edge["source"].startswith("alpha/stormer")]
    requests = sum(edge["requests"] for edge in edges if edge["protocol"] == "http")
    (host,) = graph["hosts"]
    beyond = host["lost"].get("flow_table_full", 0)
    return requests, sum(edge["connections"] for edge in edges) + beyond


@pytest.mark.timeout(600)
def test_beyond_its_cpu_budget_detail_goes_and_comes_back_and_counts_stay() -> None:
    with Cluster(("alpha",)) as cluster, Product(cluster, agent_flags=["--cpu-budget", "6%"]) as product:
        stormers, seen, end = Stormers(cluster), set[str](), time.monotonic() + 240
        while seen != {"interval", "latency", "names"} and time.monotonic() < end:
            stormers.storm()
            seen |= set(shed(product.graph()))
        assert seen == {"interval", "latency", "names"}
        back = product.graph_when(lambda graph: not shed(graph), timeout_seconds=200)
        assert shed(back) == []
        stormers.ask()
        # Each storm has a namespace of its own, and with it new flows: more than there is room for, which is told.
        right = (stormers.requests, stormers.connections)
        graph = product.graph_when(lambda graph: sums(graph) == right, timeout_seconds=60)
        assert sums(graph) == right
        (host,) = graph["hosts"]
        assert host["dropped"]["turns_shed"] > 0
        assert set(host["lost"]) <= {"flow_table_full"}
        log = product.agents["alpha"].output.read_text(encoding="utf-8")
        assert '"event": "shedding"' in log and '"event": "shedding_less"' in log


@pytest.mark.timeout(600)
def test_an_agent_with_little_memory_parses_less_and_lives() -> None:
    """Of 50,000 sockets only some can have a parser: those beyond are counted, and every connection is."""
    try:
        with (
            memory_cgroup(f"plumbline-test-{os.getpid()}") as memory,
            Cluster(("alpha",)) as cluster,
            MeasuredProduct(cluster, memory) as product,
            Holders(cluster) as holders,
        ):
            time.sleep(5)
            limit(memory, LITTLE_BYTES)  # only now: the compiler takes more
            # It looks at each drain; sockets that came all at once would be parsed before it does.
            for _ in range(20):
                holders.hold(HELD // 20, False)
                time.sleep(0.5)
            graph = product.graph_when(lambda graph: counted(graph) == HELD, timeout_seconds=60)
            assert (product.agents["alpha"].running, oom_kills(memory)) == (True, 0)
            assert counted(graph) == HELD
            (host,) = graph["hosts"]
            assert "parsers" in shed(graph)
            assert host["lost"]["parser_budget"] > 0
            assert set(host["lost"]) <= {"parser_budget", "parser_state"}
    except NoController as error:
        pytest.skip(str(error))


def counted(graph: Graph) -> int:
    return sum(edge["connections"] for edge in graph["edges"])


def limit(memory: MemoryCgroup, limit_bytes: int) -> None:
    v1, v2 = memory.path / "memory.limit_in_bytes", memory.path / "memory.max"
    (v1 if v1.exists() else v2).write_text(str(limit_bytes))


def oom_kills(memory: MemoryCgroup) -> int:
    v1, v2 = memory.path / "memory.oom_control", memory.path / "memory.events"
    rows = dict(line.split() for line in (v1 if v1.exists() else v2).read_text().splitlines())
    return int(rows["oom_kill"])
