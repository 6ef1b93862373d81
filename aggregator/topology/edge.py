"""One edge's message from its rows. Pure: rows of both sides in, what both counted and what counts out.

Which side's numbers count is decided per row before (`counts`); the client's side alone knows failed connects,
round trips and questions that nobody answered.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.columns import HTTP_METHODS

from aggregator.records import CLIENT, SERVER
from aggregator.topology.columns import COUNTER, FlowRows, RequestRows
from aggregator.topology.latency import latency_ms

Bools = npt.NDArray[np.bool_]
MOST_ROUTES: Final = 100
RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_SERVFAIL: Final = 2
_FAILURES: Final = ("refused", "timeout", "reset", "unreachable", "other")


@dataclass(frozen=True, slots=True)
class Requests:
    """Rows of one edge and protocol: `role` is the end that counted, `counts` whether the edge's numbers are these."""

    rows: RequestRows
    role: npt.NDArray[np.int64]
    counts: Bools

    def of(self, chosen: Bools) -> "Requests":
        return Requests(self.rows.take(chosen), self.role[chosen], self.counts[chosen])

    def total(self, chosen: Bools) -> int:
        return int(self.rows.count[chosen].sum())


@dataclass(frozen=True, slots=True)
class Transport:
    """Rows of one edge's connections or datagrams."""

    rows: FlowRows
    role: npt.NDArray[np.int64]
    counts: Bools

    def of(self, chosen: Bools) -> "Transport":
        return Transport(self.rows.take(chosen), self.role[chosen], self.counts[chosen])

    def sum(self, counter: str, chosen: Bools) -> int:
        return int(self.rows.counts[chosen, COUNTER[counter]].sum())


def fill_transport(edge: pb.Edge, transport: Transport) -> None:
    client, server, counts = transport.role == CLIENT, transport.role == SERVER, transport.counts
    by_client = client if client.any() else counts
    for field in ("connections", "bytes_sent", "bytes_received", "retransmits"):
        setattr(edge, field, transport.sum(field, counts))
    if not client.any() or (server & counts).any():
        # The server's own words are turned round: an edge sends what its client sends.
        turned = server & counts
        received, sent = transport.sum("bytes_received", turned), transport.sum("bytes_sent", turned)
        edge.bytes_sent += received - sent
        edge.bytes_received += sent - received
    for reason in _FAILURES:
        setattr(edge.failed_connections, reason, transport.sum(reason, by_client))
    samples = transport.sum("rtt_count", by_client)
    if samples:
        edge.rtt_ms = transport.sum("rtt_sum_us", by_client) / samples / 1000
    carried = edge.bytes_sent + edge.bytes_received
    edge.coverage = min(transport.sum("parsed_bytes", counts) / carried, 1.0) if carried else 1.0
    for side, chosen, inverted in ((edge.client_side, client, False), (edge.server_side, server, True)):
        if chosen.any():
            for always in (side.statuses, side.unanswered):
                always.SetInParent()
            side.connections = transport.sum("connections", chosen)
            sent, received = transport.sum("bytes_sent", chosen), transport.sum("bytes_received", chosen)
            side.bytes_sent, side.bytes_received = (received, sent) if inverted else (sent, received)


def fill_requests(edge: pb.Edge, requests: Requests, names: Sequence[str]) -> None:
    """`names` by name id. Turns are no requests: `fill_turns` takes those."""
    client, server = requests.role == CLIENT, requests.role == SERVER
    for side, chosen in ((edge.client_side, client), (edge.server_side, server)):
        if chosen.any():
            _fill_side(side, requests.of(chosen), edge.protocol)
    counted = requests.of(requests.counts)
    outcome = counted.rows.key("outcome")
    answered = counted.of(outcome == flow.OUTCOME_ANSWERED)
    waited = requests.of(client) if edge.protocol == "dns" and client.any() else counted
    _fill_unanswered(edge.unanswered, waited)
    answers = answered.total(np.ones(len(answered.role), np.bool_))
    edge.requests = answers + edge.unanswered.client + edge.unanswered.server
    _fill_codes(edge, answered)
    rows = answered.rows
    latency = latency_ms(rows.key("latency_bucket"), rows.count, int(rows.sum_ns.sum()))
    if latency is not None:
        edge.latency_ms.CopyFrom(latency)
        edge.turn_ms.CopyFrom(latency)
    if edge.protocol == "http":
        edge.routes.extend(_routes(counted, names))


