"""Dense ids for what agents define: one value, one id, for the aggregator's life."""

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from aggregator.ingest.sequences import Sequences
from aggregator.records import SECOND_NS, Endpoint, Flow, HostKey, Name

T = TypeVar("T", bound=tuple[object, ...])
Ids = npt.NDArray[np.int64]
# Longer than a batch is under way to an aggregator that answers.
_CLOCK_WAS_SET_NS: Final = 5 * SECOND_NS
# Of one kind and one epoch.
_MOST_IDS: Final = 1 << 23


class Table(Generic[T]):
    """Values in the order in which they came; the position is the id."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self.improved = 0  # how often a value became a better one
        self._ids: dict[T, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def known(self, value: T) -> int | None:
        return self._ids.get(value)

    def id_of(self, value: T) -> int:
        known = self._ids.get(value)
        if known is None:
            known = self._ids[value] = len(self.values)
            self.values.append(value)
        return known

    def improve(self, known: int, value: T) -> int:
        """The same thing, better known: it keeps its id, unless the better value has one already."""
        if value in self._ids:
            return self._ids[value]
        self.improved += 1
        del self._ids[self.values[known]]
        self.values[known], self._ids[value] = value, known
        return known


class Translation:
    """An agent's ids of one kind to ours, for one epoch. An id that was never defined is -1.

    Takes room by how many are defined, not by how large they are: an agent counts up for as long as it runs.
    """

    def __init__(self, most: int = _MOST_IDS) -> None:
        self._theirs, self._ours = np.empty(0, np.int64), np.empty(0, np.int64)  # by their ids, ascending
        self._new: dict[int, int] = {}
        self._most = most

    def define(self, theirs: int, ours: int) -> bool:
        """False when there is no room for one more."""
        at = self._position(theirs)
        if at >= 0:
            self._ours[at] = ours
        elif theirs in self._new or len(self._theirs) + len(self._new) < self._most:
            self._new[theirs] = ours
        else:
            return False
        return True

    def of(self, theirs: npt.NDArray[np.generic]) -> Ids:
        self._settle()
        wanted = theirs.astype(np.int64)
        if not len(self._theirs):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(self._theirs, wanted), len(self._theirs) - 1)
        return np.where(self._theirs[at] == wanted, self._ours[at], -1)

    def one(self, theirs: int) -> int:
        if theirs in self._new:
            return self._new[theirs]
        at = self._position(theirs)
        return int(self._ours[at]) if at >= 0 else -1

    def _position(self, theirs: int) -> int:
        at = int(np.searchsorted(self._theirs, theirs))
        return at if at < len(self._theirs) and self._theirs[at] == theirs else -1

    def _settle(self) -> None:
        if not self._new:
            return
        theirs, ours = np.array(sorted(self._new.items()), np.int64).T
        self._new.clear()
        at = np.searchsorted(self._theirs, theirs)
        self._ours, self._theirs = np.insert(self._ours, at, ours), np.insert(self._theirs, at, theirs)


@dataclass(slots=True)
class Epoch:
    """One start of an agent, as far as it has told."""

    number: int
    boot_id: str
    interval_ns: int
    clock_offset_ns: int  # add to the agent's times
    sequences: Sequences = field(default_factory=Sequences)  # those that were applied
    endpoints: Translation = field(default_factory=Translation)
    flows: Translation = field(default_factory=Translation)
    names: Translation = field(default_factory=Translation)

    def heard(self, sent_ns: int, received_ns: int) -> None:
        """Way and waiting only ever make the offset look larger: the smallest is the best, until a clock is set."""
        offset = received_ns - sent_ns
        if offset < self.clock_offset_ns or offset > self.clock_offset_ns + _CLOCK_WAS_SET_NS:
            self.clock_offset_ns = offset


@dataclass(slots=True)
class Tables:
    """Everything that was ever defined."""

    hosts: Table[HostKey] = field(default_factory=Table)
    endpoints: Table[Endpoint] = field(default_factory=Table)
    flows: Table[Flow] = field(default_factory=Table)
    names: Table[Name] = field(default_factory=Table)
    epochs: dict[int, Epoch] = field(default_factory=dict)  # by host id: the present one
