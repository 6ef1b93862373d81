"""A running aggregator gives back what nothing refers to, and an agent that still does says it again by itself."""

import time
from pathlib import Path

from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import ReportRequest

from agent.outbox import Outbox
from tests.unit.aggregator.agents import Agent
from tests.unit.outputs.running import UNAVAILABLE, Stream, agent, run, running, until

# What agents say of then is older than anything that is kept.
LONG_AGO = -10_000.0
ENDPOINTS = 40


def tell(one: Agent, first: int, at: float) -> flow.Batch:
    """Of half as many units as there is room for, each of which called."""
    for number in range(first, first + ENDPOINTS // 2):
        one.calls(one.unit(f"job{number}"), "192.0.2.7", 443, 1, closed=1)
    return one.batch(at, at + 1)


def test_a_running_aggregator_gives_back_and_asks_again(tmp_path: Path) -> None:
    async def test() -> None:
        settings = {"max_endpoints": ENDPOINTS, "window_seconds": 60.0, "retention_seconds": 60.0}
        async with running(tmp_path, **settings) as aggregator:
            one, outbox = agent(), Outbox()
            stream = Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            old = tell(one, 0, LONG_AGO)
            assert await stream.bring(old) == 1
            outbox.acknowledged, outbox._next_sequence = 1, 2
            await until(lambda: aggregator.events("given_back"), 20)
            (told,) = aggregator.events("given_back")
            assert (told["endpoints"], told["flows"]) == (ENDPOINTS // 2, ENDPOINTS // 2)
            metrics = await aggregator.metrics()
            assert metrics['given_back_total{kind="endpoints"}'] == ENDPOINTS // 2
            assert metrics["known_flows"] == 0
            # An old one goes on, by its old number.
            one.calls(one.unit("job3"), "192.0.2.7", 443, 4)
            outbox._in_flight.extend(Outbox.of(1, [one.batch(-1, 0)], time.time_ns())._in_flight)
            outbox._next_sequence = 3
            await stream.say(ReportRequest(batch=outbox.in_flight[0]).SerializeToString())
            assert (await stream.refusal())[0] == UNAVAILABLE
            assert [line["agent"] for line in aggregator.events("agent_asked_again")] == ["alpha"]
            again = Stream(aggregator.channel("agents"))
            await again.say(ReportRequest(hello=one.hello(0)).SerializeToString())
            welcome = (await again.hear()).welcome
            assert welcome.definitions_lost and welcome.acknowledged_sequence == 1
            assert outbox.resume(1)
            known = {name: getattr(old, name) for name in ("endpoints", "flow_definitions", "names")}
            outbox.restate(1, known, time.time_ns())
            numbers = [await again.bring(batch) for batch in outbox.in_flight]
            assert numbers == [3, 4]
            topology = pb.Topology()
            while not topology.edges:
                topology = (await aggregator.topology.GetTopology(pb.GetTopologyRequest())).topology
            assert {(edge.source, edge.requests) for edge in topology.edges} == {("alpha/job3", 4)}
            assert not topology.hosts[0].blind
            assert not (await aggregator.metrics())['dropped_total{reason="undefined_flow"}']
            # A start from the checkpoint of before would need the room again.
            await until(lambda: list(tmp_path.glob("checkpoint-*.bin")), 15)

    run(test, 60)
