"""What was called outside since somebody looked: each row once, of whom, and from where."""

from typing import Any

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator import outside as room
from aggregator.outside import Came
from aggregator.steps import at_once
from aggregator.topology.lookups import IPV4, IPV6
from tests.unit.aggregator.agents import Agent, World, ns

NXDOMAIN = 3
PAY, PAY_ADDRESS, RESOLVER = "api.pay.example", "203.0.113.9", "192.0.2.53"


class Stage:
    def __init__(self) -> None:
        self.world = World()
        self.alpha = self.world.agent("alpha", "10.0.0.1")
        self.second = 0

    def came(self, *agents: Agent) -> Came:
        """After these have told."""
        for one in agents or (self.alpha,):
            one.tells(self.second, self.second + 1)
        self.second += 1
        return self.look()

    def look(self) -> Came:
        return at_once(self.world.estate.outside(ns(self.second)))

    def looks_up(self, kind: int, **more: Any) -> None:
        fields = {"protocol": flow.PROTOCOL_DNS, "operation": 0, "code": 0, "transport": flow.TRANSPORT_UDP, **more}
        name = self.alpha.name(PAY, flow.NAME_KIND_DNS)
        self.alpha.calls(self.alpha.unit("web"), RESOLVER, 53, 1, name=name, kind=kind, **fields)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.look()
    return stage


def requests(came: Came) -> dict[tuple[str, str], int]:
    return {(edge.source, edge.target): edge.requests for edge in came.topology.edges}


UNANSWERED = {"outcome": flow.OUTCOME_UNANSWERED_SERVER, "latency_bucket": 0, "sum_ns": 0}


def test_each_row_is_seen_once(stage: Stage) -> None:
    web = stage.alpha.unit("web")
    stage.alpha.calls(web, PAY_ADDRESS, 443, 3, said=PAY)
    stage.alpha.calls(web, "10.0.0.2", 80, 9)  # nothing outside
    came = stage.came()
    assert requests(came) == {("alpha/web", PAY): 3}
    assert {node.id: node.kind for node in came.topology.nodes}[PAY] == pb.NODE_KIND_THIRD_PARTY
    assert came.hosts["alpha/web"] == {"default/alpha"}
    stage.alpha.calls(web, PAY_ADDRESS, 443, 2, said=PAY)
    assert requests(stage.came()) == {("alpha/web", PAY): 2}
    assert requests(stage.look()) == {}


def test_what_was_there_before_is_known_and_not_seen() -> None:
    stage = Stage()
    web = stage.alpha.unit("web")
    stage.alpha.calls(web, PAY_ADDRESS, 443, 3, said=PAY)
    stage.alpha.calls(web, "10.0.0.2", 80, 9)
    stage.alpha.tells()
    stage.world.topology()
    came = stage.look()
    assert came.known is not None and PAY in came.known and not any("/" in one for one in came.known)
    assert requests(came) == {}
    assert stage.came().known is None


def test_whom_a_proxy_is_asked_for(stage: Stage) -> None:
    target = stage.alpha.target(PAY)
    stage.alpha.listens(stage.alpha.unit("proxy"), "10.0.0.1", 3128)
    stage.alpha.calls(stage.alpha.unit("web"), "10.0.0.1", 3128, 4, host=target)
    assert requests(stage.came())["alpha/web", PAY] == 4


def test_look_ups_and_what_failed_of_them(stage: Stage) -> None:
    stage.looks_up(IPV4)
    stage.looks_up(IPV4, **UNANSWERED)
    (edge,) = stage.came().topology.edges
    assert [(one.name, one.unanswered) for one in edge.failed_lookups] == [(PAY, 1)]


def test_a_question_for_ipv6_that_is_given_up_long_after_is_none(stage: Stage) -> None:
    stage.looks_up(IPV4)
    stage.came()
    stage.looks_up(IPV6, **UNANSWERED)
    assert [len(edge.failed_lookups) for edge in stage.came().topology.edges] == [0]


def test_a_name_that_was_there_is_gone_however_long_ago_that_was(stage: Stage) -> None:
    stage.looks_up(IPV4)
    stage.came()
    stage.second = 1000
    stage.looks_up(IPV4, code=NXDOMAIN)
    (edge,) = stage.came().topology.edges
    assert [(one.name, one.gone) for one in edge.failed_lookups] == [(PAY, 1)]
    (edge,) = stage.world.topology(now=1002, window=60).edges
    assert [(one.name, one.gone) for one in edge.failed_lookups] == [(PAY, 1)]


def test_one_that_never_was_is_not(stage: Stage) -> None:
    for _ in range(3):
        stage.looks_up(IPV4, code=NXDOMAIN)
        assert [len(edge.failed_lookups) for edge in stage.came().topology.edges] == [0]


def test_a_host_that_is_silent_is_named(stage: Stage) -> None:
    beta = stage.world.agent("beta", "10.0.0.2")
    assert stage.came(stage.alpha, beta).silent == frozenset()
    stage.second += 100
    assert stage.came().silent == {"default/beta"}


def test_rows_beyond_the_bound_are_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_ROWS", 3)
    web = stage.alpha.unit("web")
    stage.alpha.calls(web, "10.0.0.2", 80, 9)
    stage.alpha.calls(web, PAY_ADDRESS, 443, 3, said=PAY)
    assert (requests(came := stage.came()), came.left_out) == ({("alpha/web", PAY): 3}, 0)
    for number in range(2):
        stage.alpha.calls(web, PAY_ADDRESS, 443, 3, said=f"n{number}.example")
    assert (requests(came := stage.came()), came.left_out) == ({}, 4)
