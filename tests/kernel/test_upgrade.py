"""An agent is upgraded while its host is busy: nothing is missed or double, whoever dies on the way.

The old agent and the new one are processes of their own; a load that knows what it did runs all the time.
"""

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.cluster.product import Graph, Product
from tests.kernel import bpf

# Each start compiles; on a busy machine that takes many seconds.
pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(400)]
TREE = Path(__file__).parents[2]
REQUESTS_A_SECOND, LOAD_SECONDS = 2000, 3
START_SECONDS = 120
# Open for as long as the module runs: it answers whether a connection is followed through everything. Every second
# SIGUSR1 ends a pause, in which nothing is under way.
HELD = (
    "import http.client, signal, sys, time\n"
    "told = []\n"
    "signal.signal(signal.SIGUSR1, lambda *_: told.append(1))\n"
    "connection = http.client.HTTPConnection(sys.argv[1], 8080)\n"
    "while True:\n"
    "    time.sleep(0.02)\n"
    "    if len(told) % 2 == 0:\n"
    "        connection.request('GET', '/held/7', headers={'Host': 'shop'})\n"
    "        connection.getresponse().read()\n"
    "        print(flush=True)\n"
)
PAUSE_SECONDS = 0.5


@dataclass
class Stage:
    """One caller and one server on two hosts, an agent on each, and all that the caller has done."""

    cluster: Cluster
    product: Product
    caller: Workload
    server: Workload
    held: Program
    requests: Counter[str] = field(default_factory=Counter)  # by route and status
    connections: int = 1
    rates: list[float] = field(default_factory=list)  # requests a second, as far as this machine got

    def load(self, seconds: float = LOAD_SECONDS) -> None:
        """Half of it over connections that stay, half over new ones; to its end."""
        count = int(REQUESTS_A_SECOND * seconds / 2)
        job = {"address": self.server.ipv4, "port": 8080, "host": "shop", "kind": "requests", "requests": count}
        job |= {"connections": 10, "rate": REQUESTS_A_SECOND / 2}
        kept = {**job, "paths": [["GET", "/cart/1"], ["GET", "/status/404"]]}
        new = {**job, "requests_per_connection": 5, "paths": [["POST", "/order"]]}
        plan, out = self.cluster.directory / "plan.json", self.cluster.directory / "out.json"
        plan.write_text(json.dumps({"jobs": [kept, new]}))
        self.caller.start("load", [PYTHON, APPS / "load.py", plan, out]).wait(START_SECONDS)
        done = json.loads(out.read_text())
        self.rates.append(sum(row["requests"] for row in done["rows"]) / done["seconds"])
        for row in done["rows"]:
            self.connections += row["connections"]
            for method, path, status, times in row["routes"]:
                route = path.replace("404", "*").replace("/1", "/*")
                self.requests[f"{method} {route} {status // 100}xx"] += times

    def load_while(self, holds: Callable[[], object]) -> None:
        while holds():
            self.load()

    def asked(self) -> Counter[str]:
        """By now; the held connection goes on."""
        held = self.held.output.read_bytes().count(b"\n")
        return self.requests + Counter({"GET /held/* 2xx": held})

    def links(self, host: str) -> frozenset[int]:
        return bpf.loaded(self.cluster.cgroup_root(host), os.getpid()).links

    def programs(self, host: str) -> frozenset[int]:
        return bpf.loaded(self.cluster.cgroup_root(host), os.getpid()).programs

    def log(self, host: str) -> list[dict[str, object]]:
        """Of all agents that ran there."""
        lines = self.product.agents[host].output.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def told(self, host: str, event: str) -> list[dict[str, object]]:
        return [line for line in self.log(host) if line["event"] == event]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Cluster() as cluster:
        caller, server = cluster.pod("alpha", "caller"), cluster.pod("beta", "server")
        command = [PYTHON, APPS / "server.py", "--listen", "[::]:8080", "--counts", cluster.directory / "counts"]
        server.start("server", command, listens=["[::]:8080"])
        with Product(cluster) as product:
            held = caller.start("held", [PYTHON, "-c", HELD, server.ipv4])
            yield Stage(cluster, product, caller, server, held)


def begin(stage: Stage, host: str, **how: list[str]) -> Program:
    """A new agent beside the old one, which is given back."""
    old = stage.product.agents[host]
    stage.product.start_agent(host, **how)
    return old


