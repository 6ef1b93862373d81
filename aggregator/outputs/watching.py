"""What one watcher is sent: a snapshot in parts, then deltas, and bookmarks while nothing changes.

Knows no transport. A watcher that does not read holds up nobody: it is sent the sum of what it missed, and when
that is too much, it is told to begin again.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, TypeAlias, TypeVar

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.changes import Hints, compare
from aggregator.topology.filters import changes_as_filtered, filtered
from aggregator.topology.snapshot import Graph
from aggregator.topology.times import stamp
from aggregator.topology.versions import KEPT_VERSIONS, Versioned, Versions

Response: TypeAlias = pb.WatchTopologyResponse
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

BOOKMARK_SECONDS: Final = 10.0
# What is new in shape goes out at once, numbers alone this often.
_NUMBERS_SECONDS: Final = 1.0
# A part is made at once, and until it is made nobody else is served.
_MOST_PART_BYTES: Final = 50_000
_KEPT: Final = 16
_KEPT_DELTAS: Final = 4


class Filtered:
    """Snapshots, and what changed between two of them, as readers asked for it: made once for all who asked alike."""

    def __init__(self) -> None:
        # By snapshot too: who watches compares two of them. A held graph keeps its id.
        self._made: dict[tuple[int, bytes], tuple[Graph, Graph]] = {}
        self._deltas: dict[tuple[str, int, int, bytes], _Shared] = {}

    def of(self, graph: Graph, wanted: pb.Filter) -> Graph:
        key = (id(graph), _key(wanted))
        made = self._made.pop(key, None)
        if made is None:
            made = (graph, filtered(graph, wanted))
        _keep(self._made, key, made, _KEPT)
        return made[1]

    def deltas(
        self, epoch: str, before: Versioned, after: Versioned, hints: Hints | None, wanted: pb.Filter
    ) -> "_Shared":
        """The position moves with the last one only: a resume in between repeats changes, and loses none."""
        key = (epoch, before.version, after.version, _key(wanted))
        made = self._deltas.pop(key, None)
        if made is None:
            changes = compare(self.of(before.graph, wanted), self.of(after.graph, wanted), hints).in_order()
            made = _Shared(deltas_of(epoch, changes, before.version, after.version))
        _keep(self._deltas, key, made, _KEPT_DELTAS)
        return made


class _Shared:
    """Responses, each made when the first of several readers comes to it."""

    def __init__(self, rest: Iterator[Response]) -> None:
        self._made: list[Response] = []
        self._rest = rest

    def __iter__(self) -> Iterator[Response]:
        for at in itertools.count():
            if at == len(self._made):
                following = next(self._rest, None)
                if following is None:
                    return
                self._made.append(following)
            yield self._made[at]


def _keep(made: dict[K, V], key: K, value: V, most: int) -> None:
    made[key] = value
    while len(made) > most:
        del made[next(iter(made))]


def _key(wanted: pb.Filter) -> bytes:
    return wanted.SerializeToString(deterministic=True)


class Watcher:
    """One stream. `closing` ends it."""

    def __init__(self, versions: Versions, request: pb.WatchTopologyRequest, shared: Filtered) -> None:
        self._versions = versions
        self._wanted = request.filter
        self._resume = request.resume if request.HasField("resume") else None
        self._shared = shared
        self._held = versions.newest
        self._woken = asyncio.Event()
        self._numbers_at = self._told_at = time.monotonic()

    async def responses(self, closing: asyncio.Event) -> AsyncIterator[Response]:
        self._versions.listeners.add(self._woken.set)
        try:
            for response in self._begin():
                yield response
            while not closing.is_set():
                await self._wait(closing)
                for response in self._next():
                    yield response
        finally:
            self._versions.listeners.discard(self._woken.set)

    def _begin(self) -> Iterator[Response]:
        resume = self._resume
        if resume is None or not resume.epoch:
            yield from self._snapshot()
            return
        changes = self._versions.since(resume.epoch, resume.version)
        if changes is None:
            yield from self._restart("The position is of another aggregator, or too old; here is the graph as it is.")
            return
        self._held = self._versions.newest
        yield from deltas_of(resume.epoch, self._as_filtered(changes), resume.version, self._held.version)
        yield self._bookmark()

    def _next(self) -> Iterator[Response]:
        newest = self._versions.newest
        if newest.version - self._held.version > KEPT_VERSIONS:
            yield from self._restart("This reader was too slow to be told every change; here is the graph as it is.")
            return
        now = time.monotonic()
        if newest.version != self._held.version:
            if now - self._numbers_at < _NUMBERS_SECONDS and self._versions.only_numbers_since(self._held.version):
                return
            hints = self._versions.hints_since(self._held.version)
            deltas = self._shared.deltas(self._versions.epoch, self._held, newest, hints, self._wanted)
            self._held = newest
            for delta in deltas:
                self._numbers_at = self._told_at = now
                yield delta
        if now - self._told_at >= BOOKMARK_SECONDS:
            yield self._bookmark()

    async def _wait(self, closing: asyncio.Event) -> None:
        """For a new version; no longer than until numbers that were held back, or a bookmark, are due."""
        now = time.monotonic()
        due = self._told_at + BOOKMARK_SECONDS
        if self._versions.newest.version != self._held.version:
            due = min(due, self._numbers_at + _NUMBERS_SECONDS)
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(closing.wait())]
        try:
            await asyncio.wait(waits, timeout=max(due - now, 0.01), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._woken.clear()

    def _restart(self, reason: str) -> Iterator[Response]:
        yield Response(position=self._position(self._versions.newest.version), restart=pb.Restart(reason=reason))
        yield from self._snapshot()

    def _snapshot(self) -> Iterator[Response]:
        self._held = newest = self._versions.newest
        self._told_at = self._numbers_at = time.monotonic()
        position = self._position(newest.version)
        for part, is_last in _until_last(_parts(self._seen(newest))):
            yield Response(position=position, snapshot=pb.SnapshotPart(part=part, complete=is_last))

    def _bookmark(self) -> Response:
        self._told_at = time.monotonic()
        seen = self._seen(self._held)
        bookmark = pb.Bookmark(time=stamp(time.time_ns()), nodes=len(seen.nodes), edges=len(seen.edges))
        return Response(position=self._position(self._held.version), bookmark=bookmark)

    def _as_filtered(self, changes: list[pb.Change]) -> list[pb.Change]:
        whole, seen = self._held.graph, self._seen(self._held)
        return changes if seen is whole else changes_as_filtered(changes, whole, seen)

    def _seen(self, snapshot: Versioned) -> Graph:
        return self._shared.of(snapshot.graph, self._wanted)

    def _position(self, version: int) -> pb.Position:
        return pb.Position(epoch=self._versions.epoch, version=version)


def _parts(graph: Graph) -> Iterator[pb.Topology]:
    """Nodes come before the edges between them. At least one part."""
    part, room = _empty_part(graph), _MOST_PART_BYTES
    part.hosts.extend(graph.hosts.values())
    part.events.extend(graph.beside.events.values())
    for name, values in (("nodes", graph.nodes), ("edges", graph.edges)):
        for one in values.values():
            if room <= 0:
                yield part
                part, room = _empty_part(graph), _MOST_PART_BYTES
            getattr(part, name).append(one)
            room -= one.ByteSize() + 4
    yield part


def _empty_part(graph: Graph) -> pb.Topology:
    return pb.Topology(cluster=graph.cluster, window=graph.window)


def deltas_of(epoch: str, changes: list[pb.Change], before: int, after: int) -> Iterator[Response]:
    """In parts; the last one has the position after them."""
    for chunk, is_last in _until_last(_chunks(changes)):
        position = pb.Position(epoch=epoch, version=after if is_last else before)
        yield Response(position=position, delta=pb.Delta(time=stamp(time.time_ns()), changes=chunk))


def _until_last(some: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Each, and whether it is the last one."""
    rest = iter(some)
    one = next(rest, None)
    while one is not None:
        following = next(rest, None)
        yield one, following is None
        one = following


def _chunks(changes: list[pb.Change]) -> Iterator[list[pb.Change]]:
    chunk: list[pb.Change] = []
    room = _MOST_PART_BYTES
    for change in changes:
        if room <= 0:
            yield chunk
            chunk, room = [], _MOST_PART_BYTES
        chunk.append(change)
        room -= change.ByteSize() + 4
    if chunk:
        yield chunk
