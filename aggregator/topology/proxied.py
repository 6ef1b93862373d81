"""Requests whose target names somebody else than the server that they are sent to: a proxy on the way. Pure.

They count at the proxy, as what was sent there, and again as requests to whom they are for.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1.columns import HTTP_METHODS

from aggregator.records import CLIENT
from aggregator.topology.columns import RequestRows, Rows, concatenate
from aggregator.topology.flows import Flows, Texts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_CONNECT: Final = HTTP_METHODS.index("CONNECT")
_FIRST_REFUSAL, _FIRST_SERVER_ERROR = 400, 500
# The proxy asks its client who it is: nothing is known of the one behind it.
_ASKS_FOR_CREDENTIALS: Final = 407


@dataclass(frozen=True, slots=True)
class Onward:
    """`at`: positions of the rows that were sent to a proxy; `target`: positions in `ends` of whom each is for."""

    at: Ints
    target: Ints

    def __len__(self) -> int:
        return len(self.at)

    def later(self, rows: int) -> "Onward":
        """The same where so many others stand before all."""
        return Onward(self.at + rows, self.target)


def onward(rows: RequestRows, flows: Flows, texts: Texts) -> Onward:
    """Of the client's end alone: what a server is asked for by strangers names nobody."""
    hosts = rows.key("host")
    named = np.flatnonzero(texts.is_target[hosts] & (flows.facts.role[rows.flow] == CLIENT))
    pairs = list(zip(rows.flow[named].tolist(), hosts[named].tolist(), strict=True))
    known = {(one, host): texts.behind_proxy(one, texts.names[host].text) for one, host in set(pairs)}
    third = np.array([-1 if (end := known[pair]) is None else end for pair in pairs], np.int64)
    return Onward(named[third >= 0], third[third >= 0])


def with_onward(rows: Rows, on: Onward) -> Rows:
    """Those that go on stand once more behind all."""
    if not len(on):
        return rows
    again = rows.requests.take(on.at)
    return Rows(rows.flows, concatenate([rows.requests, again], RequestRows.empty()))


def refused(rows: RequestRows, on: Onward) -> Bools:
    """Of `with_onward`: tunnels that the proxy would not make. At whom they were meant for that is an error."""
    code, is_behind = rows.key("code"), np.arange(len(rows)) >= len(rows) - len(on)
    tunnel = is_behind & (rows.key("operation") == _CONNECT) & (rows.key("outcome") == flow.OUTCOME_ANSWERED)
    found: Bools = tunnel & (code >= _FIRST_REFUSAL) & (code < _FIRST_SERVER_ERROR) & (code != _ASKS_FOR_CREDENTIALS)
    return found


def ways(edge: Ints, target: Ints, on: Onward) -> tuple[Bools, list[set[int]]]:
    """By edge: whether it is a way, and the ends by way of which it goes. `edge`: of each row of `with_onward`;
    `target`: the end that each edge calls."""
    is_way, through = np.zeros(len(target), np.bool_), [set[int]() for _ in range(len(target))]
    first, again = edge[on.at], edge[len(edge) - len(on) :]
    is_way[first] = True
    for way, one in set(zip(first.tolist(), again.tolist(), strict=True)):
        through[one].add(int(target[way]))
    return is_way, through
