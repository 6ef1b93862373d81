"""An immutable snapshot from merged rows and resolved ends: rows are grouped into edges, edges make nodes.

Pure. Who an end is, is handed in (resolve/ends.py); nothing here looks anything up.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End
from aggregator.topology.background import Background
from aggregator.topology.byhosts import sourced
from aggregator.topology.columns import Rows
from aggregator.topology.edge import Drawn, drawn
from aggregator.topology.flows import Flows, Texts
from aggregator.topology.placing import placed, shown
from aggregator.topology.proxied import onward, with_onward
from aggregator.topology.reach import reached_from_outside, together
from aggregator.topology.tallies import NEVER_NS
from aggregator.topology.times import stamp
from aggregator.topology.via import asked_of_many

_SECOND_NS = 1_000_000_000
# What a client asked for says more than what its resolver said of an address.
_BY_TRUST = ("proxy", "sni", "host", "", "dns")


def edges_of(
    rows: Rows, flows: Flows, texts: Texts, background: Background, whole: bool = True
) -> tuple[list[Drawn], Sequence[End]]:
    """Every edge with traffic in these rows, in order of their ids, and all that their ends are. `whole`: these are all
    rows of the window; else edges of hosts that others come by are left out."""
    own = shown(rows, flows)
    on = onward(own.requests, flows, texts)
    by = sourced(with_onward(own, on), flows, whole)
    if not len(by.rows):
        return [], ()
    edges = placed(by, flows, texts, on.later(by.request_copies))
    found = list(drawn(by.rows, edges, flows, texts, asked_of_many(rows.flows, flows), background))
    used = {end for edge in found for end in (edge.source, edge.target)} if by.hosts else None
    ends = [flows.ends[end] for end in edges.ends.tolist()]
    return sorted(found, key=lambda edge: edge.id), [end for end in ends if used is None or end.id in used]


def messages_of(edges: Sequence[Drawn]) -> dict[str, pb.Edge]:
    """Takes the edges' fields: they are let go one by one, for all at once would keep every thread waiting."""
    return {one.id: _message(one, one.fields) for one in edges}


def _message(one: Drawn, fields: dict[str, Any]) -> pb.Edge:
    one.fields = {}
    return pb.Edge(
        id=one.id,
        source=one.source,
        target=one.target,
        first_seen=_seconds(one.first_ns),
        last_seen=_seconds(one.last_ns),
        **fields,
    )


def nodes_of(
    edges: Sequence[Drawn],
    ends: Sequence[End],
    listens: Mapping[str, set[int]],
    listeners: Sequence[End],
    exposures: Mapping[str, pb.Exposure],
) -> list[pb.Node]:
    """The ends of these edges, which still have their fields, and who listens although nobody calls. `listens`: ports
    by node id."""
    times: dict[str, list[int]] = {}
    for edge in edges:
        for node_id in (edge.source, edge.target):
            span = times.setdefault(node_id, [NEVER_NS, -1])
            span[0] = min(span[0], edge.first_ns)
            span[1] = max(span[1], edge.last_ns)
    by_id: dict[str, list[End]] = defaultdict(list)
    for end in (*ends, *listeners):
        by_id[end.id].append(end)
    reached = reached_from_outside(edges, by_id)
    nodes = []
    for node_id in sorted(by_id):
        node = _node(node_id, by_id[node_id], times.get(node_id), listens.get(node_id, set()))
        if node_id in exposures:
            node.exposure.CopyFrom(exposures[node_id])
        node.reached.extend(reached.get(node_id, ()))
        nodes.append(node)
    return nodes


def with_span(node: pb.Node, before: pb.Node | None) -> pb.Node:
    """What is known of a node already, seen when this one was too. `node` is of some of its edges only."""
    if before is None:
        return node
    both = pb.Node()
    both.CopyFrom(before)
    both.host_count = max(before.host_count, node.host_count)
    both.name_source = min(before.name_source, node.name_source, key=_BY_TRUST.index)
    both.ambiguous |= node.ambiguous
    del both.listens[:], both.reached[:]
    both.listens.extend(node.listens)
    both.reached.extend(together(before.reached, node.reached))
    if node.HasField("exposure"):
        both.exposure.CopyFrom(node.exposure)
    if not before.HasField("first_seen") or before.first_seen.ToNanoseconds() > node.first_seen.ToNanoseconds():
        both.first_seen.CopyFrom(node.first_seen)
    if before.last_seen.ToNanoseconds() < node.last_seen.ToNanoseconds():
        both.last_seen.CopyFrom(node.last_seen)
    return both


def _seconds(ns: int) -> dict[str, int]:
    return {"seconds": ns // _SECOND_NS, "nanos": ns % _SECOND_NS}


def _node(node_id: str, ends: Sequence[End], span: Sequence[int] | None, ports: set[int]) -> pb.Node:
    # The same one whichever was found first.
    best = min(ends, key=lambda end: (_BY_TRUST.index(end.name_source), end))
    kind = cast(pb.NodeKind, best.kind)
    node = pb.Node(id=node_id, kind=kind, name=best.name, namespace=best.namespace, cluster=best.cluster)
    node.host_count = len({end.host for end in ends if end.endpoint >= 0})
    node.listens.extend(sorted(ports))
    node.name_source = best.name_source
    node.ambiguous = any(end.ambiguous for end in ends)
    if span is not None:
        node.first_seen.CopyFrom(stamp(span[0]))
        node.last_seen.CopyFrom(stamp(span[1]))
    return node
