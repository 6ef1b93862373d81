"""What edges' connections and datagrams say, for all at once: columns of rows in, fields of messages out. Pure."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.records import CLIENT, SERVER
from aggregator.topology.columns import COUNTER, FlowRows
from aggregator.topology.flows import Flows
from aggregator.topology.placing import Edges
from aggregator.topology.protocols import SEALED
from aggregator.topology.tallies import has, numbered, total, union
from aggregator.topology.via import Asked, vias

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# One list of values, by edge, for each field.
Columns: TypeAlias = dict[str, list[object]]

_NOTHING: Final[dict[str, int]] = {}
_FAILURES: Final = ("refused", "timeout", "reset", "unreachable", "other")
_TURNED: Final = {"bytes_sent": "bytes_received", "bytes_received": "bytes_sent"}


class Transport:
    """Sums over the flow rows of every edge. An edge sends what its client sends: the server's words are turned."""

    def __init__(self, rows: FlowRows, edges: Edges, flows: Flows, asked: Asked) -> None:
        self._rows = rows
        self._asked = asked
        self._flows = flows
        self._edges = edges
        self._at = edges.flows.edge
        self._size = len(edges)
        self._counts = edges.flows.counts
        self._client, self._server = edges.flows.role == CLIENT, edges.flows.role == SERVER
        self.of_client, self.of_server = (has(self._at[side], self._size) for side in (self._client, self._server))
        # Failed connects and round trips: the client alone knows them.
        self._told = np.where(self.of_client[self._at], self._client, self._counts)

    def columns(self) -> Columns:
        sent, received = self._turned("bytes_sent"), self._turned("bytes_received")
        carried, parsed = sent + received, self._sum("parsed_bytes", self._counts)
        samples, trips = self._sum("rtt_count", self._told), self._sum("rtt_sum_us", self._told)
        failures = {reason: self._sum(reason, self._told) for reason in _FAILURES}
        opened: list[int] = self._sum("connections", self._counts).tolist()
        found: dict[str, list[object]] = {
            "bytes_sent": sent.tolist(),
            "bytes_received": received.tolist(),
            "connections": [*opened],
            "retransmits": self._sum("retransmits", self._counts).tolist(),
            "failed_connections": sparse(failures),
            "coverage": np.where(carried > 0, np.minimum(parsed / np.maximum(carried, 1), 1.0), 1.0).tolist(),
            "rtt_ms": [
                trip / count / 1000 if count else None
                for trip, count in zip(trips.tolist(), samples.tolist(), strict=True)
            ],
            "active_connections": self._active().tolist(),
            "encrypted": (self._protocols() & SEALED).astype(np.bool_).tolist(),
            "via": vias(self._rows, self._edges, self._flows, self._asked, opened),
        }
        return found

    def side(self, role: int) -> Columns:
        """What one end counted by itself, in the client's direction."""
        chosen, turn = (self._client, False) if role == CLIENT else (self._server, True)
        return {
            "connections": self._sum("connections", chosen).tolist(),
            "bytes_sent": self._sum("bytes_received" if turn else "bytes_sent", chosen).tolist(),
            "bytes_received": self._sum("bytes_sent" if turn else "bytes_received", chosen).tolist(),
        }

    def _sum(self, counter: str, chosen: Bools) -> Ints:
        return total(self._rows.counts[chosen, COUNTER[counter]], self._at[chosen], self._size)

    def _turned(self, counter: str) -> Ints:
        straight, turned = self._counts & ~self._server, self._counts & self._server
        return self._sum(counter, straight) + self._sum(_TURNED[counter], turned)

    def _protocols(self) -> Ints:
        """Protocols that were seen on these flows, now or before."""
        return union(self._rows.protocols | self._flows.protocols[self._rows.flow], self._at, self._size)

    def _active(self) -> Ints:
        """Each flow's open connections once, as the client's end has them where there is one."""
        own = self._client == self.of_client[self._at]
        own &= self._client | self._server
        at, ids = self._at[own], self._rows.flow[own]
        flows = len(self._flows.active)
        pairs = numbered(at * flows + ids)[1]
        at, ids = pairs // flows, pairs % flows
        return np.maximum(total(self._flows.active[ids], at, self._size), 0)


def sparse(columns: dict[str, Ints]) -> list[object]:
    """Fields by row, of what is seldom: where all are 0 none is written, which makes the same message."""
    found: list[object] = [_NOTHING] * len(next(iter(columns.values())))
    used = np.flatnonzero(np.any([column != 0 for column in columns.values()], axis=0))
    values = zip(*(column[used].tolist() for column in columns.values()), strict=True)
    for at, some in zip(used.tolist(), values, strict=True):
        found[at] = dict(zip(columns, some, strict=True))
    return found
