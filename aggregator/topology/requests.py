"""What edges' requests say, for all edges at once: columns of rows in, fields of messages out. Pure.

Which side's numbers count is decided per row before (`counts`); the client's side alone knows questions that
nobody answered.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1.columns import HTTP_METHODS

from aggregator.records import CLIENT, SERVER, Name
from aggregator.topology import latency
from aggregator.topology.columns import DETAIL_BITS, RequestRows
from aggregator.topology.placing import Edges
from aggregator.topology.protocols import BARE, SHAKING_HANDS, WAITED_FOR_BY_CLIENT, WITH_STATUSES, code_of, is_failure
from aggregator.topology.proxied import refused
from aggregator.topology.tallies import has, largest_first, numbered, total
from aggregator.topology.transport import sparse

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Columns: TypeAlias = dict[str, list[object]]

MOST_ROUTES: Final = 100
_CLASSES: Final = ("s2xx", "s3xx", "s4xx", "s5xx", "other")
_OTHER: Final = 4
_SERVER_ERRORS: Final = 5
# What Upgrade leads to is a stream in both directions.
_SWITCHED: Final = 101
_METHOD_BITS: Final = DETAIL_BITS["operation"][1]


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of requests, or of connections: of which flow and edge, told by which end, how many. `counts`: whether they
    are among the edge's own, `fails`: whether those are errors."""

    flow: Ints
    edge: Ints
    role: Ints
    count: Ints
    counts: Bools
    fails: Bools


