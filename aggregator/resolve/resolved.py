"""What is known of both ends of every flow, in columns that grow with the table of flows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.records import End, Way
from aggregator.topology.flows import Revisions

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

NOT_SHOWN: Final = -1


@dataclass(slots=True)
class Columns:
    """Per flow id; see Resolved. `far`: the endpoint at the far end where it is one of ours, or stands for its node,
    else -1. `until_ns`: for rows of then or later the answer may be another one. `shared`: with callers of now;
    `in_turn`: of other times."""

    source: Ints
    target: Ints
    far: Ints
    met: Ints
    far_host: Ints
    port: Ints
    via: Ints
    by_host: Ints
    near: Ints
    until_ns: Ints
    outside: Bools
    moved: Bools
    elsewhere: Bools
    shared: Bools
    in_turn: Bools

    @classmethod
    def of(cls, size: int) -> "Columns":
        source, target, far, met, far_host, port, via, by_host, near = (
            np.full(size, NOT_SHOWN, np.int64) for _ in range(9)
        )
        outside, moved, elsewhere, shared, in_turn = (np.zeros(size, np.bool_) for _ in range(5))
        until_ns = np.full(size, 2**62, np.int64)
        numbers = (source, target, far, met, far_host, port, via, by_host, near, until_ns)
        return cls(*numbers, outside, moved, elsewhere, shared, in_turn)

    def grown(self, size: int) -> "Columns":
        """A copy, so that who has this one may keep it."""
        more = Columns.of(size - len(self.source))
        pairs = ((getattr(self, field.name), getattr(more, field.name)) for field in fields(self))
        return Columns(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True)
class Resolved:
    """Per flow id: positions in `ends` (NOT_SHOWN where the other side's rows say it better), and what follows.

    `vertices`: for each end the first one with its node id, since containers of one pod, say, are one node.
    """

    ends: Sequence[End]
    vertices: Sequence[int]
    source: Ints
    target: Ints
    met: Ints  # an endpoint of the pod at the far end, or of one of its revision; -1 where nobody can tell which
    far_host: Ints  # host id where the far end is one of our endpoints, or that of a group of hosts; else -1
    port: Ints  # the server's, behind any translation
    via: Ints  # position in `ways` of what the client asked for where that was something else, else -1
    ways: Sequence[tuple[Way, ...]]
    by_host: Ints  # position in `ends` of the host that a server may see instead of this client, or that came; or -1
    near: Ints  # the same of a client's own host, which may be seen instead of that one
    asked_by: Mapping[tuple[int, int, int], frozenset[int]]  # see ServedFlows
    outside: Bools  # the target may still be named by its requests' Host
    moved: Bools  # the far address changed hands: rows must be settled by their own time
    elsewhere: Bools  # it is a Service's client, and which of several nodes answered it, their rows tell
    shared: Bools  # several clients on one address, at once or in turn: their server cannot tell which
    revisions: Revisions | None  # None where no pod has any
    provisional: bool = False  # something may resolve better a moment later
