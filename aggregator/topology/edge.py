"""Edges' messages as fields, from the sums of all of them. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import CLIENT, SERVER, End
from aggregator.topology.columns import Rows
from aggregator.topology.flows import Flows, Texts
from aggregator.topology.placing import Edges
from aggregator.topology.protocols import word_of
from aggregator.topology.requests import Requests, turns
from aggregator.topology.tallies import NEVER_NS, earliest, has, latest
from aggregator.topology.transport import Transport

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Drawn:
    """One edge: what others ask for, and `fields`, the rest of its message as keywords."""

    id: str
    source: str
    target: str
    first_ns: int
    last_ns: int
    fields: dict[str, Any]


def drawn(rows: Rows, edges: Edges, flows: Flows, texts: Texts, is_self: Callable[[End], bool]) -> Iterator[Drawn]:
    """Every edge, in no order."""
    transport, requests = Transport(rows.flows, edges, flows), Requests(rows.requests, edges, texts.names)
    columns: dict[str, Sequence[object]] = {**transport.columns(), **requests.columns()}
    columns["turn_ms"] = [
        own or other for own, other in zip(columns["latency_ms"], turns(rows.requests, edges), strict=True)
    ]
    columns["seen_from"] = _seen_from(edges)
    columns["client_side"] = _sides(CLIENT, transport.of_client, requests.of_client, transport, requests)
    columns["server_side"] = _sides(SERVER, transport.of_server, requests.of_server, transport, requests)
    columns["port"] = edges.port.tolist()
    names, values = tuple(columns), zip(*columns.values(), strict=True)
    first_ns, last_ns = _times(rows, edges)
    own = {end: is_self(flows.ends[end]) for end in np.unique([edges.source, edges.target]).tolist()}
    ends = zip(edges.source.tolist(), edges.target.tolist(), edges.kind.tolist(), strict=True)
    for (source, target, kind), first, last, some in zip(ends, first_ns, last_ns, values, strict=True):
        fields = dict(zip(names, some, strict=True))
        fields["class"] = pb.EDGE_CLASS_SELF if own[source] or own[target] else pb.EDGE_CLASS_TRAFFIC
        fields["protocol"] = word = word_of(kind)
        caller, called = flows.ends[source].id, flows.ends[target].id
        yield Drawn(f"{caller}>{called}:{fields['port']}/{word}", caller, called, first, last, fields)


def _sides(
    role: int, has_flows: Bools, has_requests: Bools, transport: Transport, requests: Requests
) -> list[dict[str, object] | None]:
    """What one end counted by itself; None where it was not seen."""
    columns = {**transport.side(role), **requests.side(role)}
    has_statuses = has_flows | requests.has_statuses
    columns["statuses"] = [
        statuses if some else None for statuses, some in zip(columns["statuses"], has_statuses.tolist(), strict=True)
    ]
    names = tuple(columns)
    return [
        dict(zip(names, some, strict=True)) if is_seen else None
        for is_seen, *some in zip((has_flows | has_requests).tolist(), *columns.values(), strict=True)
    ]


def _seen_from(edges: Edges) -> list[int]:
    """By which ends: those of the way's connections, and of this protocol's requests."""
    by = []
    for role in (CLIENT, SERVER):
        asked = edges.requests.edge[(edges.requests.role == role) & (edges.requests.edge >= 0)]
        by.append(has(edges.flows.way[edges.flows.role == role], edges.ways)[edges.way] | has(asked, len(edges)))
    alone = np.where(by[0], pb.SEEN_FROM_CLIENT, pb.SEEN_FROM_SERVER)
    seen: list[int] = np.where(by[0] & by[1], pb.SEEN_FROM_BOTH, alone).tolist()
    return seen


def _times(rows: Rows, edges: Edges) -> tuple[list[int], list[int]]:
    """Of the way's connections and this protocol's requests; of any request where there is neither."""
    flows, requests = edges.flows, edges.requests
    own = requests.edge >= 0
    first = np.minimum(
        earliest(rows.flows.from_ns, flows.way, edges.ways)[edges.way],
        earliest(rows.requests.from_ns[own], requests.edge[own], len(edges)),
    )
    last = np.maximum(
        latest(rows.flows.to_ns, flows.way, edges.ways)[edges.way],
        latest(rows.requests.to_ns[own], requests.edge[own], len(edges)),
    )
    unknown = first == NEVER_NS
    first[unknown] = earliest(rows.requests.from_ns, requests.way, edges.ways)[edges.way[unknown]]
    last[unknown] = latest(rows.requests.to_ns, requests.way, edges.ways)[edges.way[unknown]]
    return first.tolist(), last.tolist()