class Requests:
    """Sums over the request rows of every edge. Turns are no requests: `turns` has those."""

    def __init__(self, rows: RequestRows, edges: Edges, names: Sequence[Name]) -> None:
        protocol = rows.key("protocol")
        own = (edges.requests.edge >= 0) & ~np.isin(protocol, [*(one.number for one in BARE), *SHAKING_HANDS])
        marks = rows.key("outcome") == flow.OUTCOME_STREAMED
        asked = own & ~marks
        self._streams = _ways(rows, edges.requests.edge, own & (marks | (rows.key("code") == _SWITCHED)))
        self._rows = rows.take(asked)
        self._no_tunnel = refused(rows, edges.onward)[asked]
        self._names = names
        self._edges = edges
        self._size = len(edges)
        self._at = edges.requests.edge[asked]
        self._counts = edges.requests.counts[asked]
        self._role = edges.requests.role[asked]
        self._client, self._server = self._role == CLIENT, self._role == SERVER
        outcome = self._rows.key("outcome")
        self._answered = outcome == flow.OUTCOME_ANSWERED
        self._unanswered = {
            "client": outcome == flow.OUTCOME_UNANSWERED_CLIENT,
            "server": outcome == flow.OUTCOME_UNANSWERED_SERVER,
        }
        # Of an agent of a later version: a request all the same.
        self._ended_otherwise = ~(self._answered | self._unanswered["client"] | self._unanswered["server"])
        self._code = self._rows.key("code")
        self.has_statuses = np.isin(edges.kind, WITH_STATUSES)
        self.of_client, self.of_server = (has(self._at[chosen], self._size) for chosen in (self._client, self._server))

    def counted(self) -> Counted:
        """All that are no turns; also those that count nowhere."""
        given_up = self._unanswered["client"] | self._unanswered["server"]
        with_statuses = self.has_statuses[self._at]
        is_error = np.where(
            with_statuses,
            (self._code // 100 == _SERVER_ERRORS) | self._no_tunnel,
            is_failure(self._edges.kind[self._at], self._code),
        )
        return Counted(
            self._rows.flow,
            self._at,
            self._role,
            self._rows.count,
            np.where(given_up, self._waited(), self._counts),
            (self._answered & is_error) | (given_up & ~with_statuses),
        )

    def _waited(self) -> Bools:
        """Of questions that nobody answered: which rows count."""
        by_client = (np.isin(self._edges.kind, WAITED_FOR_BY_CLIENT) & self.of_client)[self._at]
        found: Bools = np.where(by_client, self._client, self._counts)
        return found

    def columns(self) -> Columns:
        waited = self._waited()
        unanswered = {end: self._sum(waited & ended) for end, ended in self._unanswered.items()}
        answered = self._counts & self._answered
        given_up = unanswered["client"] + unanswered["server"]
        classes = self._classes(answered & self.has_statuses[self._at], self._at, self._size)
        failed = self._sum(answered & is_failure(self._edges.kind[self._at], self._code))
        rejected = self._sum(answered & (self._code > 0)) - failed
        no_tunnel = self._sum(answered & self._no_tunnel)
        return {
            "requests": (self._sum(answered | (self._counts & self._ended_otherwise)) + given_up).tolist(),
            "unanswered": sparse(unanswered),
            "statuses": _dicts(classes),
            "errors": np.where(self.has_statuses, classes["s5xx"] + no_tunnel, failed + given_up).tolist(),
            "client_errors": np.where(self.has_statuses, classes["s4xx"] - no_tunnel, rejected).tolist(),
            "codes": list(self._codes(answered & ~self.has_statuses[self._at])),
            "latency_ms": list(self._latencies(answered, self._at, self._size)),
            "routes": list(self._routes()),
        }

    def side(self, role: int) -> Columns:
        """What one end counted by itself."""
        chosen = self._client if role == CLIENT else self._server
        statuses = self._classes(chosen & self._answered & self.has_statuses[self._at], self._at, self._size)
        return {
            "requests": self._sum(chosen).tolist(),
            "unanswered": sparse({end: self._sum(chosen & ended) for end, ended in self._unanswered.items()}),
            "statuses": _dicts(statuses),
        }

    def _sum(self, chosen: Bools) -> Ints:
        return total(self._rows.count[chosen], self._at[chosen], self._size)

    def _latencies(self, chosen: Bools, at: Ints, size: int) -> list[latency.Fields | None]:
        rows = self._rows
        return latency.latencies_ms(
            at[chosen], rows.key("latency_bucket")[chosen], rows.count[chosen], rows.sum_ns[chosen], size
        )

    def _classes(self, chosen: Bools, at: Ints, size: int) -> dict[str, Ints]:
        """Of HTTP's statuses, by group."""
        hundreds = self._code[chosen] // 100
        column = np.where((hundreds >= 2) & (hundreds <= 5), hundreds - 2, _OTHER)
        sums = total(self._rows.count[chosen], at[chosen] * len(_CLASSES) + column, size * len(_CLASSES))
        return {name: sums[at :: len(_CLASSES)] for at, name in enumerate(_CLASSES)}

    def _codes(self, chosen: Bools) -> Sequence[dict[str, int] | None]:
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        rows = np.flatnonzero(chosen)
        if len(rows):
            width = int(self._code[rows].max()) + 1
            at, codes = numbered(self._at[rows] * width + self._code[rows])
            sums = total(self._rows.count[rows], at, len(codes)).tolist()
            for edge, code, count in zip((codes // width).tolist(), (codes % width).tolist(), sums, strict=True):
                found[edge][code_of(int(self._edges.kind[edge]), code)] = count
        return [found.get(edge) for edge in range(self._size)]

    def _routes(self) -> Sequence[list[dict[str, object]]]:
        """By (method, route), the most used first; beyond the bound they become one that keeps the sums."""
        found: list[list[dict[str, object]]] = [[] for _ in range(self._size)]
        chosen = self._counts & self.has_statuses[self._at]
        rows = np.flatnonzero(chosen)
        if not len(rows):
            return found
        # By two steps, so that each one's table stays small.
        what, whats = numbered(self._rows.key("name")[rows] << _METHOD_BITS | self._rows.key("operation")[rows])
        of_row, codes = numbered(self._at[rows] * len(whats) + what)
        edge, what = codes // len(whats), whats[codes % len(whats)]
        operation, name = what & (1 << _METHOD_BITS) - 1, what >> _METHOD_BITS
        weights = total(self._rows.count[rows], of_row, len(codes))
        order, rank = largest_first(edge, weights, operation, name)
        # Position of each (edge, route) in what is shown; all beyond the bound share one.
        is_shown = rank <= MOST_ROUTES
        place = np.empty(len(order), np.int64)
        place[order] = np.cumsum(is_shown) - 1
        at = np.zeros(len(self._at), np.int64)
        at[rows] = place[of_row]
        begins, is_rest = order[is_shown], (rank == MOST_ROUTES)[is_shown].tolist()
        named = zip(edge[begins].tolist(), operation[begins].tolist(), name[begins].tolist(), is_rest, strict=True)
        shown = self._route_fields(chosen, at, len(begins))
        for (one, method, text, rest), fields in zip(named, shown, strict=True):
            fields["method"] = "" if rest else _method(method)
            fields["route"] = "(other)" if rest else self._names[text].text or "(none)"
            fields["class"] = "stream" if (one, text, method) in self._streams and not rest else "call"
            found[one].append(fields)
        return found

    def _route_fields(self, chosen: Bools, at: Ints, size: int) -> list[dict[str, object]]:
        answered = chosen & self._answered
        classes = self._classes(answered, at, size)
        failed = classes["s5xx"] + total(
            self._rows.count[answered & self._no_tunnel], at[answered & self._no_tunnel], size
        )
        requests = total(self._rows.count[chosen], at[chosen], size).tolist()
        latencies = self._latencies(answered, at, size)
        return [
            {"requests": count, "errors": errors, "statuses": statuses, "latency_ms": times}
            for count, errors, statuses, times in zip(
                requests, failed.tolist(), _dicts(classes), latencies, strict=True
            )
        ]


def _ways(rows: RequestRows, edge: Ints, chosen: Bools) -> set[tuple[int, int, int]]:
    """(edge, name, operation) of each of these."""
    if not chosen.any():
        return set()
    columns = (edge, rows.key("name"), rows.key("operation"))
    return set(zip(*(column[chosen].tolist() for column in columns), strict=True))


def _dicts(columns: dict[str, Ints]) -> list[object]:
    names = tuple(columns)
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(names, some, strict=True)) for some in values]


def _method(operation: int) -> str:
    return HTTP_METHODS[operation] if operation < len(HTTP_METHODS) else "(other)"
