"""Which edge each row counts in: an edge is two ends, a port of the server's, and a protocol. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import SERVER
from aggregator.topology.byhosts import Sourced
from aggregator.topology.columns import (
    COUNTER,
    FAR_END_SILENT,
    MOSTLY_SILENT,
    MOSTLY_TELLS,
    FlowRows,
    RequestRows,
    Rows,
)
from aggregator.topology.flows import Flows, Texts
from aggregator.topology.protocols import BARE, RECOGNISED
from aggregator.topology.proxied import Onward
from aggregator.topology.tallies import MOST, has, largest_first, numbered, total, union

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_EDGE: Final = -1
_KINDS: Final = 64
_PORTS: Final = 1 << 16
_CARRIED: Final = [COUNTER[name] for name in ("connections", "bytes_sent", "bytes_received")]
_BARE: Final = tuple(one.number for one in BARE)


@dataclass(frozen=True, slots=True)
class Placed:
    """Rows of one kind. `way`: which (source, target, port) each is of; `edge`: NO_EDGE for what is no edge's own.

    `role` is the end that counted, `counts` whether the edge's numbers are these.
    """

    way: Ints
    edge: Ints
    role: Ints
    counts: Bools


@dataclass(frozen=True, slots=True)
class Edges:
    """Per edge: positions of both ends, port, protocol, its way, whether connections are counted in it, and whether it
    has what came by way of a host.

    `ends`: positions of all ends that these rows are of; those of the edges are the first of each node.
    """

    ends: Ints
    source: Ints
    target: Ints
    port: Ints
    kind: Ints
    way: Ints
    ways: int
    carries: Bools
    flows: Placed
    requests: Placed
    onward: Onward
    by_host: Bools

    def __len__(self) -> int:
        return len(self.kind)


def shown(rows: Rows, flows: Flows) -> Rows:
    """Without what the other side's rows say better."""
    transport, requests = rows.flows, rows.requests
    return Rows(transport.take(flows.target[transport.flow] >= 0), requests.take(flows.target[requests.flow] >= 0))


def placed(by: Sourced, flows: Flows, texts: Texts, on: Onward) -> Edges:
    """Its rows as `shown` and `with_onward` give them, not empty."""
    rows, split = by.rows, len(by.rows.flows)
    one = np.concatenate([rows.flows.flow, rows.requests.flow])
    sources = np.concatenate([by.flow_sources, by.request_sources])
    ends, way, ways, (source, target, port) = _ways(one, flows, sources, _targets(rows, flows, texts, on))
    carrier = way * 2 + (flows.facts.transport[one] != flow.TRANSPORT_TCP)
    protocol = rows.requests.key("protocol")
    main = _main_protocols(rows, protocol, carrier, 2 * ways, flows)
    carried = np.arange(2 * ways) // 2 * _KINDS + main
    spoken = way[split:] * _KINDS + protocol
    used = np.concatenate([carried[has(carrier, 2 * ways)], spoken[~np.isin(protocol, _BARE)]])
    edges = numbered(used)[1]
    of_way = edges // _KINDS
    of_carrier = _positions(edges, carried)
    return Edges(
        ends=ends,
        source=source[of_way],
        target=target[of_way],
        port=port[of_way],
        kind=edges % _KINDS,
        way=of_way,
        ways=ways,
        carries=has(of_carrier[has(carrier, 2 * ways)], len(edges)),
        flows=_placed(rows.flows, way[:split], ways, of_carrier[carrier[:split]], flows, by.flow_own, by.flow_copies),
        requests=_placed(
            rows.requests,
            way[split:],
            ways,
            _edges_of_requests(edges, spoken, ways),
            flows,
            by.request_own,
            by.request_copies,
        ),
        onward=on,
        by_host=np.isin(source[of_way], list(by.hosts)),
    )


def _ways(one: Ints, flows: Flows, source: Ints, target: Ints) -> tuple[Ints, Ints, int, tuple[Ints, Ints, Ints]]:
    """(ends, way of each row, how many, (source, target, port) of each). By flow, but for rows named apart."""
    vertices = np.array(flows.vertices, np.int64)  # after its names are known: one that is new makes an end

    def code(ids: Ints, sources: Ints, targets: Ints) -> Ints:
        return (vertices[sources] * len(vertices) + vertices[targets]) * _PORTS + flows.port[ids]

    own = code(np.arange(len(flows.target)), flows.source, flows.target)
    apart = np.flatnonzero((target != flows.target[one]) | (source != flows.source[one]))
    others = code(one[apart], source[apart], target[apart])
    ways = np.unique(np.concatenate([own[has(one, len(own))], others]))
    way = _positions(ways, own)[one]
    way[apart] = np.searchsorted(ways, others)
    pair = ways // _PORTS
    ends = np.flatnonzero(has(np.concatenate([source, target]), len(vertices)))
    return ends, way, len(ways), (pair // len(vertices), pair % len(vertices), ways % _PORTS)


def _positions(ascending: Ints, wanted: Ints) -> Ints:
    """Where each one is; anywhere, for one that is not there."""
    return np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)


