"""What came to servers by way of hosts and is nobody's of ours. Pure.

A server sees the host's address of all that comes by it: of its kubelet, of pods of its network, of who asked one of
its ports. So its rows are the host's, and what those of ours say themselves is taken from them: copies of their rows
stand in the host's edge as its client's side, and only what is more than that is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import CLIENT, SERVER
from aggregator.topology.columns import (
    FAR_END_SILENT,
    FAR_END_TELLS,
    MOSTLY_SILENT,
    FlowRows,
    RequestRows,
    Rows,
    concatenate,
)
from aggregator.topology.flows import Flows

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_PORTS: Final = 1 << 16
_SILENT: Final = (FAR_END_SILENT, MOSTLY_SILENT)
# Both ends' rows are of other times by an interval: so little more is nothing, of what those of ours did.
_NOISE, _NOISE_SHARE = 2, 0.05
_SUMS: Final = ("requests", "connections", "bytes_sent", "bytes_received")
_NUMBERS: Final = ("requests", "connections")


@dataclass(frozen=True, slots=True)
class Sourced:
    """Rows with who called: `flow_sources` and `request_sources` are positions in `ends`. The first `flow_copies` and
    `request_copies` are those copies; `flow_own` and `request_own` the rows that were copied, whose clients know best.
    `hosts`: positions of hosts that something came by."""

    rows: Rows
    flow_sources: Ints
    request_sources: Ints
    flow_copies: int
    request_copies: int
    flow_own: Bools
    request_own: Bools
    hosts: frozenset[int]


def sourced(rows: Rows, flows: Flows, whole: bool) -> Sourced:
    """`whole`: these are all rows of the window; else what came by way of hosts is left out."""
    if not (flows.by_host >= 0).any():
        return _as_they_are(rows, flows)
    moved = [_is_by_host(part, flows) for part in (rows.flows, rows.requests)]
    if not any(part.any() for part in moved):
        return _as_they_are(rows, flows)
    if not whole:
        rows = Rows(rows.flows.take(~moved[0]), rows.requests.take(~moved[1]))
        return _as_they_are(rows, flows)
    parts = rows.flows, rows.requests
    ways = np.unique(np.concatenate([_ways(parts[at], flows, flows.by_host)[moved[at]] for at in (0, 1)]))
    seen = [_seen_at(part, flows, ways) for part in parts]
    own = [hosts >= 0 for hosts in seen]
    hosts = [seen[at][own[at]] for at in (0, 1)]
    sources = [_sources(parts[at], flows, moved[at]) for at in (0, 1)]
    copies = Rows(_told(rows.flows.take(own[0])), _told(rows.requests.take(own[1])))
    return Sourced(
        Rows(
            concatenate([copies.flows, rows.flows], FlowRows.empty()),
            concatenate([copies.requests, rows.requests], RequestRows.empty()),
        ),
        np.concatenate([hosts[0], sources[0]]),
        np.concatenate([hosts[1], sources[1]]),
        len(copies.flows),
        len(copies.requests),
        np.concatenate([np.zeros(len(copies.flows), np.bool_), own[0]]),
        np.concatenate([np.zeros(len(copies.requests), np.bool_), own[1]]),
        frozenset(np.concatenate([sources[at][moved[at]] for at in (0, 1)]).tolist()),
    )


def left(fields: dict[str, Any]) -> bool:
    """Takes from a host's edge what those of ours say; whether anything is left. `fields` are its message's."""
    ours: Mapping[str, Any] = fields["client_side"] or {}
    kept = {name: max(fields[name] - ours.get(name, 0), 0) for name in _SUMS}
    if ours and all(kept[name] <= _NOISE + _NOISE_SHARE * ours[name] for name in _NUMBERS):
        return False
    fields.update(kept)
    statuses, unanswered = (_minus(fields[name], ours.get(name)) for name in ("statuses", "unanswered"))
    fields["statuses"], fields["unanswered"] = statuses, unanswered
    has_statuses = any((fields["server_side"] or {}).get("statuses", {}).values())
    bound = (statuses["s5xx"], statuses["s4xx"]) if has_statuses else (kept["requests"], kept["requests"])
    fields["errors"] = min(fields["errors"], bound[0])
    fields["client_errors"] = min(fields["client_errors"], bound[1])
    fields["client_side"], fields["connect_ms"], fields["seen_from"] = None, None, pb.SEEN_FROM_SERVER
    fields["server_side"] = {**kept, "statuses": statuses, "unanswered": unanswered}
    fields["via"], fields["active_connections"], fields["failed_connections"] = [], 0, {}
    return True


def _as_they_are(rows: Rows, flows: Flows) -> Sourced:
    none = [np.zeros(len(part), np.bool_) for part in (rows.flows, rows.requests)]
    sources = [flows.source[part.flow] for part in (rows.flows, rows.requests)]
    return Sourced(rows, sources[0], sources[1], 0, 0, none[0], none[1], frozenset())


def _is_by_host(part: FlowRows | RequestRows, flows: Flows) -> Bools:
    """Of servers: where the only caller that is known is silent, it is that one's."""
    by_host, role = flows.by_host[part.flow], flows.facts.role[part.flow]
    told = ~np.isin(part.authority, _SILENT) | (flows.source[part.flow] == by_host)
    found: Bools = (by_host >= 0) & (role == SERVER) & told
    return found


def _seen_at(part: FlowRows | RequestRows, flows: Flows, ways: Ints) -> Ints:
    """Of clients that such a server saw as a host: which one; else -1."""
    is_client = (flows.facts.role[part.flow] == CLIENT) & (flows.by_host[part.flow] >= 0)
    asked, near = (is_client & np.isin(_ways(part, flows, hosts), ways) for hosts in (flows.by_host, flows.near))
    found: Ints = np.where(asked, flows.by_host[part.flow], np.where(near, flows.near[part.flow], -1))
    return found


def _ways(part: FlowRows | RequestRows, flows: Flows, hosts: Ints) -> Ints:
    """By way of which host, to whom, on which port."""
    vertices = np.array(flows.vertices, np.int64)
    host, target = vertices[hosts[part.flow]], vertices[flows.target[part.flow]]
    found: Ints = (host * len(vertices) + target) * _PORTS + flows.port[part.flow]
    return found


def _sources(part: FlowRows | RequestRows, flows: Flows, by_host: Bools) -> Ints:
    found: Ints = np.where(by_host, flows.by_host[part.flow], flows.source[part.flow])
    return found


def _minus(all_of_it: Mapping[str, int], ours: Mapping[str, int] | None) -> dict[str, int]:
    return {name: max(count - (ours or {}).get(name, 0), 0) for name, count in all_of_it.items()}


def _told(part: Any) -> Any:
    """A copy counts nowhere by itself."""
    return replace(part, authority=np.full(len(part), FAR_END_TELLS, np.int64))
