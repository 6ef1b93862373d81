"""A part of a snapshot, as a reader asked for it. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TypeAlias

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.snapshot import Beside, Graph

Key: TypeAlias = tuple[str, str]  # "node", "edge" or "host", and which


def filtered(graph: Graph, wanted: pb.Filter) -> Graph:
    """The same without what the filter leaves out; the graph itself when that is nothing."""
    if wanted.include_background and not wanted.namespace and not wanted.node:
        return graph
    edges = graph.edges if wanted.include_background else graph.traffic.edges
    hidden = frozenset() if wanted.include_background else graph.traffic.hidden_of(graph.edges)
    nodes = {key: node for key, node in graph.nodes.items() if key not in hidden} if hidden else graph.nodes
    if wanted.namespace or wanted.node:
        inside = {node.id for node in nodes.values() if _is_wanted(node, wanted)}
        edges = {key: edge for key, edge in edges.items() if edge.source in inside or edge.target in inside}
        kept = inside.union(*((edge.source, edge.target) for edge in edges.values()))
        nodes = {key: node for key, node in nodes.items() if key in kept}
    beside = _beside(graph.beside, wanted) if wanted.namespace or wanted.node else graph.beside
    return Graph(graph.cluster, graph.window, nodes, edges, graph.hosts, graph.position, beside=beside)


def changes_as_filtered(changes: Iterable[pb.Change], whole: Graph, seen: Graph) -> list[pb.Change]:
    """Changes of which `whole` is the end, for one who sees the part `seen` of it and may hold any part of before.

    All that they may have brought into the part or taken out of it, as it is now or as vanished.
    """
    changes = [part for change in changes for part in _as_two(change)]
    events = [change for change in changes if change.happened.id in seen.beside.events]
    last = {_key(change): change for change in changes if not change.HasField("happened")}
    now = {_key(change): change for change in _as_changes(seen)}
    before = {_key(change): change for change in _as_changes(whole)} | last
    result = []
    for key in {**last, **dict.fromkeys(_brought_along(last.values(), whole))}:
        if key not in now:
            result.append(_vanished(before.get(key) or pb.Change(node=pb.Node(id=key[1]))))
        elif key in last and last[key].kind != pb.CHANGE_KIND_VANISHED:
            result.append(last[key])
        else:
            result.append(now[key])
    return sorted(result, key=_rank) + events


def _as_two(change: pb.Change) -> Iterable[pb.Change]:
    """Of a rename, that the one is gone and the other there: one of them may be no part of what is seen."""
    if change.kind != pb.CHANGE_KIND_RENAMED:
        return (change,)
    gone = pb.Change(kind=pb.CHANGE_KIND_VANISHED, node=pb.Node(id=change.previous_id))
    here = pb.Change(kind=pb.CHANGE_KIND_CHANGED, node=change.node)
    return (here,) if change.previous_id == change.node.id else (gone, here)


def _key(change: pb.Change) -> Key:
    subject = change.WhichOneof("subject") or ""
    return subject, change.host.name if subject == "host" else getattr(change, subject).id if subject else ""


def _brought_along(changes: Collection[pb.Change], whole: Graph) -> set[Key]:
    """A node brings its edges along, an edge its ends."""
    changed = {change.node.id for change in changes if change.HasField("node")}
    edges = [edge for edge in whole.edges.values() if edge.source in changed or edge.target in changed]
    ends = [*edges, *(change.edge for change in changes if change.HasField("edge"))]
    return {("edge", edge.id) for edge in edges} | {
        ("node", end) for edge in ends for end in (edge.source, edge.target)
    }


def _rank(change: pb.Change) -> int:
    """Nodes before the edges between them, vanished edges before their ends."""
    is_edge = change.HasField("edge")
    return 3 - is_edge if change.kind == pb.CHANGE_KIND_VANISHED else int(is_edge)


def _as_changes(graph: Graph) -> Iterable[pb.Change]:
    kind = pb.CHANGE_KIND_CHANGED
    yield from (pb.Change(kind=kind, node=node) for node in graph.nodes.values())
    yield from (pb.Change(kind=kind, edge=edge) for edge in graph.edges.values())
    yield from (pb.Change(kind=kind, host=host) for host in graph.hosts.values())


def _vanished(change: pb.Change) -> pb.Change:
    copy = pb.Change()
    copy.CopyFrom(change)
    copy.kind = pb.CHANGE_KIND_VANISHED
    return copy


def _beside(beside: Beside, wanted: pb.Filter) -> Beside:
    workloads = {key: one for key, one in beside.workloads.items() if _is_named(key, wanted)}
    events = {
        key: one
        for key, one in beside.events.items()
        if any(_is_named(node, wanted) for node in (one.node, *one.third_party.affected))
    }
    return replace(beside, workloads=workloads, events=events)


def _is_named(node: str, wanted: pb.Filter) -> bool:
    """By a workload's id, whether or not it is in the graph."""
    in_namespace = not wanted.namespace or node.startswith(f"{wanted.namespace}/")
    return in_namespace and (not wanted.node or node == wanted.node)


def _is_wanted(node: pb.Node, wanted: pb.Filter) -> bool:
    return (not wanted.namespace or node.namespace == wanted.namespace) and (not wanted.node or node.id == wanted.node)
