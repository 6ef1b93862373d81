"""Edges' messages as fields, from the sums of all of them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import CLIENT, SERVER
from aggregator.topology.background import Background
from aggregator.topology.byhosts import left
from aggregator.topology.byrevision import by_revision, trim
from aggregator.topology.columns import Rows, is_alive
from aggregator.topology.flows import Flows, Texts
from aggregator.topology.handshakes import certificates_expire, handshakes
from aggregator.topology.lookups import failed_lookups
from aggregator.topology.placing import Edges
from aggregator.topology.protocols import word_of
from aggregator.topology.proxied import ways
from aggregator.topology.requests import Requests
from aggregator.topology.tallies import NEVER_NS, earliest, has, latest
from aggregator.topology.transport import Transport
from aggregator.topology.turns import connects, turns
from aggregator.topology.via import Asked

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Drawn:
    """One edge: what others ask for, and `fields`, the rest of its message as keywords. `ends`: of its two nodes, the
    first of each."""

    id: str
    ends: tuple[int, int]
    port: int
    source: str
    target: str
    first_ns: int
    last_ns: int
    fields: dict[str, Any]


def drawn(
    rows: Rows, edges: Edges, flows: Flows, texts: Texts, asked: Asked, background: Background
) -> Iterator[Drawn]:
    """Every edge, in no order."""
    columns = _columns(rows, edges, flows, texts, asked)
    names, values = tuple(columns), zip(*columns.values(), strict=True)
    first_ns, last_ns = _times(rows, edges)
    own = {flows.vertices[end] for end in edges.ends.tolist() if background.own(flows.ends[end])}
    ends = zip(edges.source.tolist(), edges.target.tolist(), edges.kind.tolist(), strict=True)
    for (source, target, kind), first, last, some in zip(ends, first_ns, last_ns, values, strict=True):
        fields = dict(zip(names, some, strict=True))
        caller, called = flows.ends[source].id, flows.ends[target].id
        is_own = source in own or target in own
        fields["class"] = pb.EDGE_CLASS_SELF if is_own else background.class_of(flows.ends[source], called, fields)
        fields["protocol"] = word = word_of(kind)
        edge_id = f"{caller}>{called}:{fields['port']}/{word}"
        if fields.pop("by_host"):
            if not left(fields):
                continue
            trim(fields)
        yield Drawn(edge_id, (source, target), fields["port"], caller, called, first, last, fields)


def _columns(rows: Rows, edges: Edges, flows: Flows, texts: Texts, asked: Asked) -> dict[str, Sequence[object]]:
    transport, requests = Transport(rows.flows, edges, flows, asked), Requests(rows.requests, edges, texts.names)
    columns: dict[str, Sequence[object]] = {**transport.columns(), **requests.columns()}
    columns["turn_ms"] = [
        own or other for own, other in zip(columns["latency_ms"], turns(rows.requests, edges), strict=True)
    ]
    columns["connect_ms"] = connects(rows.requests, edges)
    columns["handshakes"] = handshakes(rows.requests, edges)
    columns["certificate_expires"] = certificates_expire(rows.requests, edges)
    columns["failed_lookups"] = failed_lookups(rows.requests, edges, texts)
    columns["seen_from"] = _seen_from(edges)
    columns["client_side"] = _sides(CLIENT, transport.of_client, requests.of_client, transport, requests)
    columns["server_side"] = _sides(SERVER, transport.of_server, requests.of_server, transport, requests)
    columns["port"] = edges.port.tolist()
    columns["way"], columns["through"] = _ways(edges, flows)
    columns["by_host"] = edges.by_host.tolist()
    if flows.revisions is not None:
        columns["revisions"] = by_revision(rows.flows, requests.counted(), edges, flows, flows.revisions)
    return columns


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


def _ways(edges: Edges, flows: Flows) -> tuple[list[bool], list[list[str]]]:
    """Whether each leads to a proxy, and by way of which proxies it goes."""
    is_way, through = ways(edges.requests.edge, edges.target, edges.onward)
    return is_way.tolist(), [sorted(flows.ends[one].id for one in some) for some in through]


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
    """Of the way's connections and this protocol's requests; of any row where there is neither.

    What only ends a connection moves no time: a server says goodbye for minutes to one that is gone.
    """
    flows, requests = edges.flows, edges.requests
    own, alive = requests.edge >= 0, is_alive(rows.flows)
    first = np.minimum(
        earliest(rows.flows.from_ns[alive], flows.way[alive], edges.ways)[edges.way],
        earliest(rows.requests.from_ns[own], requests.edge[own], len(edges)),
    )
    last = np.maximum(
        latest(rows.flows.to_ns[alive], flows.way[alive], edges.ways)[edges.way],
        latest(rows.requests.to_ns[own], requests.edge[own], len(edges)),
    )
    unknown = first == NEVER_NS
    of_any = np.concatenate([flows.way, requests.way])
    from_ns, to_ns = (
        np.concatenate(both)
        for both in ((rows.flows.from_ns, rows.requests.from_ns), (rows.flows.to_ns, rows.requests.to_ns))
    )
    first[unknown] = earliest(from_ns, of_any, edges.ways)[edges.way[unknown]]
    last[unknown] = latest(to_ns, of_any, edges.ways)[edges.way[unknown]]
    return first.tolist(), last.tolist()
