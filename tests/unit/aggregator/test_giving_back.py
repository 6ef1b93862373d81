"""What nothing refers to any more is given back: an aggregator runs for ever, and nobody sees it in the graph."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, ReportRequest

from aggregator.compacting import GivenBack, Room
from aggregator.estate import Estate
from aggregator.ingest.tables import Translation
from aggregator.resolve.workloads import PodName
from aggregator.store import ASKED_AGAIN, Taken
from aggregator.topology import firstseen
from aggregator.topology.edge import Drawn
from aggregator.topology.firstseen import FirstSeen
from tests.unit.aggregator.agents import Agent, ns
from tests.unit.aggregator.restarts import Folder, Started

RETENTION = 600.0
ROUND = 1000.0
PODS = 4
# Eight rounds would fill the one for endpoints, as a cluster of 20,000 pods fills that of 500,000.
TABLES = {"max_endpoints": 8 * PODS, "max_flows": 60, "max_names": 40, "retention_seconds": RETENTION}
SHOP = "10.0.0.2"


class Town:
    """A deployment on alpha that is deployed again in each round, and calls a shop on beta and a third party."""

    def __init__(self, folder: Folder, started: Started) -> None:
        self.alpha, self.beta, self.started = folder.alpha, folder.beta, started
        self.round = 0
        self.given: list[GivenBack] = []

    @property
    def begin(self) -> float:
        return self.round * ROUND

    def deploy(self) -> None:
        """The pods of a round take the addresses of those of the round before."""
        self.round += 1
        names = [
            PodName(f"u{one}", "shop", "deployment", "web", f"web-{one}", f"r{self.round}", "") for one in self.uids()
        ]
        names.append(PodName(f"idle{self.round}", "shop", "deployment", "idle", "idle", "r1", ""))
        if self.round > 1:
            self._end(self.round - 1)
        self.started.now = self.begin
        self.started.store.learn_pods(
            names, [name.uid for name in names], [f"u{one}" for one in self.uids(self.round - 1)]
        )
        for second in range(3):
            self.serve(self.begin + second)
        if self.round > 1:
            self._forget(self.round - 1)

    def uids(self, number: int = 0) -> list[str]:
        return [f"{number or self.round}-{one}" for one in range(PODS)]

    def _end(self, number: int) -> None:
        for at, uid in enumerate(self.uids(number)):
            pod = self.alpha.pod(f"u{uid}", f"10.1.0.{at}", number * ROUND)
            namespace = 1000 + sum(map(ord, f"u{uid}"))
            self.alpha.owns(pod, f"10.1.0.{at}", number * ROUND, self.begin - 1, network_namespace=namespace)

    def _forget(self, number: int) -> None:
        pods = {self.alpha.pod(f"u{uid}", f"10.1.0.{at}", number * ROUND) for at, uid in enumerate(self.uids(number))}
        del self.alpha.message.ownerships[:]
        self.alpha.forget(pods, {self.alpha.name(f"/r{number}/*", 1), self.alpha.name(f"api{number}.pay.test")})

    def serve(self, second: float) -> None:
        alpha, beta = self.alpha, self.beta
        shop = beta.unit("shop")
        beta.listens(shop, SHOP, 80)
        for at, uid in enumerate(self.uids()):
            own, pod = f"10.1.0.{at}", alpha.pod(f"u{uid}", f"10.1.0.{at}", self.begin)
            route = alpha.name(f"/r{self.round}/*", 1)
            alpha.calls(pod, SHOP, 80, 3, local=own, name=route, closed=1)
            alpha.told(pod, f"api{self.round}.pay.test", "192.0.2.7", at=second)
            alpha.calls(pod, "192.0.2.7", 443, 1, local=own, host=alpha.name(f"api{self.round}.pay.test"), closed=1)
            alpha.uses(pod, cpu_ns=10**6, memory_bytes=2**20)
            beta.serves(shop, own, 80, 3, local=SHOP, closed=1)
        idle = alpha.endpoint(flow.ENDPOINT_KIND_POD, 77, pod_uid=f"idle{self.round}", container_id="c1")
        alpha.uses(idle, cpu_ns=10**6, memory_bytes=2**20)
        for agent in (alpha, beta):
            self.hear(agent, second)

    def hear(self, agent: Agent, second: float) -> Batch:
        """One second of an agent, which does what is asked of it."""
        self.started.now = second + 1
        if not agent.greeted:
            self.greet(agent)
        batch = agent.batch(second, second + 1)
        if (refused := self.take(agent, batch).refused) is not None:
            assert refused.reason == ASKED_AGAIN
            assert self.greet(agent)
            assert self.take(agent, agent.everything()).is_new
            agent.sequence = batch.sequence = batch.sequence + 2
            assert self.take(agent, batch).is_new
        return batch

    def greet(self, agent: Agent) -> bool:
        """Whether it is asked to define again what it refers to."""
        hello = agent.hello(self.started.now)
        agent.greeted = True
        return self.started.store.hello(hello, ReportRequest(hello=hello).SerializeToString()).definitions_lost

    def take(self, agent: Agent, batch: Batch) -> Taken:
        payload = ReportRequest(batch=batch).SerializeToString()
        return self.started.store.batch(agent.hello(self.started.now), batch, payload)

    def give_back(self) -> GivenBack | None:
        self.started.store.age()
        given = self.started.store.give_back()
        for _ in self.started.store.warming() if given else ():
            pass
        return given

    def graph(self) -> pb.Topology:
        return self.started.topology(self.begin + 5)

    def held(self) -> dict[str, int]:
        return self.started.store.estate.held()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def town(folder: Folder) -> Iterator[Town]:
    with folder.start(**TABLES) as started:
        yield Town(folder, started)


def until_given_back(town: Town) -> None:
    """And another round: with pods of two, of which the former ones are gone."""
    for _ in range(20):
        town.deploy()
        if town.give_back() is not None:
            return
    pytest.fail("nothing was given back")


def shown(topology: pb.Topology) -> str:
    return str(topology)


def test_redeploys_without_end_keep_the_tables_bounded_and_every_name(town: Town) -> None:
    given = []
    for _ in range(40):
        town.deploy()
        given.append(town.give_back())
        held, most = town.held(), town.started.store.estate._settings
        assert held["endpoints"] < most.max_endpoints
        assert held["flows"] < most.max_flows
        assert held["names"] < most.max_names
        assert held["definitions"] < 300
        graph = town.graph()
        assert "(other)" not in shown(graph)
        assert {(edge.source, edge.target): edge.requests for edge in graph.edges} == {
            ("shop/deployment/web", "beta/shop"): 9 * PODS,
            ("shop/deployment/web", f"api{town.round}.pay.test"): 3 * PODS,
        }
    assert sum(one.endpoints for one in given if one) > 100
    dropped = town.started.store.estate.dropped()
    assert {reason: count for reason, count in dropped.items() if count} == {}


def test_the_graph_is_the_same_before_and_after(town: Town) -> None:
    for _ in range(20):
        town.deploy()
        town.started.store.age()
        before = town.graph()
        assert {edge.protocol for edge in before.edges} and len(before.nodes) == 4
        given = town.started.store.give_back()
        assert shown(town.graph()) == shown(before)
        if given is not None:
            break
    assert given is not None and min(given[:5][1:]) > 0, given
    (web,) = (edge for edge in before.edges if edge.target == "beta/shop")
    assert {one.revision for one in web.revisions} == {f"r{town.round}"}
    assert {node.id for node in before.nodes} == {
        *("shop/deployment/web", "shop/deployment/idle", "beta/shop", f"api{town.round}.pay.test")
    }
    town.serve(town.begin + 3)
    edges = {edge.target: edge.requests for edge in town.graph().edges}
    assert edges["beta/shop"] == 12 * PODS
    assert edges[f"api{town.round}.pay.test"] == 4 * PODS


def test_a_restart_after_it_shows_the_same_from_checkpoint_and_journal(folder: Folder) -> None:
    with folder.start(**TABLES) as first:
        town = Town(folder, first)
        first.save()
        until_given_back(town)
        town.serve(town.begin + 3)
        before, now = town.graph(), town.begin + 5
        assert first.store.is_smaller
    with folder.start(now, **TABLES) as again:
        assert again.restored.checkpoint_position == 0 and again.restored.given_back is not None
        assert shown(again.topology(now)) == shown(before)
        town.started = again
        town.serve(town.begin + 4)
        before = town.graph()
        again.save()
        assert not again.store.is_smaller
    with folder.start(now, **TABLES) as third:
        assert third.restored.records == 0
        assert shown(third.topology(now)) == shown(before)


@pytest.mark.parametrize("full", ["max_endpoints", "max_flows", "max_names"])
def test_a_start_gives_back_what_a_full_table_had(folder: Folder, full: str) -> None:
    """Of before it could be given back, say. What found no room then finds some when it is defined again."""
    tables = {"max_endpoints": 1000, "max_flows": 1000, "max_names": 1000, "retention_seconds": RETENTION}
    tables[full] = 24
    with folder.start(**tables) as first:
        town = Town(folder, first)
        for _ in range(14):
            town.deploy()
        assert "(other)" in shown(town.graph())
        first.save()
    with folder.start(town.begin + 20, **tables) as again:
        town.started, given = again, again.restored.given_back
        assert given is not None
        town.serve(town.begin + 400)
        topology = again.topology(town.begin + 405)
        assert {(edge.source, edge.target): edge.requests for edge in topology.edges} == {
            ("shop/deployment/web", "beta/shop"): 3 * PODS,
            ("shop/deployment/web", f"api{town.round}.pay.test"): PODS,
        }
        assert "(other)" not in shown(topology)


@pytest.mark.parametrize("full", ["max_endpoints", "max_flows", "max_names"])
def test_who_found_no_room_is_asked_again_when_there_is_some(folder: Folder, full: str) -> None:
    with folder.start(**{"retention_seconds": RETENTION, full: 4}) as started:
        town, alpha = Town(folder, started), folder.alpha
        for number in range(6):
            alpha.calls(alpha.unit(f"job{number}"), "192.0.2.7", 80, 1, name=alpha.name(f"/{number}", 1), closed=1)
        town.hear(alpha, 0)
        for second in (1000, 1001):
            alpha.calls(alpha.unit("late"), "192.0.2.7", 80, 1, name=alpha.name("/late", 1), closed=1)
            started.now = second + 1
            assert town.take(alpha, alpha.batch(second, second + 1)).is_new
            assert "(other)" in shown(started.topology(second + 1))
            started.store.age()
            given = started.store.give_back() if second > 1000 else None
        assert given is not None
        alpha.calls(alpha.unit("late"), "192.0.2.7", 80, 5, name=alpha.name("/late", 1), closed=1)
        batch = alpha.batch(1400, 1401)
        started.now = 1401
        refused = town.take(alpha, batch).refused
        assert refused is not None and refused.reason == ASKED_AGAIN
        assert town.greet(alpha)
        alpha.forget(
            {alpha.unit(f"job{number}") for number in range(6)}, {alpha.name(f"/{one}", 1) for one in range(6)}
        )
        assert town.take(alpha, alpha.everything()).is_new
        batch.sequence += 2
        assert town.take(alpha, batch).is_new
        (edge,) = started.topology(1402).edges
        assert (edge.source, edge.target, edge.requests) == ("alpha/late", "192.0.2.7", 5)
        assert [route.route for route in edge.routes] == ["/late"]


def test_a_fault_of_ours_in_it_keeps_nobody_from_starting(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with folder.start(**TABLES) as first:
        town = Town(folder, first)
        for _ in range(5):
            town.deploy()
        before, now = town.graph(), town.begin + 5

    def broken(*_: object) -> None:
        raise IndexError("out of bounds")

    monkeypatch.setattr(Estate, "without_unused", broken)
    with folder.start(now, **TABLES) as again:
        assert [what for what, _ in again.damages.faults] == ["what nothing refers to"]
        assert shown(again.topology(now)) == shown(before)


def test_batches_that_refer_to_what_was_given_back_are_counted_when_it_was_said_again(town: Town) -> None:
    alpha = town.alpha
    rare = alpha.unit("rare")
    alpha.calls(rare, SHOP, 80, 1, name=alpha.name("/rare", 1), closed=1)
    until_given_back(town)
    second = town.begin + 3
    town.started.now = second + 1
    alpha.calls(rare, SHOP, 80, 5, name=alpha.name("/rare", 1), closed=1)
    batch, position = alpha.batch(second, second + 1), town.started.store.position
    refused = town.take(alpha, batch).refused
    assert refused is not None and refused.reason == ASKED_AGAIN
    assert town.started.store.position == position  # nothing of it is on disk, or acknowledged
    assert town.greet(alpha)
    assert town.take(alpha, alpha.everything()).is_new
    batch.sequence += 2
    assert town.take(alpha, batch).is_new
    alpha.sequence = batch.sequence
    edge = next(one for one in town.graph().edges if one.source == "alpha/rare")
    assert (edge.requests, [route.route for route in edge.routes]) == (5, ["/rare"])
    dropped = town.started.store.estate.dropped()
    assert not [reason for reason, count in dropped.items() if count and reason.startswith("undefined")]
    assert not town.graph().hosts[0].blind
    # It is asked once: what it refers to from now on without a definition was never defined.
    alpha.flows.append({"flow": 9999, "connections": 1})
    assert town.take(alpha, alpha.batch(second, second + 1)).is_new
    assert town.started.store.estate.dropped()["undefined_flow"] == 1


@pytest.mark.parametrize("what", ["claim", "answer", "resources", "flow"])
def test_whatever_refers_to_an_endpoint_is_waited_for(town: Town, what: str) -> None:
    alpha = town.alpha
    rare = alpha.unit("rare")
    alpha.calls(rare, "192.0.2.9", 80, closed=1)
    until_given_back(town)
    second = town.begin + 3
    if what == "claim":
        alpha.listens(rare, "10.0.0.1", 99, second)
    elif what == "answer":
        alpha.told(rare, "late.test", "192.0.2.9", at=second)
    elif what == "resources":
        alpha.uses(rare, cpu_ns=5)
    else:
        alpha.calls(rare, "192.0.2.10", 80, closed=1)
    town.started.now = second + 1
    refused = town.take(alpha, alpha.batch(second, second + 1)).refused
    assert refused is not None and refused.reason == ASKED_AGAIN


def test_what_dns_told_is_known_as_long_as_rows_are(town: Town) -> None:
    alpha = town.alpha
    for _ in range(20):
        town.deploy()
        second = town.begin + 3
        cron = alpha.unit(f"cron{town.round}")
        alpha.told(cron, "mail.test", "192.0.2.25", at=second)
        town.hear(alpha, second)
        if town.give_back() is not None:
            break
    alpha.calls(cron, "192.0.2.25", 25, closed=1)
    town.started.now = second + 2
    assert town.take(alpha, alpha.batch(second + 1, second + 2)).is_new
    assert (f"alpha/cron{town.round}", "mail.test") in {(edge.source, edge.target) for edge in town.graph().edges}


def test_an_open_connection_that_says_nothing_is_kept_and_its_end_counted(town: Town) -> None:
    alpha, beta = town.alpha, town.beta
    pool = alpha.unit("pool")
    alpha.calls(pool, SHOP, 80, 1, bytes_sent=1)
    until_given_back(town)
    second = town.begin + 3
    alpha.calls(pool, SHOP, 80, 2, connections=0)
    beta.serves(beta.unit("shop"), "10.0.0.1", 80, 2, local=SHOP, connections=0)
    town.started.now = second + 1
    assert town.take(alpha, alpha.batch(second, second + 1)).is_new
    assert town.take(beta, beta.batch(second, second + 1)).is_new
    edge = next(one for one in town.graph().edges if one.source == "alpha/pool")
    assert (edge.requests, edge.active_connections) == (2, 1)


def test_a_host_that_is_silent_for_a_day_is_let_go_with_what_it_had_open(town: Town) -> None:
    gamma = town.alpha.world.agent("gamma", "10.0.0.3")
    gamma.listens(gamma.unit("idle"), "10.0.0.3", 80)
    gamma.calls(gamma.unit("idle"), SHOP, 80, 1)
    town.hear(gamma, 0)
    until_given_back(town)
    estate = town.started.store.estate
    assert len(estate._coverage) == 3  # a day is longer
    town.round += 100
    until_given_back(town)
    estate = town.started.store.estate
    assert town.held()["hosts"] == len(estate._coverage) == 2
    assert not any(one.unit == "idle.service" for one in estate._ingest.tables.endpoints.values)
    gamma.calls(gamma.unit("idle"), SHOP, 80, 7)
    town.started.now = town.begin + 4
    assert town.greet(gamma) is False and town.take(gamma, gamma.everything()).is_new
    gamma.sequence += 1
    batch = gamma.batch(town.begin + 3, town.begin + 4)
    assert town.take(gamma, batch).is_new
    assert ("gamma/idle", "beta/shop") in {(edge.source, edge.target) for edge in town.graph().edges}


def test_when_it_is_time() -> None:
    room = Room({"flows": 100}, {"hosts": 10})
    assert not room.is_short({"flows": 49, "hosts": 4}, ns(0))
    assert room.is_short({"flows": 50, "hosts": 4}, ns(0))
    assert not room.is_short({"flows": 100, "hosts": 20}, ns(599))
    # What is in use is said again, and is no reason to ask for all of it once more.
    assert not room.is_short({"flows": 70, "hosts": 4}, ns(600))
    assert not room.is_short({"flows": 94, "hosts": 7}, ns(601))
    assert room.is_short({"flows": 95, "hosts": 7}, ns(602))
    assert not room.is_short({"flows": 30, "hosts": 7}, ns(1300))
    assert room.is_short({"flows": 60, "hosts": 7}, ns(1301))
    assert not room.is_short({"flows": 30, "hosts": 7}, ns(2000))
    assert not room.is_short({"flows": 30, "hosts": 13}, ns(2001))
    assert room.is_short({"flows": 30, "hosts": 14}, ns(2002))


def test_what_is_all_in_use_is_looked_at_less_and_less_often() -> None:
    room = Room({"flows": 100}, {})
    looks = [now for now in range(0, 20_000, 5) if room.is_short({"flows": 99}, ns(now))]
    assert looks == [0, 600, 1800, 4200, 9000, 18600]


def test_ids_that_an_agent_defined_anew_leave_and_fixed_ones_stay() -> None:
    translation = Translation()
    for theirs, ours in ((0, 0), (1, 1), (17, 2), (20, 2), (21, 3), (22, 1), (23, -1)):
        translation.define(theirs, ours)
    translation.renumber(np.array([0, 1, 2, -1]), np.array([False, True, False, False]), 16)
    wanted = np.array([0, 1, 17, 20, 21, 22, 23])
    assert translation.of(wanted).tolist() == [0, 1, -1, 2, -1, -1, -1]
    assert len(translation) == 3
    assert (
        translation.lacks([20, 17], ()) and not translation.lacks([20, 17], [17]) and not translation.lacks([0, 20], ())
    )


def drawn(number: int, first_ns: int) -> Drawn:
    edge = Drawn.__new__(Drawn)
    edge.id, edge.first_ns = f"edge {number}", first_ns
    return edge


def test_edges_that_were_not_seen_for_the_longest_time_leave_and_old_ones_that_are_seen_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(firstseen, "MOST_FIRST_SEEN", 10)
    known = FirstSeen()
    known.note([drawn(0, 5)])
    for number in range(1, 100):
        known.note([drawn(0, 1000 + number), drawn(number, number)])
        assert len(known.by_edge) <= 10 and len(known._noted) <= 10
    assert known.by_edge["edge 0"] == 5 and known.by_edge["edge 99"] == 99
    assert known.dropped == 100 - len(known.by_edge)
    copy = known.as_of_now()
    copy.note([drawn(200, 1)])
    assert "edge 200" not in known.by_edge
