"""Dense ids for what agents define: one value, one id, until what nothing refers to is given back (compacting.py)."""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow

from aggregator.ingest.sequences import Sequences
from aggregator.records import SECOND_NS, Endpoint, Flow, HostKey, Name

T = TypeVar("T", bound=tuple[object, ...])
Ids = npt.NDArray[np.int64]
# Longer than a batch is under way to an aggregator that answers: later ones were sent long ago, or a clock was set.
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

    def as_of_now(self) -> "Table[T]":
        """One that does not change with this one."""
        same: Table[T] = Table()
        same.values, same.improved, same._ids = self.values.copy(), self.improved, self._ids.copy()
        return same

    def known(self, value: T) -> int | None:
        return self._ids.get(value)

    def id_of(self, value: T) -> int:
        known = self._ids.get(value)
        if known is None:
            known = self._ids[value] = len(self.values)
            self.values.append(value)
        return known

    @classmethod
    def of(cls, values: Iterable[T], improved: int = 0) -> "Table[T]":
        """Each value once."""
        table: Table[T] = cls()
        table.values, table.improved = list(values), improved
        table._ids = {value: known for known, value in enumerate(table.values)}
        return table

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

    # Whether some were given back: their agent may use them still. Of the class: one that was kept may be of before.
    has_given_back = False

    def __init__(self, most: int = _MOST_IDS) -> None:
        self._theirs, self._ours = np.empty(0, np.int64), np.empty(0, np.int64)  # by their ids, ascending
        self._new: dict[int, int] = {}
        self._most = most

    def __len__(self) -> int:
        return len(self._theirs) + len(self._new)

    def define(self, theirs: int, ours: int) -> bool:
        """False when there is no room for one more."""
        at = self._position(theirs)
        if at >= 0:
            self._ours[at] = ours
        elif theirs in self._new or len(self) < self._most:
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

    def lacks(self, theirs: Iterable[int], told: Collection[int]) -> bool:
        """Whether one of these may have been given back; `told` are defined anew."""
        if not self.has_given_back:
            return False
        asked = np.array(sorted({0, *theirs}), np.int64)[1:]
        return not set(asked[self.of(asked) < 0].tolist()) <= set(told)

    def renumber(self, ids: Ids, others: npt.NDArray[np.bool_], fixed: int = 0) -> None:
        """By ours of before: `ids`, ours of now, -1 for what is given back; and `others`, which stand for what found
        no room: it may find some now. Those of theirs below `fixed` stay."""
        self._settle()
        before = self._ours >= 0
        ours = np.full(len(before), -1, np.int64)
        ours[before] = ids[self._ours[before]]
        # An agent that defines the same under another number has forgotten the former one.
        newest = np.zeros(len(ours), np.bool_)
        newest[len(ours) - 1 - np.unique(ours[::-1], return_index=True)[1]] = True
        newest[before] &= ~others[self._ours[before]]
        stay = (ours >= 0) & (newest | (self._theirs < fixed))
        self.has_given_back |= bool((before & ~stay).any())
        self._theirs, self._ours = self._theirs[stay], ours[stay]

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
    greeted: bool = True  # no batch came since its last hello
    definitions_lost: bool = False  # its agent must say again what its batches refer to
    _sent_ns: int = 0
    _late: tuple[int, int] | None = None  # when the first of some that look late was sent, and came
    sequences: Sequences = field(default_factory=Sequences)  # those that were applied
    endpoints: Translation = field(default_factory=Translation)
    flows: Translation = field(default_factory=Translation)
    names: Translation = field(default_factory=Translation)
    continues: bool = False  # goes on from the epoch that was present before it, without a gap

    @property
    def has_given_back(self) -> bool:
        return any(one.has_given_back for one in (self.endpoints, self.flows, self.names))

    def told_again(self) -> None:
        """Its agent has said again whatever it refers to."""
        self.endpoints.has_given_back = self.flows.has_given_back = self.names.has_given_back = False

    def heard(self, sent_ns: int, received_ns: int) -> None:
        """Way and waiting only ever make the offset look larger: the smallest is the best, until a clock is set.

        What waited in a queue comes all at once; after a clock was set, both go on at one pace.
        """
        offset = received_ns - sent_ns
        was_set = sent_ns < self._sent_ns or offset < self.clock_offset_ns
        if offset > self.clock_offset_ns + _CLOCK_WAS_SET_NS and not was_set:
            first_sent_ns, first_received_ns = self._late = self._late or (sent_ns, received_ns)
            passed_ns = sent_ns - first_sent_ns
            was_set = passed_ns >= SECOND_NS and abs(received_ns - first_received_ns - passed_ns) < passed_ns // 4
        else:
            self._late = None
        self._sent_ns = sent_ns
        if was_set:
            self.clock_offset_ns, self._late = offset, None

    def gap_before(self, sequence: int) -> tuple[bool, int]:
        """(whether something before this batch was lost, how many batches of it nobody else tells).

        Who connects may go on with a later number: its agent was told what we know, and says what it lost by that.
        """
        highest, greeted, self.greeted = self.sequences.highest, self.greeted, False
        if sequence <= highest + 1:
            return False, 0
        if greeted:
            return bool(highest) and not self.definitions_lost, 0
        self.definitions_lost = True
        return True, sequence - highest - 1


@dataclass(slots=True)
class Tables:
    """Everything that was ever defined."""

    hosts: Table[HostKey] = field(default_factory=Table)
    endpoints: Table[Endpoint] = field(default_factory=Table)
    flows: Table[Flow] = field(default_factory=Table)
    names: Table[Name] = field(default_factory=Table)
    epochs: dict[int, Epoch] = field(default_factory=dict)  # by host id: the present one

    def holder_of(self, endpoint: int) -> Hashable:
        """Who has what an endpoint claims: a pod, whichever of its containers it is."""
        value = self.endpoints.values[endpoint]
        return (value.host, value.pod_uid) if value.kind == flow.ENDPOINT_KIND_POD else endpoint

    def definitions(self) -> int:
        """Of all present epochs. From any thread."""
        return sum(len(one.endpoints) + len(one.flows) + len(one.names) for one in list(self.epochs.values()))

    def as_of_now(self) -> "Tables":
        """What does not change with these; without epochs."""
        return Tables(
            self.hosts.as_of_now(), self.endpoints.as_of_now(), self.flows.as_of_now(), self.names.as_of_now()
        )