def _edges_of_requests(edges: Ints, spoken: Ints, ways: int) -> Ints:
    """Most ways have one edge; only what is not of the first one is looked for."""
    found = _positions(edges, np.arange(ways) * _KINDS)[spoken // _KINDS]
    others = np.flatnonzero(edges[found] != spoken)
    found[others] = _positions(edges, spoken[others])
    found[edges[found] != spoken] = NO_EDGE
    return found


def _placed(
    rows: FlowRows | RequestRows, way: Ints, ways: int, edge: Ints, flows: Flows, own: Bools, copies: int
) -> Placed:
    """What counts: the server's rows, or the client's where that one's agent was there for longer; where each was there
    when the other was not, the server's, and the client's of times when the server's was not.

    The last is near the truth only: where an agent begins, a row of the other end has the time before and after.
    """
    role = flows.facts.role[rows.flow]
    server = role == SERVER
    (whole_of_server, part_of_server), (whole_of_client, part_of_client) = (
        _alone(rows, side, way, ways) for side in (server, ~server)
    )
    is_longer = np.where(whole_of_client | whole_of_server, ~whole_of_server, part_of_client > part_of_server)
    filled = whole_of_client & whole_of_server
    alone = np.isin(rows.authority, (FAR_END_SILENT, MOSTLY_SILENT)) & filled[way]
    by_client = ~has(way[server], ways) | is_longer
    counts = np.where(by_client[way], ~server, server | alone) | ((flows.shared[rows.flow] | own) & ~server)
    counts[:copies] = False
    return Placed(way, edge, role, counts)


def _alone(rows: FlowRows | RequestRows, side: Bools, way: Ints, ways: int) -> tuple[Bools, Ints]:
    """For each way, whether the agent of this side's rows was there for a whole row when the other end's was not; and
    about how much of what it counted, in quarters, it was alone with in rows that the other end saw a part of."""
    whole = has(way[side & (rows.authority == FAR_END_SILENT)], ways)
    partly = np.flatnonzero(side & np.isin(rows.authority, (MOSTLY_TELLS, MOSTLY_SILENT)))
    some = rows.take(partly)
    counted = some.count if isinstance(some, RequestRows) else some.counts[:, _CARRIED].sum(axis=1)
    quarters = np.where(some.authority == MOSTLY_SILENT, 3, 1) * np.clip(counted, 1, MOST // 4)
    return whole, total(quarters, way[partly], ways)


def _main_protocols(rows: Rows, protocol: Ints, carrier: Ints, carriers: int, flows: Flows) -> Ints:
    """For each way by TCP, and by what else, the protocol that its connections belong to: the most used one that was
    recognised."""
    own = rows.flows
    of_flow, of_request = carrier[: len(own)], carrier[len(own) :]
    main = np.where(np.arange(carriers) % 2 == 0, flow.PROTOCOL_TCP, flow.PROTOCOL_UDP).astype(np.int64)
    bits = union(own.protocols | flows.protocols[own.flow], of_flow, carriers)
    for known in reversed(RECOGNISED):
        main[(bits >> known.number & 1).astype(np.bool_)] = known.number
    recognised = np.flatnonzero(protocol != flow.PROTOCOL_TCP)
    at, codes = numbered(of_request[recognised] * _KINDS + protocol[recognised])
    weights = total(rows.requests.count[recognised], at, len(codes))
    order, rank = largest_first(codes // _KINDS, weights, codes % _KINDS)
    best = codes[order[rank == 0]]
    main[best // _KINDS] = best % _KINDS
    return main


def _targets(rows: Rows, flows: Flows, texts: Texts, on: Onward) -> Ints:
    """Targets of flow rows, then of request rows. Outside ones have the name that was asked for; connections of a
    flow go to the name that most of its requests asked for. A proxy keeps what is sent to it."""
    transport, requests = rows.flows, rows.requests
    target = flows.target[requests.flow]
    hosts = requests.key("host")
    weights: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    by_host = flows.outside[requests.flow] & (hosts > 0)
    by_host[on.at] = by_host[len(requests) - len(on) :] = False
    target[len(requests) - len(on) :] = on.target
    outside = np.flatnonzero(by_host)
    if len(outside):
        named = {host: texts.named_by_host(texts.names[host].text) for host in np.unique(hosts[outside]).tolist()}
        for row in outside.tolist():
            name = named[int(hosts[row])]
            if name is not None:
                target[row] = name
                weights[int(requests.flow[row])][name] += int(requests.count[row])
    flow_target = flows.target[transport.flow]
    if weights:
        best = {one: max(sorted(names), key=lambda name: names[name]) for one, names in weights.items()}
        flow_target = _by_flow(best, transport.flow, flow_target)
        bare = np.flatnonzero(np.isin(requests.key("protocol"), _BARE))
        target[bare] = _by_flow(best, requests.flow[bare], target[bare])
    return np.concatenate([flow_target, target])


def _by_flow(best: Mapping[int, int], flow: Ints, target: Ints) -> Ints:
    """What connections say goes where they do."""
    return np.array([best.get(one, old) for one, old in zip(flow.tolist(), target.tolist(), strict=True)], np.int64)