def upgrade(stage: Stage, host: str, **how: list[str]) -> None:
    """Returns when the old agent has ended in order and the new one is ready."""
    old = begin(stage, host, **how)
    wait_until(lambda: not old.running, "the old agent has ended", START_SECONDS)
    assert old.end() == 0, old.tail()
    stage.product.await_ready()


def assert_exact(stage: Stage, blind: str = "") -> Graph:
    """All that was asked is in the graph, once, at both ends; `blind`: why alpha has an interval that is."""
    with paused(stage):
        right = stage.asked()
        graph = stage.product.graph_when(lambda graph: shown(graph) == [right, right, right], 40)
        (edge,) = graph["edges"]
        assert shown(graph) == [right, right, right], edge
        assert (edge["source"], edge["target"]) == (stage.caller.node_id, stage.server.node_id)
        for side in (edge, edge["client_side"], edge["server_side"]):
            assert side["connections"] == stage.connections
        assert edge["active_connections"] == 1, "the connection that was open all the time"
        for host in graph["hosts"]:
            assert not any(host["lost"].values()) and not any(host["dropped"].values()), host
            assert [one["reason"] for one in host["blind"]] == ([blind] if blind and host["name"] == "alpha" else [])
        return graph


@contextmanager
def paused(stage: Stage) -> Iterator[None]:
    """Nobody asks anything."""
    stage.held.tell(signal.SIGUSR1)
    try:
        time.sleep(PAUSE_SECONDS)
        yield
    finally:
        stage.held.tell(signal.SIGUSR1)


def shown(graph: Graph) -> list[Counter[str]]:
    """The edge's routes; and for each end, since it has no routes by itself, those if its sum is theirs."""
    if len(graph["edges"]) != 1:
        return []
    (edge,) = graph["edges"]
    routes: Counter[str] = Counter()
    for one in edge["routes"]:
        for kind, count in one["statuses"].items():
            if count:
                routes[f"{one['method']} {one['route']} {kind}"] += count
    sides = [edge[side] or {"requests": 0} for side in ("client_side", "server_side")]
    return [routes, *(routes if side["requests"] == routes.total() else Counter() for side in sides)]


def test_upgrades_under_load_miss_nothing(stage: Stage) -> None:
    before = {host: stage.links(host) for host in ("alpha", "beta")}
    assert all(before.values())
    loading = threading.Event()
    loading.set()
    load = threading.Thread(target=stage.load_while, args=(loading.is_set,))
    load.start()
    try:
        for host in ("alpha", "beta"):
            upgrade(stage, host)
            assert stage.links(host) == before[host], "a link was made anew: counted twice, or not at all"
    finally:
        loading.clear()
        load.join()
    assert_exact(stage)


@pytest.mark.long
def test_what_the_aggregator_has_not_got_is_handed_on(stage: Stage) -> None:
    stage.product.aggregator.kill()
    stage.load()
    old = begin(stage, "alpha")
    wait_until(lambda: not old.running, "the old agent has ended", START_SECONDS)
    assert stage.told("alpha", "handed_over")[-1]["undelivered_batches"]
    stage.load()
    stage.product.start_aggregator()
    stage.product.await_ready()
    assert_exact(stage)


@pytest.mark.long
def test_a_new_agent_that_dies_while_it_compiles_changes_nothing(stage: Stage) -> None:
    programs = stage.programs("alpha")
    old, new = meeting(stage)
    new.kill()
    stage.product.agents["alpha"] = old
    stage.load()
    assert stage.programs("alpha") == programs
    assert_exact(stage)
    assert stage.told("alpha", "handover_broken_off")


@pytest.mark.long
def test_a_new_agent_that_dies_when_its_programs_run_leaves_them_to_the_old_one(stage: Stage) -> None:
    old, new, programs = stopped_in_the_middle(stage)
    new.kill()
    old.tell(signal.SIGCONT)
    stage.product.agents["alpha"] = old
    stage.load()
    assert old.running and not stage.programs("alpha") & programs
    assert_exact(stage)


@pytest.mark.long
def test_an_old_agent_that_waits_for_its_end_counts_no_more(stage: Stage) -> None:
    upgrade(stage, "alpha", more_flags=["--stay"])
    old = begin(stage, "alpha")
    wait_until(lambda: stage.told("alpha", "agent_retired"), "the old agent has retired", START_SECONDS)
    stage.load()
    assert old.running and old.end() == 0
    stage.product.await_ready()
    assert_exact(stage)