def fill_turns(edge: pb.Edge, requests: Requests) -> None:
    rows = requests.of(requests.counts).rows
    latency = latency_ms(rows.key("latency_bucket"), rows.count, int(rows.sum_ns.sum()))
    if latency is not None and not edge.HasField("turn_ms"):
        edge.turn_ms.CopyFrom(latency)


def _fill_side(side: pb.Side, requests: Requests, protocol: str) -> None:
    side.requests = requests.total(np.ones(len(requests.role), np.bool_))
    _fill_unanswered(side.unanswered, requests)
    if protocol == "http":
        _fill_statuses(side.statuses, requests.of(requests.rows.key("outcome") == flow.OUTCOME_ANSWERED).rows)


def _fill_unanswered(unanswered: pb.Unanswered, requests: Requests) -> None:
    outcome = requests.rows.key("outcome")
    unanswered.client = requests.total(outcome == flow.OUTCOME_UNANSWERED_CLIENT)
    unanswered.server = requests.total(outcome == flow.OUTCOME_UNANSWERED_SERVER)


def _fill_statuses(statuses: pb.Statuses, rows: RequestRows) -> None:
    classes = rows.key("code") // 100
    for name in (2, 3, 4, 5):
        setattr(statuses, f"s{name}xx", int(rows.count[classes == name].sum()))
    statuses.other = int(rows.count[(classes < 2) | (classes > 5)].sum())


def _fill_codes(edge: pb.Edge, answered: Requests) -> None:
    """The rule for errors: what the server did wrong; what the client did wrong is shown apart."""
    rows = answered.rows
    if edge.protocol == "http":
        _fill_statuses(edge.statuses, rows)
        edge.errors, edge.client_errors = edge.statuses.s5xx, edge.statuses.s4xx
        return
    codes = rows.key("code")
    for code in np.unique(codes).tolist():
        edge.codes[RCODES[code] if code < len(RCODES) else f"RCODE{code}"] = int(rows.count[codes == code].sum())
    failed = int(rows.count[codes == _SERVFAIL].sum())
    edge.errors = failed + edge.unanswered.client + edge.unanswered.server
    edge.client_errors = int(rows.count[codes > 0].sum()) - failed


def _routes(requests: Requests, names: Sequence[str]) -> list[pb.Route]:
    """By (method, route), the most used first; beyond the bound they become one that keeps the sums."""
    rows = requests.rows
    keys = list(zip(rows.key("operation").tolist(), rows.key("name").tolist(), strict=True))
    weights: Counter[tuple[int, int]] = Counter()
    for key, count in zip(keys, rows.count.tolist(), strict=True):
        weights[key] += count
    kept = [key for key, _ in weights.most_common(MOST_ROUTES)]
    place = {key: at for at, key in enumerate(kept)}
    at = np.array([place.get(key, len(kept)) for key in keys], np.int64)
    found = [_route(_method(op), names[name] or "(none)", requests, at == n) for n, (op, name) in enumerate(kept)]
    if len(weights) > len(kept):
        found.append(_route("", "(other)", requests, at == len(kept)))
    return found


def _route(method: str, text: str, requests: Requests, chosen: Bools) -> pb.Route:
    rows = requests.rows.take(chosen)
    answered = rows.take(rows.key("outcome") == flow.OUTCOME_ANSWERED)
    route = pb.Route(method=method, route=text, requests=int(rows.count.sum()))
    _fill_statuses(route.statuses, answered)
    route.errors = route.statuses.s5xx
    setattr(route, "class", "call")
    latency = latency_ms(answered.key("latency_bucket"), answered.count, int(answered.sum_ns.sum()))
    if latency is not None:
        route.latency_ms.CopyFrom(latency)
    return route


def _method(operation: int) -> str:
    return HTTP_METHODS[operation] if operation < len(HTTP_METHODS) else "(other)"
