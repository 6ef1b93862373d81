"""Snapshots in a row, each with a version, and the deltas between them for those who resume.

A watcher holds what it sent last and compares: so a slow one gets fewer and larger deltas, and holds up nobody.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.changes import Changes, Compared, Hints, compare, together
from aggregator.topology.snapshot import Graph

KEPT_VERSIONS: Final = 256
KEPT_CHANGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Versioned:
    """One snapshot with its position."""

    version: int
    graph: Graph

    @property
    def topology(self) -> pb.Topology:
        """Everything that is in it, background edges and its position included."""
        return self.graph.message


@dataclass(frozen=True, slots=True)
class _Delta:
    version: int
    changes: Changes
    count: int
    only_numbers: bool


class Versions:
    """The newest snapshot, and the deltas that led to it. One writer, any number of readers, one thread."""

    def __init__(self, epoch: str, first: Graph) -> None:
        self.epoch = epoch
        self.newest = self._versioned(1, first)
        self._deltas: deque[_Delta] = deque()
        self._kept_changes = 0
        self.listeners: set[Callable[[], None]] = set()  # called after each new version

    def publish(self, graph: Graph, compared: Compared | None = None) -> list[pb.Change]:
        """Makes it the newest, under a new version if anything changed; returns what did. `compared`: graphs much like
        the newest and this one."""
        before = self.newest.graph
        changes = compare(before, graph, compared.hints(before, graph) if compared else None)
        ordered = changes.in_order()
        if not ordered:
            self.newest = self._versioned(self.newest.version, graph)  # its window has moved on
            return ordered
        self.newest = self._versioned(self.newest.version + 1, graph)
        self._remember(changes, ordered)
        for listener in tuple(self.listeners):
            listener()
        return ordered

    def since(self, epoch: str, version: int) -> list[pb.Change] | None:
        """What changed after a position, oldest first; None when that is no longer all known."""
        if epoch != self.epoch or version > self.newest.version or version + len(self._deltas) < self.newest.version:
            return None
        return [change for delta in self._deltas if delta.version > version for change in delta.changes.in_order()]

    def hints_since(self, version: int) -> Hints | None:
        """Of what changed from a version to the newest; None when that is no longer known."""
        if self.newest.version - version > len(self._deltas):
            return None
        return together([delta.changes for delta in self._deltas if delta.version > version])

    def only_numbers_since(self, version: int) -> bool:
        """Whether that is known of all that changed after a version."""
        missed = self.newest.version - version
        return missed <= len(self._deltas) and all(
            delta.only_numbers for delta in self._deltas if delta.version > version
        )

    def _versioned(self, version: int, graph: Graph) -> Versioned:
        return Versioned(version, graph.at(self.epoch, version))

    def _remember(self, changes: Changes, ordered: list[pb.Change]) -> None:
        only_numbers = all(change.kind == pb.CHANGE_KIND_UPDATED for change in ordered)
        self._deltas.append(_Delta(self.newest.version, changes, len(ordered), only_numbers))
        self._kept_changes += len(ordered)
        while len(self._deltas) > KEPT_VERSIONS or (self._kept_changes > KEPT_CHANGES and len(self._deltas) > 1):
            self._kept_changes -= self._deltas.popleft().count
