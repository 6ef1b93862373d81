"""An immutable snapshot from merged rows and resolved ends: rows are grouped into edges, edges make nodes.

Pure. Who an end is, is handed in (resolve/ends.py); nothing here looks anything up.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End
from aggregator.topology.columns import Rows
from aggregator.topology.edge import Drawn, drawn
from aggregator.topology.flows import Flows, Texts
from aggregator.topology.placing import placed, shown
from aggregator.topology.tallies import NEVER_NS

_SECOND_NS = 1_000_000_000


def edges_of(rows: Rows, flows: Flows, texts: Texts, is_self: Callable[[End], bool]) -> list[Drawn]:
    """Every edge with traffic in these rows, in order of their ids."""
    own = shown(rows, flows)
    if not len(own):
        return []
    edges = placed(own, flows, texts)
    return sorted(drawn(own, edges, flows, texts, is_self), key=lambda edge: edge.id)


def add_edges(topology: pb.Topology, edges: Sequence[Drawn]) -> None:
    for one in edges:
        topology.edges.add(
            id=one.id,
            source=one.source,
            target=one.target,
            first_seen=_seconds(one.first_ns),
            last_seen=_seconds(one.last_ns),
            **one.fields,
        )


def nodes_of(
    edges: Sequence[Drawn], ends: Sequence[End], listens: Mapping[str, set[int]], listeners: Sequence[End]
) -> list[pb.Node]:
    """The ends of these edges, and who listens although nobody calls. `listens`: ports by node id."""
    times: dict[str, list[int]] = {}
    for edge in edges:
        for node_id in (edge.source, edge.target):
            span = times.setdefault(node_id, [NEVER_NS, -1])
            span[0] = min(span[0], edge.first_ns)
            span[1] = max(span[1], edge.last_ns)
    by_id: dict[str, list[End]] = defaultdict(list)
    for end in (*ends, *listeners):
        if end.id in times or end.id in listens:
            by_id[end.id].append(end)
    return [
        _node(node_id, by_id[node_id], times.get(node_id), listens.get(node_id, set())) for node_id in sorted(by_id)
    ]


def stamp(ns: int) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(ns)
    return time


def _seconds(ns: int) -> dict[str, int]:
    return {"seconds": ns // _SECOND_NS, "nanos": ns % _SECOND_NS}


def _node(node_id: str, ends: Sequence[End], span: Sequence[int] | None, ports: set[int]) -> pb.Node:
    best = min(ends, key=lambda end: (end.name_source != "host", end.name_source))
    kind = cast(pb.NodeKind, best.kind)
    node = pb.Node(id=node_id, kind=kind, name=best.name, cluster=best.cluster)
    node.host_count = 1 if best.endpoint >= 0 else 0
    node.listens.extend(sorted(ports))
    node.name_source = best.name_source
    node.ambiguous = any(end.ambiguous for end in ends)
    if span is not None:
        node.first_seen.CopyFrom(stamp(span[0]))
        node.last_seen.CopyFrom(stamp(span[1]))
    return node
