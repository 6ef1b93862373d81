"""Snapshots in a row, each with a version, and the deltas between them for those who resume.

A watcher holds what it sent last and compares: so a slow one gets fewer and larger deltas, and holds up nobody.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.changes import changes_between

KEPT_VERSIONS: Final = 256
KEPT_CHANGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Versioned:
    """One snapshot; its topology has everything in it, background edges and its position included."""

    version: int
    topology: pb.Topology


class Versions:
    """The newest snapshot, and the deltas that led to it. One writer, any number of readers, one thread."""

    def __init__(self, epoch: str, first: pb.Topology) -> None:
        self.epoch = epoch
        self.newest = self._versioned(1, first)
        self._deltas: deque[tuple[int, list[pb.Change]]] = deque()
        self._kept_changes = 0
        self.listeners: set[Callable[[], None]] = set()  # called after each new version

    def publish(self, topology: pb.Topology) -> list[pb.Change]:
        """Makes it the newest, under a new version if anything changed; returns what did."""
        changes = changes_between(self.newest.topology, topology)
        if not changes:
            self.newest = self._versioned(self.newest.version, topology)  # its window has moved on
            return changes
        self.newest = self._versioned(self.newest.version + 1, topology)
        self._remember(changes)
        for listener in tuple(self.listeners):
            listener()
        return changes

    def since(self, epoch: str, version: int) -> list[pb.Change] | None:
        """What changed after a position, oldest first; None when that is no longer all known."""
        if epoch != self.epoch or version > self.newest.version or version + len(self._deltas) < self.newest.version:
            return None
        return [change for number, changes in self._deltas if number > version for change in changes]

    def _versioned(self, version: int, topology: pb.Topology) -> Versioned:
        topology.position.epoch, topology.position.version = self.epoch, version
        return Versioned(version, topology)

    def _remember(self, changes: list[pb.Change]) -> None:
        self._deltas.append((self.newest.version, changes))
        self._kept_changes += len(changes)
        while len(self._deltas) > KEPT_VERSIONS or (self._kept_changes > KEPT_CHANGES and len(self._deltas) > 1):
            self._kept_changes -= len(self._deltas.popleft()[1])
