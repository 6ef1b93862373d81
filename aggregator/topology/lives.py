"""Per flow id what its rows said over its whole life: when it was seen, what is open, which protocols. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.topology.columns import COUNTER, FlowRows
from aggregator.topology.tallies import MOST

Ints = npt.NDArray[np.int64]
_NEVER: Final = 2**62


class Lives:
    """Columns that grow with the table of flows; ids that were never noted are 0, `first_ns` is then 2**62.

    `awake` are those that rows may still be kept of; `woken` grows when one begins to be, `slept` when one ends.
    """

    slept = 0  # of the class too: one that was kept may be of before

    def __init__(self) -> None:
        self.first_ns = np.full(64, _NEVER, np.int64)
        self.last_ns, self.active, self.protocols = (np.zeros(64, np.int64) for _ in range(3))
        self.awake = np.zeros(64, np.bool_)
        self.woken = 0

    def note(self, rows: FlowRows) -> None:
        """New rows, each once."""
        self.note_times(rows.flow, rows.from_ns, rows.to_ns)
        opened = rows.counts[:, COUNTER["connections"]] + rows.counts[:, COUNTER["adopted"]]
        np.add.at(self.active, rows.flow, opened - rows.counts[:, COUNTER["closed"]])
        self.active[rows.flow] = np.clip(self.active[rows.flow], -MOST, MOST)
        np.bitwise_or.at(self.protocols, rows.flow, rows.protocols)

    def note_times(self, flows: Ints, from_ns: Ints, to_ns: Ints) -> None:
        if len(flows):
            self.grow(int(flows.max()) + 1)
            np.minimum.at(self.first_ns, flows, from_ns)
            np.maximum.at(self.last_ns, flows, to_ns)
            self.woken += not self.awake[flows].all()
            self.awake[flows] = True

    def sleep(self, before_ns: int) -> None:
        """No row that ended before then is kept any more."""
        asleep = self.awake & (self.last_ns < before_ns)
        if asleep.any():
            self.slept += 1
            self.awake &= ~asleep

    def renumbered(self, kept: Ints) -> "Lives":
        """Of these flows alone, in this order."""
        same = Lives()
        same.woken, same.slept = self.woken, self.slept
        for name in ("first_ns", "last_ns", "active", "protocols", "awake"):
            setattr(same, name, getattr(self, name)[kept])
        same.grow(64)
        return same

    def grow(self, size: int) -> None:
        """At least so many flows have their place."""
        if size > len(self.active):
            more = 2 * size - len(self.active)
            self.awake = np.concatenate([self.awake, np.zeros(more, np.bool_)])
            self.first_ns = np.concatenate([self.first_ns, np.full(more, _NEVER, np.int64)])
            self.last_ns, self.active, self.protocols = (
                np.concatenate([column, np.zeros(more, np.int64)])
                for column in (self.last_ns, self.active, self.protocols)
            )
