"""An immutable snapshot from merged rows and resolved ends: rows are grouped into edges, edges make nodes.

Pure. Who an end is, is handed in (resolve/ends.py); nothing here looks anything up.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import CLIENT, SERVER, End
from aggregator.topology.columns import CLIENT_OWNS, COUNTER, FlowRows, RequestRows, Rows, group
from aggregator.topology.edge import Requests, Transport, fill_requests, fill_transport, fill_turns
from aggregator.topology.flows import Flows, Texts

Ints = npt.NDArray[np.int64]

_WORDS: Final[dict[int, str]] = {
    flow.PROTOCOL_TCP: "tcp",
    flow.PROTOCOL_UDP: "udp",
    flow.PROTOCOL_HTTP: "http",
    flow.PROTOCOL_DNS: "dns",
    flow.PROTOCOL_TLS: "tls",
}
# Which recognised protocol has a port's connections when no request tells.
_PRECEDENCE: Final = (flow.PROTOCOL_HTTP, flow.PROTOCOL_DNS, flow.PROTOCOL_TLS)


@dataclass(frozen=True, slots=True)
class Group:
    """All rows between two ends over one port. DNS, say, comes by TCP and by UDP."""

    source: int
    target: int
    port: int
    flows: Transport
    requests: Requests
    flow_transport: Ints
    request_transport: Ints


def edges_of(rows: Rows, flows: Flows, texts: Texts, is_self: Callable[[End], bool]) -> list[pb.Edge]:
    """Every edge with traffic in these rows, in order of their ids."""
    edges = [edge for one in _groups(rows, flows, texts) for edge in _edges(one, flows, texts, is_self)]
    return sorted(edges, key=lambda edge: edge.id)


def nodes_of(
    edges: Sequence[pb.Edge], ends: Sequence[End], listens: Mapping[str, set[int]], listeners: Sequence[End]
) -> list[pb.Node]:
    """The ends of these edges, and who listens although nobody calls. `listens`: ports by node id."""
    used: defaultdict[str, list[pb.Edge]] = defaultdict(list)
    for edge in edges:
        used[edge.source].append(edge)
        used[edge.target].append(edge)
    by_id: dict[str, list[End]] = defaultdict(list)
    for end in (*ends, *listeners):
        if end.id in used or end.id in listens:
            by_id[end.id].append(end)
    return [_node(node_id, by_id[node_id], used[node_id], listens.get(node_id, set())) for node_id in sorted(by_id)]


def stamp(ns: int) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(ns)
    return time


def _groups(rows: Rows, flows: Flows, texts: Texts) -> list[Group]:
    transport, requests = rows.flows, rows.requests
    transport = transport.take(flows.target[transport.flow] >= 0)
    requests = requests.take(flows.target[requests.flow] >= 0)
    request_target, flow_target = _targets(transport, requests, flows, texts)
    both = np.concatenate([transport.flow, requests.flow])
    vertices = np.array(flows.vertices, np.int64)
    keys = (
        vertices[flows.source[both]],
        vertices[np.concatenate([flow_target, request_target])],
        flows.facts.port[both],
    )
    order, starts = group(keys)
    found = []
    for start, end in pairwise([*starts.tolist(), len(order)]):
        members = order[start:end]
        first = members[0]
        source, target, port = (int(key[first]) for key in keys)
        own_flows = transport.take(np.sort(members[members < len(transport)]))
        own_requests = requests.take(np.sort(members[members >= len(transport)]) - len(transport))
        found.append(_group(source, target, port, own_flows, own_requests, flows))
    return found


def _group(source: int, target: int, port: int, own: FlowRows, requests: RequestRows, flows: Flows) -> Group:
    flow_role, request_role = flows.facts.role[own.flow], flows.facts.role[requests.flow]
    return Group(
        source,
        target,
        port,
        Transport(own, flow_role, _counts(own, flow_role, flows)),
        Requests(requests, request_role, _counts(requests, request_role, flows)),
        flows.facts.transport[own.flow],
        flows.facts.transport[requests.flow],
    )


def _counts(rows: FlowRows | RequestRows, role: Ints, flows: Flows) -> npt.NDArray[np.bool_]:
    """The server's rows, and the client's where the server's end cannot tell; the client's alone if it never did."""
    server = role == SERVER
    if not server.any():
        return np.ones(len(role), np.bool_)
    chosen: npt.NDArray[np.bool_] = server | (rows.authority == CLIENT_OWNS) | flows.shared[rows.flow]
    return chosen


def _targets(transport: FlowRows, requests: RequestRows, flows: Flows, texts: Texts) -> tuple[Ints, Ints]:
    """Targets of request rows and of flow rows. Outside ones have the name that was asked for; connections of a
    flow go to the name that most of its requests asked for."""
    target = flows.target[requests.flow]
    hosts = requests.key("host")
    weights: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    outside = np.flatnonzero(flows.outside[requests.flow] & (hosts > 0))
    if len(outside):
        target = target.copy()
        named = {host: texts.named_by_host(texts.names[host]) for host in np.unique(hosts[outside]).tolist()}
        for row in outside.tolist():
            name = named[int(hosts[row])]
            if name is not None:
                target[row] = name
                weights[int(requests.flow[row])][name] += int(requests.count[row])
    flow_target = flows.target[transport.flow]
    if weights:
        best = {one: max(sorted(names), key=lambda name: names[name]) for one, names in weights.items()}
        flow_target = np.array(
            [best.get(one, old) for one, old in zip(transport.flow.tolist(), flow_target.tolist(), strict=True)],
            np.int64,
        )
    return target, flow_target


def _edges(one: Group, flows: Flows, texts: Texts, is_self: Callable[[End], bool]) -> list[pb.Edge]:
    protocol = one.requests.rows.key("protocol")
    spoken = {int(kind) for kind in np.unique(protocol).tolist()} - {flow.PROTOCOL_TCP, flow.PROTOCOL_UDP}
    transports = np.unique(np.concatenate([one.flow_transport, one.request_transport])).tolist()
    mains = {transport: _main_protocol(one, transport, protocol, flows) for transport in transports}
    found = []
    for kind in sorted(spoken | set(mains.values())):
        asked = one.requests.of(protocol == kind)
        edge = _edge(one, flows.ends, _WORDS.get(kind, "tcp"))
        setattr(edge, "class", _class_of(one, flows.ends, is_self))
        if kind in spoken:
            fill_requests(edge, asked, texts.names)
        carried = np.isin(one.flow_transport, [transport for transport, main in mains.items() if main == kind])
        if kind in mains.values():
            _fill_connections(edge, one, carried, flows)
            fill_turns(edge, one.requests.of(protocol == flow.PROTOCOL_TCP))
        else:
            edge.coverage = 1.0
        _fill_sides_seen(edge, one, asked)
        found.append(edge)
    return found


def _fill_connections(edge: pb.Edge, one: Group, carried: npt.NDArray[np.bool_], flows: Flows) -> None:
    own = one.flows.of(carried)
    fill_transport(edge, own)
    ids = np.unique(own.rows.flow)
    side = CLIENT if (own.role == CLIENT).any() else SERVER
    edge.active_connections = max(int(flows.active[ids][flows.facts.role[ids] == side].sum()), 0)
    edge.via.extend(_via(own, flows))
    edge.encrypted = bool(_bits(own.rows, flows) >> flow.PROTOCOL_TLS & 1)


def _via(own: Transport, flows: Flows) -> list[pb.Via]:
    """The addresses by which clients asked, where translation led them here."""
    weights: Counter[str] = Counter()
    connections = own.rows.counts[:, COUNTER["connections"]].tolist()
    for one, role, count in zip(own.rows.flow.tolist(), own.role.tolist(), connections, strict=True):
        if role == CLIENT and flows.facts.asked[one]:
            weights[flows.facts.asked[one]] += count
    return [pb.Via(name=name, connections=weights[name]) for name in sorted(weights)]


def _bits(rows: FlowRows, flows: Flows) -> int:
    """Protocols that were seen on these flows, now or before."""
    return int(np.bitwise_or.reduce(rows.protocols | flows.protocols[rows.flow])) if len(rows) else 0


def _class_of(one: Group, ends: Sequence[End], is_self: Callable[[End], bool]) -> int:
    own = is_self(ends[one.source]) or is_self(ends[one.target])
    return pb.EDGE_CLASS_SELF if own else pb.EDGE_CLASS_TRAFFIC


def _main_protocol(one: Group, transport: int, protocol: Ints, flows: Flows) -> int:
    """The protocol that a transport's connections belong to: the most used one that was recognised."""
    counts: Counter[int] = Counter()
    here = (one.request_transport == transport) & (protocol != flow.PROTOCOL_TCP)
    for kind, count in zip(protocol[here].tolist(), one.requests.rows.count[here].tolist(), strict=True):
        counts[kind] += count
    if counts:
        return max(sorted(counts), key=lambda kind: counts[kind])
    bits = _bits(one.flows.rows.take(one.flow_transport == transport), flows)
    for known in _PRECEDENCE:
        if bits >> known & 1:
            return known
    return flow.PROTOCOL_TCP if transport == flow.TRANSPORT_TCP else flow.PROTOCOL_UDP


