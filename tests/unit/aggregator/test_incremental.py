"""What is kept from one snapshot to the next never shows: the graph is the one that would be made from nothing."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import SECOND_NS
from aggregator.resolve.podnames import PodName
from aggregator.snapshots import Snapshots
from aggregator.topology.changes import compare
from aggregator.topology.snapshot import Graph
from aggregator.topology.traffic import Traffic
from tests.unit.aggregator.agents import Agent, World, ns

HOSTS = {"alpha": "10.0.0.1", "beta": "10.0.0.2", "gamma": "10.0.0.3"}
# Some are hosts' own, some move from pod to pod, some are nobody's or outside.
ADDRESSES = (*HOSTS.values(), "10.1.0.1", "10.1.0.2", "127.0.0.1", "127.0.0.53", "10.9.9.9", "192.0.2.7", "192.0.2.8")
UNITS = ("web", "shop", "job", "plumbline")
PODS = ("p1", "p2")
REVISIONS = {"p1": "r1", "p2": "r2"}
TARGETS = (False, False, True)  # whether a name is of a request's target, not of its Host
NAMES = ("api.test", "alpha", "alpha.test", "b.test")
PORTS = (80, 443)
RETENTION = 400.0
Step: TypeAlias = tuple[Any, ...]


def drawn(dice: random.Random) -> Step:
    """A step; so often as not a later one is about the very things of an earlier one."""
    host, own, port = dice.choice(sorted(HOSTS)), dice.choice(ADDRESSES), dice.choice(PORTS)
    who = dice.choice([("unit", dice.choice(UNITS)), ("pod", dice.choice(PODS))])
    since, name = dice.uniform(-40, 5), dice.choice(NAMES)
    return dice.choices(
        [
            ("call", host, who, own, port, dice.randint(0, 9), dice.choice([None, name]), dice.choice(TARGETS)),
            ("serve", host, who, own, port, dice.randint(0, 9), dice.choice(ADDRESSES)),
            ("claim", host, who, own, since, dice.choice([None, dice.uniform(0, 60)])),
            ("listen", host, who, own, port, since),
            ("name", host, who, name, own),
            ("rename", host, dice.choice(UNITS), dice.choice(UNITS)),
            ("tell", dice.sample(sorted(HOSTS), dice.randint(1, 3)), dice.choice([0, 0, 0, 3, 30])),
            ("wait", dice.choice([1, 1, 4, 15, 70, 500])),
            ("age",),
            ("restart", host),
            ("learn", dice.choice(PODS)),
        ],
        weights=[8, 5, 3, 2, 2, 1, 8, 3, 2, 1, 2],
    )[0]


class History:
    """Plays steps; `look` is called after each."""

    def __init__(self, look: Callable[["History"], None]) -> None:
        self.world = World(retention_seconds=RETENTION)
        self.now = 0.0
        self._look = look
        self._agents = {host: self.world.agent(host, own) for host, own in HOSTS.items()}

    def play(self, made: list[Step]) -> None:
        for name, *words in made:
            getattr(self, f"_{name}")(*words)
            self._look(self)

    def _end(self, host: str, who: tuple[str, str]) -> tuple[Agent, int]:
        agent, (kind, name) = self._agents[host], who
        if kind == "unit":
            return agent, agent.unit(name)
        return agent, agent.endpoint(flow.ENDPOINT_KIND_POD, 7, pod_uid=name, container_id="c1")

    def _call(
        self, host: str, who: Any, peer: str, port: int, requests: int, name: str | None, target: bool = False
    ) -> None:
        agent, client = self._end(host, who)
        kind = flow.NAME_KIND_TARGET if target else flow.NAME_KIND_HOST
        more = {"host": agent.name(name, kind)} if name and requests else {}
        agent.calls(client, peer, port, requests, bytes_sent=requests + 1, **more)

    def _serve(self, host: str, who: Any, peer: str, port: int, requests: int, local: str) -> None:
        agent, server = self._end(host, who)
        agent.serves(server, peer, port, requests, local=local)

    def _claim(self, host: str, who: Any, own: str, since: float, lasts: float | None) -> None:
        agent, endpoint = self._end(host, who)
        since += self.now
        agent.owns(endpoint, own, since, None if lasts is None else since + lasts)

    def _listen(self, host: str, who: Any, own: str, port: int, since: float) -> None:
        agent, endpoint = self._end(host, who)
        agent.listens(endpoint, own, port, self.now + since)

    def _name(self, host: str, who: Any, name: str, peer: str) -> None:
        agent, endpoint = self._end(host, who)
        agent.told(endpoint, name, peer, at=self.now)

    def _rename(self, host: str, old: str, new: str) -> None:
        agent = self._agents[host]
        agent.redefine(agent.unit(old), flow.ENDPOINT_KIND_UNIT, unit=f"{new}2.service")

    def _tell(self, told: Sequence[str], late: int) -> None:
        self.now += 1
        for host in sorted(told):
            self._agents[host].tells(self.now - 1 - late, self.now - late, at=self.now)

    def _wait(self, seconds: int) -> None:
        self.now += seconds

    def _age(self) -> None:
        self.world.estate.age(ns(self.now))

    def _learn(self, uid: str) -> None:
        """Both are of one workload."""
        name = PodName(uid, "shop", "deployment", "api", f"api-{uid}", REVISIONS[uid], "n1")
        self.world.estate.pods.learn([name])

    def _restart(self, host: str) -> None:
        self._agents[host].restart()


def are_addresses_steady(history: History) -> bool:
    """Whose an address was that changed hands is told from spans of time, which are wider once rows were merged: what
    was seen of them then, and what is made from nothing, may differ."""
    looks = history.world.estate._snapshots._looks
    return not looks.resolved(ns(history.now)).moved.any()


def adds_up(edges: Iterable[pb.Edge]) -> bool:
    """Whether revisions are the whole of each edge at each end that has any."""
    for edge in edges:
        for end in {one.end for one in edge.revisions}:
            for number in ("requests", "errors", "connections"):
                if sum(getattr(one, number) for one in edge.revisions if one.end == end) != getattr(edge, number):
                    return False
    return True


def from_nothing(world: World, now: float, window: float) -> pb.Topology:
    estate = world.estate
    return Snapshots(world.settings, estate._snapshots._held).topology(round(window * SECOND_NS), ns(now))


@pytest.mark.parametrize("seed", range(16))
def test_a_snapshot_is_the_one_that_would_be_made_from_nothing(seed: int) -> None:
    dice = random.Random(seed)
    every = dice.randint(1, 4)
    looked = 0

    def look(history: History) -> None:
        nonlocal looked
        looked += 1
        if looked % every == 0:
            for window in (60.0, RETENTION):
                kept = history.world.topology(history.now, window)
                nothing = from_nothing(history.world, history.now, window)
                assert kept == nothing or not are_addresses_steady(history)
                assert adds_up(kept.edges)

    History(look).play([drawn(dice) for _ in range(60)])


@pytest.mark.parametrize("seed", range(16))
def test_what_is_new_in_shape_is_drawn_as_it_would_be_from_nothing(seed: int) -> None:
    """Every edge that is new or another one is exact, none is missing, and none is left of what is called otherwise."""
    dice = random.Random(1000 + seed)
    drawn_at_all = 0

    def look(history: History) -> None:
        nonlocal drawn_at_all
        snapshots, window = history.world.estate._snapshots, round(RETENTION * SECOND_NS)
        if dice.random() < 0.1:
            history.world.topology(history.now, RETENTION)
        if window not in snapshots._sheets:
            return
        before = snapshots._sheets[window].graph
        made = snapshots.news(window, ns(history.now))
        whole = Graph.of(from_nothing(history.world, history.now, RETENTION))
        graph = made.graph if made else before
        if made:
            assert made.compared and made.compared.changes == compare(before, graph)
            assert graph.traffic == Traffic.of(graph.edges)
        new = {key: edge for key, edge in graph.edges.items() if before.edges.get(key) is not edge}
        drawn_at_all += len(new)
        assert adds_up(graph.edges.values())
        if not are_addresses_steady(history):
            return
        assert new == {key: edge for key, edge in whole.edges.items() if key in new}
        assert whole.edges.keys() <= graph.edges.keys()
        assert {end for edge in graph.edges.values() for end in (edge.source, edge.target)} <= graph.nodes.keys()

    History(look).play([drawn(dice) for _ in range(60)])
    assert drawn_at_all
