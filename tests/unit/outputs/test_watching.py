"""Whoever applies what a watch sends holds exactly the newest graph as filtered, at any pace and after any break."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

from aggregator.outputs import watching
from aggregator.outputs.watching import Filtered, Watcher
from aggregator.topology.filters import filtered
from aggregator.topology.snapshot import Graph
from aggregator.topology.versions import KEPT_VERSIONS, Versions
from tests.unit.outputs.topologies import FILTERS, Reader, histories, same, topology


class Stream:
    """One watch, and the reader behind it."""

    def __init__(self, versions: Versions, wanted: pb.Filter, reader: Reader | None = None) -> None:
        request = pb.WatchTopologyRequest(filter=wanted)
        if reader is not None:
            request.resume.CopyFrom(reader.position)
        self.reader = reader or Reader()
        self.closing = asyncio.Event()
        self._responses: AsyncIterator[Any] = Watcher(versions, request, Filtered()).responses(self.closing)
        self._pending: asyncio.Task[Any] | None = None

    async def read(self, at_most: int = 1000) -> int:
        """All that is there now; how many responses that were."""
        for number in range(at_most):
            if self._pending is None:
                self._pending = asyncio.ensure_future(anext(self._responses))
            # No time needs to pass: whatever is ready takes a few rounds of the loop.
            for _ in range(50):
                await asyncio.sleep(0)
            if not self._pending.done():
                return number
            self.reader.take([self._pending.result()])
            self._pending = None
        return at_most

    async def close(self) -> None:
        self.closing.set()
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
        await self._responses.aclose()  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def numbers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_NUMBERS_SECONDS", 0.0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@settings(max_examples=100, deadline=None)
@given(
    graphs=histories(),
    wanted=st.sampled_from(FILTERS),
    read_after=st.sets(st.integers(0, 7)),
    break_after=st.sets(st.integers(0, 7)),
)
def test_a_reader_at_any_pace_holds_the_newest_graph(
    graphs: list[pb.Topology], wanted: pb.Filter, read_after: set[int], break_after: set[int]
) -> None:
    async def test() -> None:
        versions = Versions("e1", Graph.of(graphs[0]))
        stream = Stream(versions, wanted)
        for number, graph in enumerate(graphs[1:]):
            versions.publish(Graph.of(graph))
            if number in read_after:
                await stream.read()
                assert same(stream.reader.topology, filtered(Graph.of(graph), wanted).message)
            if number in break_after and stream.reader.position.epoch:
                await stream.close()
                stream = Stream(versions, wanted, stream.reader)
        await stream.read()
        assert same(stream.reader.topology, filtered(Graph.of(graphs[-1]), wanted).message)
        assert not stream.reader.restarts
        await stream.close()
        assert not versions.listeners

    run(test)


@pytest.mark.parametrize(("before", "after"), [("", "shop"), ("shop", "")])
def test_a_resume_is_told_of_what_a_node_brings_along_or_takes_with_it(before: str, after: str) -> None:
    """Its namespace changed, its edges did not."""

    async def test() -> None:
        wanted, graphs = pb.Filter(namespace="shop"), [topology("a", "b", "c") for _ in range(2)]
        for graph, namespace in zip(graphs, (before, after), strict=True):
            graph.nodes[0].namespace = namespace
            graph.edges.add(**{"id": "a>b", "source": "a", "target": "b", "class": pb.EDGE_CLASS_TRAFFIC})
        versions = Versions("e1", Graph.of(graphs[0]))
        first = Stream(versions, wanted)
        await first.read()
        await first.close()
        versions.publish(Graph.of(graphs[1]))
        again = Stream(versions, wanted, first.reader)
        await again.read()
        assert same(again.reader.topology, filtered(Graph.of(graphs[1]), wanted).message)
        await again.close()

    run(test)


def test_a_resume_at_the_newest_version_sends_a_bookmark_alone() -> None:
    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a", "b")))
        first = Stream(versions, pb.Filter())
        assert await first.read() == 1
        await first.close()
        again = Stream(versions, pb.Filter(), first.reader)
        assert await again.read() == 1
        (bookmark,) = again.reader.bookmarks
        assert (bookmark.nodes, bookmark.edges) == (2, 2)
        await again.close()

    run(test)


@pytest.mark.parametrize(
    "position",
    [pb.Position(epoch="another", version=1), pb.Position(epoch="e1", version=99), pb.Position(epoch="e1", version=3)],
    ids=["another epoch", "of the future", "too old"],
)
def test_a_position_that_cannot_be_resumed_is_answered_by_a_restart(position: pb.Position) -> None:
    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a")))
        for number in range(KEPT_VERSIONS + 10 if position.version == 3 else 10):
            versions.publish(Graph.of(topology("a", f"n{number}")))
        reader = Reader()
        reader.position = position
        reader.nodes = {"ghost": pb.Node(id="ghost")}
        stream = Stream(versions, pb.Filter(), reader)
        await stream.read()
        assert len(reader.restarts) == 1 and reader.restarts[0].endswith(".")
        assert same(reader.topology, versions.newest.topology)
        assert reader.position == versions.newest.topology.position
        await stream.close()

    run(test)


def test_a_reader_that_missed_too_much_begins_again() -> None:
    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a")))
        stream = Stream(versions, pb.Filter())
        await stream.read(1)
        for number in range(KEPT_VERSIONS + 2):
            versions.publish(Graph.of(topology("a", f"n{number}")))
        await stream.read()
        assert len(stream.reader.restarts) == 1
        assert same(stream.reader.topology, versions.newest.topology)
        await stream.close()

    run(test)


def test_a_slow_reader_gets_the_sum_of_what_it_missed() -> None:
    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a")))
        stream = Stream(versions, pb.Filter())
        await stream.read(1)
        for number in range(100):
            versions.publish(Graph.of(topology("a", requests=number + 1)))
        assert await stream.read() == 1
        assert stream.reader.edges["a>"].requests == 100
        await stream.close()

    run(test)


def test_numbers_alone_wait_for_their_turn_and_what_is_new_takes_them_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_NUMBERS_SECONDS", 0.3)

    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a")))
        stream = Stream(versions, pb.Filter())
        await stream.read()
        versions.publish(Graph.of(topology("a", requests=1)))
        assert await stream.read() == 0
        versions.publish(Graph.of(topology("a", "b", requests=2)))
        assert await stream.read() == 1
        versions.publish(Graph.of(topology("a", "b", requests=3)))
        assert await stream.read() == 0
        await asyncio.sleep(0.5)
        assert await stream.read() == 1
        assert stream.reader.edges["a>"].requests == 3
        await stream.close()

    run(test)


def test_a_watch_where_nothing_happens_has_bookmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.05)

    async def test() -> None:
        versions = Versions("e1", Graph.of(topology("a", "b")))
        stream = Stream(versions, pb.Filter(node="a"))
        await stream.read(1)
        await asyncio.sleep(0.15)
        # What the filter leaves out moves the position only.
        versions.publish(Graph.of(topology("a", "b", "c")))
        await stream.read(3)
        assert stream.reader.deltas == 0
        bookmark = stream.reader.bookmarks[-1]
        assert (bookmark.nodes, bookmark.edges, stream.reader.position.version) == (1, 1, 2)
        await stream.close()

    run(test)


def test_a_large_snapshot_and_a_large_delta_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MOST_PART_BYTES", 200)

    async def test() -> None:
        names = [f"node-{number}" for number in range(100)]
        versions = Versions("e1", Graph.of(topology(*names)))
        stream = Stream(versions, pb.Filter())
        assert await stream.read() > 10
        versions.publish(Graph.of(topology(*names, requests=1)))
        # A break in the middle of a delta repeats some of it, and loses nothing.
        await stream.read(3)
        assert stream.reader.position.version == 1
        await stream.close()
        again = Stream(versions, pb.Filter(), stream.reader)
        await again.read()
        assert same(again.reader.topology, versions.newest.topology)
        assert again.reader.position.version == 2
        await again.close()

    run(test)


def test_events_of_the_window_come_with_the_snapshot_and_others_as_they_happen() -> None:
    def graph(*ids: str) -> Graph:
        found = topology("a")
        found.events.extend(pb.Event(id=one, node="shop/deployment/web") for one in ids)
        return Graph.of(found)

    async def test() -> None:
        versions = Versions("e1", graph("old"))
        stream, other = Stream(versions, pb.Filter()), Stream(versions, pb.Filter(namespace="till"))
        await stream.read()
        await other.read()
        versions.publish(graph("old", "new"))
        await stream.read()
        await other.read()
        assert (stream.reader.events, other.reader.events) == (["old", "new"], [])
        again = Stream(versions, pb.Filter(), stream.reader)
        versions.publish(graph("old", "new", "newer"))
        await again.read()
        assert again.reader.events == ["old", "new", "newer"]
        for one in (stream, other, again):
            await one.close()

    run(test)
