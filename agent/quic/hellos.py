"""All connections whose hello is being read, and the names that were read. Pure: times are handed in.

The kernel counts a new connection under a flow of its own until it is told the name. What was counted there belongs to
the name's flow: it waits here while pieces of the hello are missing.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from plumbline.v1.columns import Columns

from agent.records import KernelFlow, QuicSeen
from agent.text import carried

if TYPE_CHECKING:
    from agent.quic.connections import Reading

_SECOND_NS = 1_000_000_000
# The pieces of a hello leave together. The kernel gives up after twice that, and counts no longer under the
# connection's own flow: then it can go.
PATIENCE_NS = _SECOND_NS
OVER_NS = 5 * _SECOND_NS
MOST_CONNECTIONS = 4_096
MOST_NAMES = 4_096
# As long as other names: one that was not met in this time gives its place to another.
_IDLE_NS = 600 * _SECOND_NS
BEYOND_BUDGET = "names_beyond_budget"
NO_NAME = 0


class Waiting(NamedTuple):
    """A flow that its kernel announced."""

    flow: KernelFlow
    time_ns: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What a connection is called from now on, and its flows that waited for that."""

    connection: int
    name: int  # NO_NAME: nothing
    flows: Sequence[Waiting]


@dataclass(slots=True)
class _Connection:
    began_ns: int
    cgroup_id: int
    reading: "Reading | None"  # None: settled
    name: int = NO_NAME
    waiting: list[Waiting] = field(default_factory=list)
    flows: set[int] = field(default_factory=set)


class Hellos:
    """`names_each_endpoint`: that a cgroup may have at a time."""

    def __init__(self, names_each_endpoint: int = 512) -> None:
        self._most_names = names_each_endpoint
        self._connections: dict[int, _Connection] = {}
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._met: dict[int, dict[int, int]] = {}  # by cgroup: when each name was met last
        self._kept: list[Columns] = []
        self.lost: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def heard(self, seen: QuicSeen) -> list[Settled]:
        """Of the connection that it is about, if that is known now; and of those that it leaves no room for."""
        from agent.quic.connections import Reading, Unread  # its cipher library is large

        found = self._with_room()
        connection = self._connections.get(seen.connection)
        if connection is None:
            connection = self._connections[seen.connection] = _Connection(seen.time_ns, seen.cgroup_id, Reading())
        if connection.reading is None:
            return found
        try:
            raw = connection.reading.read(seen.datagram)
        except Unread as reason:
            self.lost[str(reason)] += 1
            raw = b""
        return found if raw is None else [*found, self._settled(seen.connection, raw, seen.time_ns)]

    def overdue(self, now_ns: int, last: bool = False) -> list[Settled]:
        """Those whose hello will not be read. `last`: nothing is waited for any more."""
        from_ns = now_ns + 1 if last else now_ns - PATIENCE_NS
        return [self._given_up(one, now_ns) for one in self._unread() if self._connections[one].began_ns < from_ns]

    def meant(self, flow: KernelFlow, time_ns: int) -> KernelFlow | None:
        """The flow that it is part of; None: it waits for its name."""
        connection = self._connections.get(flow.server_name)
        if connection is None:
            return flow
        connection.flows.add(flow.id)
        if connection.reading is None:
            return replace(flow, server_name=connection.name)
        connection.waiting.append(Waiting(flow, time_ns))
        return None

    def text(self, name: int) -> str:
        """ "" for what is no name of ours, or was forgotten."""
        return self._texts.get(name, "")

    def without_waiting(self, flows: Columns) -> Columns:
        """What was counted now and before, but for flows that still wait for their names."""
        if not self._kept and not self._unread():
            return flows
        if self._kept:
            flows = {name: np.concatenate([*(one[name] for one in self._kept), flows[name]]) for name in flows}
        ids = [waiting.flow.id for one in self._unread() for waiting in self._connections[one].waiting]
        wait = np.isin(flows["flow"], np.array(ids, np.uint64))
        self._kept = [{name: column[wait] for name, column in flows.items()}] if wait.any() else []
        return {name: column[~wait] for name, column in flows.items()}

    def over(self, now_ns: int) -> list[int]:
        """Kernel ids of the connections' own flows under which nothing is counted any more; each once."""
        from_ns, known = now_ns - OVER_NS, self._connections.items()
        over = [key for key, one in known if one.reading is None and one.began_ns < from_ns]
        flows = [flow for key in over for flow in self._connections.pop(key).flows]
        for cgroup, names in list(self._met.items()):
            self._met[cgroup] = {name: met_ns for name, met_ns in names.items() if now_ns - met_ns < _IDLE_NS}
            if not self._met[cgroup]:
                del self._met[cgroup]
        return flows

    def take_told(self) -> tuple[Counter[str], Counter[str]]:
        """Lost and dropped since the last call."""
        told = self.lost, self.dropped
        self.lost, self.dropped = Counter(), Counter()
        return told

    def _unread(self) -> list[int]:
        return [key for key, one in self._connections.items() if one.reading is not None]

    def _with_room(self) -> list[Settled]:
        """For one more. The oldest leave: what the kernel still counts under their own flows has no name."""
        if len(self._connections) < MOST_CONNECTIONS:
            return []
        key = next(iter(self._connections))
        found = [self._given_up(key, 0)] if self._connections[key].reading is not None else []
        del self._connections[key]
        return found

    def _given_up(self, key: int, now_ns: int) -> Settled:
        from agent.quic.connections import UNFINISHED

        self.lost[UNFINISHED] += 1
        return self._settled(key, b"", now_ns)

    def _settled(self, key: int, raw: bytes, now_ns: int) -> Settled:
        connection = self._connections[key]
        text = carried(raw).lower()
        connection.reading = None
        connection.name = self._name_of(text, connection.cgroup_id, now_ns) if text else NO_NAME
        waiting, connection.waiting = connection.waiting, []
        return Settled(key, connection.name, waiting)

    def _name_of(self, text: str, cgroup_id: int, now_ns: int) -> int:
        name = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") | 2
        met = self._met.setdefault(cgroup_id, {})
        if name not in met and len(met) >= self._most_names:
            self.dropped[BEYOND_BUDGET] += 1
            return NO_NAME
        met[name] = now_ns
        self._texts[name] = text
        self._texts.move_to_end(name)
        if len(self._texts) > MOST_NAMES:
            self._texts.popitem(last=False)
        return name
