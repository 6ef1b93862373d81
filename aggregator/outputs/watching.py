"""What one watcher is sent: a snapshot in parts, then deltas, and bookmarks while nothing changes.

Knows no transport. A watcher that does not read holds up nobody: it is sent the sum of what it missed, and when
that is too much, it is told to begin again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final, TypeAlias

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.changes import changes_between
from aggregator.topology.filters import changes_as_filtered, filtered
from aggregator.topology.graph import stamp
from aggregator.topology.versions import KEPT_VERSIONS, Versioned, Versions

Response: TypeAlias = pb.WatchTopologyResponse

BOOKMARK_SECONDS: Final = 10.0
# What is new in shape goes out at once, numbers alone this often.
_NUMBERS_SECONDS: Final = 1.0
_MOST_PART_BYTES: Final = 1_000_000
_KEPT: Final = 16


class Filtered:
    """Snapshots as readers asked for them, each made once for all who asked alike."""

    def __init__(self) -> None:
        # By snapshot too: who watches compares two of them. A held message keeps its id.
        self._made: dict[tuple[int, bytes], tuple[pb.Topology, pb.Topology]] = {}

    def of(self, topology: pb.Topology, wanted: pb.Filter) -> pb.Topology:
        key = (id(topology), wanted.SerializeToString(deterministic=True))
        made = self._made.pop(key, None)
        if made is None:
            made = (topology, filtered(topology, wanted))
        self._made[key] = made
        while len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]
        return made[1]


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
        yield from self._delta(self._as_filtered(changes), resume.version)
        yield self._bookmark()

    def _next(self) -> Iterator[Response]:
        newest = self._versions.newest
        if newest.version - self._held.version > KEPT_VERSIONS:
            yield from self._restart("This reader was too slow to be told every change; here is the graph as it is.")
            return
        now = time.monotonic()
        if newest.version != self._held.version:
            if now - self._numbers_at < _NUMBERS_SECONDS and self._only_numbers_changed():
                return
            changes = changes_between(self._seen(self._held), self._seen(newest))
            before, self._held = self._held.version, newest
            if changes:
                self._numbers_at = self._told_at = now
                yield from self._delta(changes, before)
        if now - self._told_at >= BOOKMARK_SECONDS:
            yield self._bookmark()

    def _only_numbers_changed(self) -> bool:
        changes = self._versions.since(self._versions.epoch, self._held.version)
        return changes is not None and all(change.kind == pb.CHANGE_KIND_UPDATED for change in changes)

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
        parts = list(_parts(self._seen(newest)))
        for number, part in enumerate(parts, 1):
            is_last = number == len(parts)
            yield Response(position=position, snapshot=pb.SnapshotPart(part=part, complete=is_last))

    def _delta(self, changes: list[pb.Change], before: int) -> Iterator[Response]:
        """The position moves with the last part only: a resume in between repeats changes, and loses none."""
        chunks = list(_chunks(changes))
        for number, chunk in enumerate(chunks, 1):
            version = self._held.version if number == len(chunks) else before
            yield Response(position=self._position(version), delta=pb.Delta(time=stamp(time.time_ns()), changes=chunk))

    def _bookmark(self) -> Response:
        self._told_at = time.monotonic()
        seen = self._seen(self._held)
        bookmark = pb.Bookmark(time=stamp(time.time_ns()), nodes=len(seen.nodes), edges=len(seen.edges))
        return Response(position=self._position(self._held.version), bookmark=bookmark)

    def _as_filtered(self, changes: list[pb.Change]) -> list[pb.Change]:
        whole, seen = self._held.topology, self._seen(self._held)
        return changes if seen is whole else changes_as_filtered(changes, whole, seen)

    def _seen(self, snapshot: Versioned) -> pb.Topology:
        return self._shared.of(snapshot.topology, self._wanted)

    def _position(self, version: int) -> pb.Position:
        return pb.Position(epoch=self._versions.epoch, version=version)


def _parts(topology: pb.Topology) -> Iterator[pb.Topology]:
    """Nodes come before the edges between them. At least one part."""
    part, room = _empty_part(topology), _MOST_PART_BYTES
    part.hosts.extend(topology.hosts)
    for name in ("nodes", "edges"):
        for one in getattr(topology, name):
            if room <= 0:
                yield part
                part, room = _empty_part(topology), _MOST_PART_BYTES
            getattr(part, name).append(one)
            room -= one.ByteSize() + 4
    yield part


def _empty_part(topology: pb.Topology) -> pb.Topology:
    return pb.Topology(cluster=topology.cluster, window=topology.window)


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
