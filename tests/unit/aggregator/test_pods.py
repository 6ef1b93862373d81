"""Endpoints of pods become nodes of their workloads, whenever the cluster's API tells of them."""

from pathlib import Path

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import SECOND_NS
from aggregator.resolve.podnames import PodNames
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings
from tests.unit.aggregator.agents import Agent, World, ns
from tests.unit.aggregator.restarts import Started

WEB, API = "10.244.1.5", "10.244.2.6"
W1, W2, A1 = "00000000-0000-0000-0000-0000000000a1", "00000000-0000-0000-0000-0000000000a2", "b1"
EDGE = ("shop/deployment/web", "shop/deployment/api")


def part(uid: str, workload: str, kind: str = "deployment") -> PodName:
    return PodName(uid, "shop", kind, workload, f"{workload}-{uid}", "5d8f", "n1")


class Town:
    """Two pods of web on two hosts call one of api."""

    def __init__(self, **settings: str) -> None:
        self.world = World(**settings)
        self.alpha, self.beta = self.world.agent("alpha", "10.0.0.1"), self.world.agent("beta", "10.0.0.2")

    def speak(self, second: float = 0) -> None:
        api = self.beta.pod(A1, API)
        self.beta.listens(api, API, 8080)
        sidecar = self.alpha.pod(W1, WEB, container="sidecar")
        for agent, uid, own, count in ((self.alpha, W1, WEB, 3), (self.beta, W2, "10.244.2.7", 4)):
            agent.calls(agent.pod(uid, own), API, 8080, count, local=own)
            self.beta.serves(api, own, 8080, count, local=API)
        self.alpha.calls(sidecar, API, 8080, 2, local=WEB)
        self.beta.serves(api, WEB, 8080, 2, local=API)
        for agent in (self.alpha, self.beta):
            agent.tells(second, second + 1)

    def learn(self, *names: PodName) -> None:
        self.world.estate.pods.learn(names)


@pytest.fixture
def town() -> Town:
    return Town()


ALL = part(W1, "web"), part(W2, "web"), part(A1, "api")


@pytest.mark.parametrize("is_late", [False, True])
def test_pods_and_their_sidecars_fold_into_their_workload(town: Town, is_late: bool) -> None:
    if not is_late:
        town.learn(*ALL)
    town.speak()
    if is_late:
        assert town.world.requests() == {("alpha/pod-" + W1, "beta/pod-b1"): 5, ("beta/pod-" + W2, "beta/pod-b1"): 4}
        town.learn(*ALL)
    assert town.world.requests() == {EDGE: 9}
    nodes = town.world.nodes()
    web = nodes[EDGE[0]]
    assert (web.kind, web.name, web.namespace, web.host_count) == (pb.NODE_KIND_WORKLOAD, "web", "shop", 2)
    assert list(nodes[EDGE[1]].listens) == [8080]
    assert nodes[EDGE[1]].host_count == 1


def test_names_that_come_late_rename_what_was_merged_and_aged(town: Town) -> None:
    for second in range(0, 40, 2):
        town.speak(second)
        town.world.estate.age(ns(second + 1))
        town.world.topology(second + 1)
    town.learn(*ALL)
    assert town.world.requests(now=41) == {EDGE: 180}


def test_a_late_name_is_news_at_once(town: Town) -> None:
    town.speak()
    town.world.topology(2)
    town.learn(*ALL)
    made = town.world.estate.news(300 * SECOND_NS, ns(2))
    assert made is not None
    assert {edge.source for edge in made.graph.edges.values()} == {EDGE[0]}
    assert set(made.graph.nodes) == set(EDGE)
    assert made.graph.nodes[EDGE[0]].host_count == 2


def test_a_pod_on_another_host_is_news_of_its_workload_at_once(town: Town) -> None:
    town.learn(*ALL)
    for agent, uid, own in ((town.alpha, W1, WEB), (town.beta, W2, API)):
        agent.calls(agent.pod(uid, own), "203.0.113.5", 80, 1, local=own)
        agent.tells()
        if agent is town.alpha:
            assert town.world.nodes()[EDGE[0]].host_count == 1
    made = town.world.estate.news(300 * SECOND_NS, ns(3))
    assert made is not None
    assert made.graph.nodes[EDGE[0]].host_count == 2


def test_another_name_for_a_pod_moves_its_counts(town: Town) -> None:
    town.learn(part(W1, "web-5d8f", "replicaset"), *ALL[1:])
    town.speak()
    assert town.world.requests() == {EDGE: 4, ("shop/replicaset/web-5d8f", EDGE[1]): 5}
    town.learn(ALL[0])
    assert town.world.requests() == {EDGE: 9}


def test_another_cluster_s_pods_are_not_known_by_this_one_s_api() -> None:
    town = Town(cluster="here")
    far: Agent = town.world.agent("gamma", "10.0.0.3", cluster="there")
    far.calls(far.pod(W1, WEB), "203.0.113.5", 80, 1, local=WEB)
    far.tells()
    town.learn(*ALL)
    assert set(town.world.requests()) == {(f"there:gamma/pod-{W1}", "203.0.113.5")}


def test_a_pod_that_is_gone_keeps_its_name_as_long_as_its_rows_are_kept(town: Town) -> None:
    town.learn(*ALL)
    town.speak()
    estate = town.world.estate
    estate.pods.end([W1], ns(2))
    estate.age(ns(3000))
    assert town.world.edges(now=3000, window=3600).keys() == {EDGE}
    assert estate.held()["pods"] == 3
    estate.age(ns(2 + 3901))
    assert estate.held()["pods"] == 2


def test_names_survive_a_restart_from_the_journal_and_from_a_checkpoint(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    before = Started(settings)
    alpha = World().agent("alpha", "10.0.0.1")
    alpha.calls(alpha.pod(W1, WEB), "203.0.113.5", 80, 1, local=WEB)
    before.hear(alpha, 0)
    before.store.learn_pods([ALL[0]], [W1], [])
    for is_saved in (False, True):
        if is_saved:
            before.save()
        before.store.close()
        before = Started(settings)
        assert not before.damages.faults
        assert [edge.source for edge in before.topology().edges] == [EDGE[0]], is_saved
        assert before.store.estate.pods.living() == [W1]
    before.store.close()


def test_a_name_that_is_known_makes_no_record(tmp_path: Path) -> None:
    started = Started(Settings(data=tmp_path))
    started.store.learn_pods(ALL, [], [])
    position = started.store.position
    started.store.learn_pods(ALL, [], [])
    assert started.store.position == position > 0
    started.store.close()


def test_there_is_room_for_so_many_and_what_is_gone_leaves_first() -> None:
    pods = PodNames(most=2)
    pods.learn([part("1", "a"), part("2", "b")])
    pods.learn([part("3", "c")])
    assert (pods.of("3"), pods.dropped) == (None, 1)
    pods.end(["1"], 5)
    pods.learn([part("3", "c")])
    assert pods.of("1") is None
    assert pods.of("3") is not None
    assert (len(pods), pods.dropped) == (2, 1)
