"""The aggregator's own metrics say how much of the graph has an end that nobody knows."""

import pytest

from aggregator.metrics import unresolved
from aggregator.topology.snapshot import Graph
from tests.unit.aggregator.agents import World


@pytest.mark.parametrize("is_known", [False, True])
def test_what_has_an_end_that_nobody_knows_is_counted(is_known: bool) -> None:
    world = World()
    alpha = world.agent("alpha", "10.0.0.1")
    web = alpha.unit("web")
    alpha.calls(web, "203.0.113.9", 80, 3)
    if not is_known:
        alpha.calls(web, "10.9.9.9", 80, 5, connections=2)
        alpha.serves(web, "10.9.9.8", 81, 7, local="10.0.0.1")
    alpha.tells()
    found = {name: value for name, _, value in unresolved(Graph.of(world.topology()))}
    expected = (0, 0, 0) if is_known else (2, 12, 3)
    assert found == dict(zip(("edges", "requests", "connections"), expected, strict=True))