@pytest.mark.long
def test_an_old_agent_that_dies_in_the_middle_leaves_a_blind_interval(stage: Stage) -> None:
    old, new, _ = stopped_in_the_middle(stage)
    settled = stage.asked()
    old.kill()
    wait_until(lambda: stage.told("alpha", "takeover_incomplete"), "the new one goes on alone", START_SECONDS)
    stage.product.await_ready()
    assert new.running
    graph = stage.product.graph_when(lambda graph: blind_reasons(graph))
    assert blind_reasons(graph) == ["the old agent died while it handed over"]
    before = requests_at(graph, "client_side")
    # What was counted and not delivered when it died is lost; all that follows is not.
    assert before <= stage.asked().total() and settled.total() - before < 3 * REQUESTS_A_SECOND
    with paused(stage):
        asked = stage.asked().total()
        graph = stage.product.graph_when(lambda graph: requests_at(graph, "server_side") == asked)
        before = requests_at(graph, "client_side")
    stage.load()
    with paused(stage):
        more = stage.asked().total() - asked
        graph = stage.product.graph_when(lambda graph: requests_at(graph, "client_side") >= before + more)
    assert requests_at(graph, "client_side") == before + more
    (edge,) = graph["edges"]
    assert {one["route"] for one in edge["routes"]} == {"/cart/*", "/status/*", "/order", "/held/*"}


@pytest.mark.long
def test_another_layout_begins_anew_with_a_blind_interval(stage: Stage, tmp_path: Path) -> None:
    release = tmp_path / "release"
    for part in ("agent", "aggregator", "bpf", "cli", "telemetry", "protos"):
        shutil.copytree(TREE / part, release / part)
    types = release / "bpf" / "types.h"
    types.write_text(types.read_text().replace("struct control {", "struct control {\n  u64 of_the_next_release;"))
    links, intervals = stage.links("alpha"), len(blind_reasons(stage.product.graph()))
    path = f"PYTHONPATH={release}:{release / 'protos'}"
    upgrade(stage, "alpha", before=["env", "-C", str(release), path])
    assert not stage.links("alpha") & links
    (line,) = stage.told("alpha", "takeover_not_possible")
    assert "layout" in str(line["reason"]) and 0 <= float(str(line["gap_seconds"])) < 10
    graph = stage.product.graph_when(lambda graph: len(blind_reasons(graph)) > intervals)
    assert "another layout" in blind_reasons(graph)[-1]
    before = requests_at(graph, "client_side")
    stage.load()
    graph = stage.product.graph_when(lambda graph: requests_at(graph, "client_side") >= before + 6000)
    assert requests_at(graph, "client_side") >= before + REQUESTS_A_SECOND * LOAD_SECONDS
    assert {one["source"] for one in graph["edges"]} == {stage.caller.node_id}


def test_nothing_is_left_when_both_are_killed(stage: Stage) -> None:
    held = bpf.loaded(stage.cluster.cgroup_root("alpha"), stage.product.agents["alpha"].pid)
    old, new = meeting(stage)
    held_by_new = bpf.loaded(stage.cluster.cgroup_root("alpha"), new.pid)
    assert held.links and held_by_new.programs
    old.kill()
    new.kill()
    wait_until(lambda: not bpf.still_there(held), "the kernel has nothing of the old one")
    wait_until(lambda: not bpf.still_there(held_by_new), "the kernel has nothing of the new one")


def meeting(stage: Stage) -> tuple[Program, Program]:
    """An old agent that goes on, and a new one that has its offer and compiles."""
    old, begun = stage.product.agents["alpha"], len(stage.told("alpha", "takeover_begun"))
    stage.product.start_agent("alpha")
    wait_until(lambda: len(stage.told("alpha", "takeover_begun")) > begun, "the new one has the offer", START_SECONDS)
    return old, stage.product.agents["alpha"]


def stopped_in_the_middle(stage: Stage) -> tuple[Program, Program, frozenset[int]]:
    """The old agent stands still, the new one's programs run in its place; and the programs from before."""
    programs = stage.programs("alpha")
    old, new = meeting(stage)
    old.tell(signal.SIGSTOP)
    wait_until(lambda: not stage.programs("alpha") & programs, "the programs are the new ones", START_SECONDS, 0.2)
    return old, new, programs


def blind_reasons(graph: Graph) -> list[str]:
    return [one["reason"] for host in graph["hosts"] if host["name"] == "alpha" for one in host["blind"]]


def requests_at(graph: Graph, side: str) -> int:
    return sum(edge[side]["requests"] for edge in graph["edges"] if edge[side])