def _edge(one: Group, ends: Sequence[End], word: str) -> pb.Edge:
    source, target = ends[one.source].id, ends[one.target].id
    edge = pb.Edge(source=source, target=target, protocol=word, port=one.port)
    edge.id = f"{source}>{target}:{one.port}/{word}"
    for always in (edge.unanswered, edge.statuses, edge.failed_connections):
        always.SetInParent()
    return edge


def _fill_sides_seen(edge: pb.Edge, one: Group, asked: Requests) -> None:
    roles = set(np.unique(np.concatenate([one.flows.role, asked.role])).tolist())
    both = {CLIENT, SERVER} <= roles
    edge.seen_from = pb.SEEN_FROM_BOTH if both else pb.SEEN_FROM_CLIENT if CLIENT in roles else pb.SEEN_FROM_SERVER
    times = [rows for rows in (one.flows.rows, asked.rows) if len(rows)]
    edge.first_seen.CopyFrom(stamp(min(int(rows.from_ns.min()) for rows in times)))
    edge.last_seen.CopyFrom(stamp(max(int(rows.to_ns.max()) for rows in times)))


def _node(node_id: str, ends: Sequence[End], edges: Sequence[pb.Edge], ports: set[int]) -> pb.Node:
    best = min(ends, key=lambda end: (end.name_source != "host", end.name_source))
    kind = cast(pb.NodeKind, best.kind)
    node = pb.Node(id=node_id, kind=kind, name=best.name, cluster=best.cluster)
    node.host_count = 1 if best.endpoint >= 0 else 0
    node.listens.extend(sorted(ports))
    node.name_source = best.name_source
    node.ambiguous = any(end.ambiguous for end in ends)
    if edges:
        node.first_seen.CopyFrom(stamp(min(edge.first_seen.ToNanoseconds() for edge in edges)))
        node.last_seen.CopyFrom(stamp(max(edge.last_seen.ToNanoseconds() for edge in edges)))
    return node
