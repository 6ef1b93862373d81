"""With the log alone an operator can tell what is traced, what is missed and why, and whether it is delivered."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from telemetry.events import EVENTS
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, wait_until
from tests.cluster.product import Product
from tests.kernel.test_refusals import NOT_REACHED, agent

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
Line: TypeAlias = dict[str, Any]
SUMMARY_SECONDS = 2
SUMMARY = ("--summary", str(SUMMARY_SECONDS))
STATED_RIGHTS = ("bpf", "perfmon", "net_admin", "sys_ptrace", "dac_read_search")
READERS = {"keep_early", "replay_early", "replay_http", "parse_http_received", "parse_http_sent"}
SOCKETS = {"on_egress", "on_ingress", "on_socket", "on_connect4", "on_connect6"}
PROGRAMS = {*SOCKETS, "on_oom_victim", "parse_dns", "parse_tls", "parse_quic"} | READERS
PORT = 8080
USUAL_LAG_SECONDS = 4  # a heartbeat, an interval, and the way


@dataclass
class Watched:
    """Two hosts; beta's frontend calls the pod cart on alpha, and alpha's shell does."""

    cluster: Cluster
    product: Product
    cart: Workload
    frontend: Workload
    shell: Workload

    def call(self, caller: Workload, requests: int) -> None:
        caller.run("curl", ["curl", "-s", "-o", "/dev/null", f"http://{self.cart.ipv4}:{PORT}/[1-{requests}]"])

    def log(self, name: str, since: int = 0) -> list[Line]:
        """The lines of "aggregator" or "agent-HOST" from that one on; each of them is as it must be."""
        text = (self.cluster.directory / "logs" / f"{name}.log").read_text()
        return [sound(line) for line in text.splitlines()[since:]]

    def told(self, name: str, event: str, since: int = 0, timeout_seconds: float = 60) -> Line:
        """The first line of that event; waits for it."""
        wait_until(lambda: of(self.log(name, since), event), f"{name} tells {event}", timeout_seconds, 0.1)
        return of(self.log(name, since), event)[0]

    def when(self, name: str, holds: Callable[[Line], object], since: int, timeout_seconds: float = 60) -> Line:
        """The first summary for which it holds."""

        def found() -> list[Line]:
            return [line for line in of(self.log(name, since), "summary") if holds(line)]

        wait_until(found, f"a summary of {name} tells it", timeout_seconds, 0.1)
        return found()[0]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with Cluster() as cluster:
        cart, frontend, shell = (
            cluster.pod("alpha", "cart"),
            cluster.unit("beta", "frontend"),
            cluster.unit("alpha", "x"),
        )
        command = [PYTHON, APPS / "server.py", "--listen", f"[::]:{PORT}", "--counts", cluster.directory / "counts"]
        cart.start("server", command, listens=[f"[::]:{PORT}"])
        with Product(cluster, agent_flags=SUMMARY, aggregator_flags=SUMMARY) as product:
            yield Watched(cluster, product, cart, frontend, shell)


def test_a_good_start(watched: Watched) -> None:
    starting, *_ = begun = watched.log("agent-alpha")
    assert starting["event"] == "agent_starting" and starting["kernel"] == platform.release()
    assert starting["cgroup_root"] == str(watched.cluster.cgroup_root("alpha"))
    attached, read = of(begun, "kernel_attached")[0], of(begun, "host_read")[0]
    assert set(attached["attached"]) == PROGRAMS and attached["kernel_memory_bytes"] > 0
    assert (read["listeners"], read["network_namespaces"]) == (1, 1) and 0 < read["named"] < read["cgroups"]
    connected = watched.told("agent-alpha", "aggregator_connected")
    assert connected["aggregator"] == f"127.0.0.1:{watched.product.agents_port}"
    assert abs(connected["clock_offset_seconds"]) < 1
    assert [line for line in watched.log("agent-alpha") if line["level"] != "info"] == []


def test_each_summary_says_what_was_seen_and_that_it_is_delivered(watched: Watched) -> None:
    since = len(watched.log("agent-alpha"))
    watched.call(watched.frontend, 40)
    watched.when("agent-alpha", lambda line: line["requests"], since)
    watched.told("agent-alpha", "summary", since + 1)
    told = of(watched.log("agent-alpha", since), "summary")
    assert sum(line["requests"] for line in told) == 40
    line = next(line for line in told if line["requests"])
    assert line["edges"] == 1 and line["coverage"] == 1.0 and line["lost"] == line["dropped"] == {}
    assert line["lag_seconds"] < USUAL_LAG_SECONDS and line["working_set_bytes"] > 0
    times = [moment(line) for line in told]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert all(0.5 < gap / SUMMARY_SECONDS < 2 for gap in gaps), gaps
    whole = watched.told("aggregator", "aggregator_summary", len(watched.log("aggregator")))
    assert whole["agents"] == 2 and whole["nodes"] >= 2 and whole["refused"] == {}


def test_an_aggregator_that_is_away(watched: Watched) -> None:
    counted = seen(watched)
    agents, aggregator = len(watched.log("agent-beta")), len(watched.log("aggregator"))
    watched.product.aggregator.kill()
    began = time.monotonic()
    away = watched.told("agent-beta", "aggregator_away", agents)
    assert away["remedy"] and away["reason"]
    watched.call(watched.frontend, 30)
    waiting = watched.when(
        "agent-beta",
        lambda line: line["unacknowledged_batches"] + line["waiting_rows"] and line["lag_seconds"] > USUAL_LAG_SECONDS,
        agents,
    )
    assert waiting["unacknowledged_batches"] + waiting["waiting_rows"] > 0
    watched.product.start_aggregator()
    watched.product.await_ready()
    back = watched.told("agent-beta", "aggregator_back", agents)
    assert 4 < back["away_seconds"] < time.monotonic() - began + 1
    assert back["unacknowledged_batches"] + back["waiting_rows"] > 0
    place = [line["event"] for line in watched.log("agent-beta", agents)].index("aggregator_back")
    # What was used by whom waits for a heartbeat: a summary may come just before one each time.
    watched.when("agent-beta", lambda line: line["lag_seconds"] < USUAL_LAG_SECONDS, agents + place)
    wait_until(lambda: seen(watched) == counted + 30, "the graph has what was counted meanwhile", 10, 0.2)
    told = [line["event"] for line in watched.log("agent-beta", agents)]
    assert told.count("aggregator_away") == told.count("aggregator_back") == 1

    def connected() -> set[str]:
        return {line["agent"] for line in of(watched.log("aggregator", aggregator), "agent_connected")}

    # Each tries again in its own time, up to five seconds after it tried last.
    wait_until(lambda: connected() == {"alpha", "beta"}, "both are back", 10, 0.2)
    after = watched.log("aggregator", aggregator)
    assert of(after, "journal_restored")[0]["records"] > 0


def test_an_agent_that_is_away(watched: Watched) -> None:
    agents, since = len(watched.log("agent-beta")), len(watched.log("aggregator"))
    assert watched.product.agents["beta"].end() == 0
    stopped = watched.told("agent-beta", "agent_stopped", agents)
    assert (stopped["unacknowledged_batches"], stopped["waiting_rows"]) == (0, 0)
    assert watched.told("agent-beta", "agent_stopping", agents)["reason"] == "SIGTERM"
    assert watched.told("aggregator", "agent_left", since)["agent"] == "beta"
    assert watched.told("aggregator", "host_stale", since)["stale_host"] == "beta"
    watched.product.start_agent("beta")
    assert watched.told("aggregator", "agent_connected", since)["agent"] == "beta"
    assert watched.told("aggregator", "host_back", since)["stale_host"] == "beta"


@pytest.mark.parametrize("without", ["sys_ptrace", "dac_read_search"])
def test_with_fewer_rights_it_traces_and_says_what_it_cannot_name(watched: Watched, without: str) -> None:
    told = restarted(watched, [right for right in STATED_RIGHTS if right != without])
    assert of(told, "kernel_attached") and not of(told, "kernel_part_missing")
    (unreadable,) = of(told, "host_unreadable")
    capability = f"CAP_{without.upper()}"
    assert f"{capability} is missing" in unreadable["reason"] and capability in unreadable["remedy"]
    assert "pods" in unreadable["effect"] and "listen" not in unreadable["remedy"]
    if without == "sys_ptrace":
        assert "not permitted" in unreadable["reason"] and of(told, "host_read")[0]["listeners"] == 0
    since = len(watched.log("agent-alpha"))
    watched.call(watched.shell, 10)
    assert watched.when("agent-alpha", lambda line: line["requests"], since)["coverage"] == 1.0


def test_the_stated_rights_are_enough(watched: Watched) -> None:
    told = restarted(watched, STATED_RIGHTS)
    assert [line for line in told if line["level"] != "info"] == []
    assert of(told, "host_read")[0]["listeners"] == 1


def test_the_stated_rights_are_enough_where_nothing_is_kept_of_a_start_before() -> None:
    program = "from agent.kernel.loader import compiled_for; print(len(compiled_for(set(), None)[0].btf))"
    command = [*limited(STATED_RIGHTS), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr


@pytest.mark.parametrize("without", ["bpf", "perfmon", "net_admin"])
def test_without_these_rights_it_says_which_one_is_missing(watched: Watched, without: str) -> None:
    rights = limited([right for right in STATED_RIGHTS if right != without])
    capability = f"CAP_{without.upper()}"
    command = [str(word) for word in agent(watched.cluster.cgroup_root("alpha"), *rights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (NOT_REACHED, "")
    starting, last = map(sound, done.stdout.splitlines())
    assert f"{capability} is missing" in last["reason"]
    assert starting["event"] == "agent_starting" and last["event"] == "kernel_refused"
    assert last["level"] == "error" and capability in last["remedy"]


def test_a_wrong_token(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_text("sesame\n")
    ours.write_text("mustard\n")
    agent_flags, aggregator_flags = ("--token-file", str(ours)), ("--agents-token-file", str(theirs))
    with Cluster(["alpha"]) as cluster:
        with Product(cluster, agent_flags=agent_flags, aggregator_flags=aggregator_flags) as product:
            watched = Watched(cluster, product, *[cluster.unit("alpha", name) for name in ("a", "b", "c")])
            refusal = watched.told("agent-alpha", "aggregator_refuses")
            assert "--token-file" in refusal["remedy"] and "token" in refusal["reason"]
            refused_there = watched.told("aggregator", "caller_refused")
            assert (refused_there["listener"], refused_there["caller"]) == ("--agents", "127.0.0.1")
            # It has tried several times more by now.
            time.sleep(3)
            ours.write_text("sesame\n")
            watched.told("agent-alpha", "aggregator_connected")
            assert watched.told("aggregator", "agent_connected")["agent"] == "alpha"
        logs = watched.log("agent-alpha"), watched.log("aggregator")
        assert [
            len(of(log, event)) for log, event in zip(logs, ("aggregator_refuses", "caller_refused"), strict=True)
        ] == [1, 1]
        assert not any(token in json.dumps(logs) for token in ("sesame", "mustard"))


def sound(text: str) -> Line:
    """One line of a log; asserts that it is one JSON object with the fields of the table of events."""
    line = json.loads(text)
    assert isinstance(line, dict)
    assert list(line)[:4] == ["ts", "level", "event", "host"], text
    event = EVENTS[line["event"]]
    assert line["level"] == event.level and set(line) - {"ts", "level", "event", "host"} <= set(event.fields), text
    assert moment(line) and line["host"]
    return line


def of(lines: list[Line], event: str) -> list[Line]:
    return [line for line in lines if line["event"] == event]


def moment(line: Line) -> datetime:
    return datetime.fromisoformat(line["ts"])


def seen(watched: Watched) -> int:
    return sum(edge["requests"] for edge in watched.product.graph()["edges"])


def limited(rights: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """A command that keeps these rights only."""
    return "setpriv", "--bounding-set", ",".join(["-all", *(f"+{right}" for right in rights)]), "--inh-caps", "-all"


def restarted(watched: Watched, rights: list[str] | tuple[str, ...]) -> list[Line]:
    """What alpha's agent tells at a start with these rights, until it delivers."""
    watched.product.agents["alpha"].end()
    since = len(watched.log("agent-alpha"))
    watched.product.start_agent("alpha", limited(rights))
    watched.told("agent-alpha", "aggregator_connected", since)
    return watched.log("agent-alpha", since)
