"""An edge that is first seen while an end of it is rolled out says with which revision it came."""

import pytest
from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.appearing import spans_of
from aggregator.topology.changes import changes_between
from aggregator.topology.snapshot import Graph
from tests.unit.aggregator.agents import ns
from tests.unit.aggregator.test_pods import A1, API, W1, WEB, Town, part

CLIENT, SERVER = "shop/deployment/web", "shop/deployment/api"


def told(state: pb.RolloutState, second: float, node: str = CLIENT, revision: str = "new") -> pb.Event:
    found = pb.Event(id=f"{node}{state}{second}", kind=pb.EVENT_KIND_ROLLOUT, node=node, object="deployment/x")
    found.state, found.revision = state, revision
    found.time.FromNanoseconds(ns(second))
    return found


BEGUN, DONE, BACK = pb.ROLLOUT_STATE_BEGUN, pb.ROLLOUT_STATE_DONE, pb.ROLLOUT_STATE_ROLLED_BACK


class Rolled(Town):
    """One call from web to api, at that second."""

    def call(self, second: float) -> None:
        self.alpha.calls(self.alpha.pod(W1, WEB), API, 8080, 1, local=WEB)
        self.beta.serves(self.beta.pod(A1, API), WEB, 8080, 1, local=API)
        for agent in (self.alpha, self.beta):
            agent.tells(second, second + 1)

    def came_with(self, second: float, *events: pb.Event) -> list[tuple[str, str]]:
        self.learn(part(W1, "web"), part(A1, "api"))
        self.world.estate.events.add(events)
        self.call(second)
        (edge,) = self.world.topology(second + 1).edges
        return [(one.node, one.revision) for one in edge.appeared_with]


@pytest.mark.parametrize(
    ("second", "expected"), [(8, []), (9, [CLIENT]), (25, [CLIENT]), (139, [CLIENT]), (140, []), (500, [])]
)
def test_within_the_rollout_and_two_minutes_after_it(second: float, expected: list[str]) -> None:
    found = Rolled().came_with(second, told(BEGUN, 10), told(DONE, 20))
    assert found == [(node, "new") for node in expected]


def test_the_server_s_rollout_counts_too_and_another_workload_s_does_not() -> None:
    events = told(BEGUN, 1, SERVER, "s"), told(BEGUN, 1, "shop/deployment/other"), told(BEGUN, 2, CLIENT, "c")
    assert Rolled().came_with(3, *events) == [(CLIENT, "c"), (SERVER, "s")]


def test_of_two_rollouts_of_one_workload_it_came_with_the_newer_one() -> None:
    events = told(BEGUN, 1, revision="old"), told(DONE, 5, revision="old"), told(BEGUN, 10, revision="new")
    assert Rolled().came_with(9, *events) == Rolled().came_with(30, *events) == [(CLIENT, "new")]
    assert Rolled().came_with(8, *events) == [(CLIENT, "old")]


def test_an_edge_that_was_there_before_does_not_come_with_a_revision() -> None:
    town = Rolled()
    assert town.came_with(1) == []
    assert town.came_with(12, told(BEGUN, 10)) == []


def test_the_next_rollout_ends_the_one_before_and_a_name_that_comes_late_is_its_name() -> None:
    spans = spans_of(
        [told(BEGUN, 10, revision=""), told(pb.ROLLOUT_STATE_PROGRESSING, 12), told(BACK, 20, revision="old")]
    )
    assert [(span.from_ns, span.to_ns, span.revision) for span in spans[CLIENT]] == [
        (ns(10), ns(20), "new"),
        (ns(20), 2**62, "old"),
    ]
    spans = spans_of([told(BEGUN, 10), told(DONE, 20), told(BEGUN, 30, revision="next")])
    assert [(span.from_ns, span.to_ns) for span in spans[CLIENT]] == [(ns(10), ns(30)), (ns(30), 2**62)]


def test_that_an_edge_says_so_is_no_change_of_it() -> None:
    before = pb.Topology(edges=[pb.Edge(id="e", appeared_with=[pb.AppearedWith(node="n", revision="r")])])
    (change,) = changes_between(Graph.of(before), Graph.of(pb.Topology(edges=[pb.Edge(id="e")])))
    assert change.kind == pb.CHANGE_KIND_UPDATED
