"""A part of a snapshot, as a reader asked for it. Pure."""

from collections.abc import Collection, Iterable
from typing import TypeAlias

from plumbline.v1 import topology_pb2 as pb

Key: TypeAlias = tuple[str, str]  # "node", "edge" or "host", and which


def filtered(topology: pb.Topology, wanted: pb.Filter) -> pb.Topology:
    """The same topology without what the filter leaves out; the message itself when that is nothing."""
    if wanted.include_background and not wanted.namespace and not wanted.node:
        return topology
    edges = [
        edge for edge in topology.edges if wanted.include_background or getattr(edge, "class") == pb.EDGE_CLASS_TRAFFIC
    ]
    hidden = set() if wanted.include_background else _only_background(topology, edges)
    nodes = {node.id: node for node in topology.nodes if node.id not in hidden}
    if wanted.namespace or wanted.node:
        inside = {node.id for node in nodes.values() if _is_wanted(node, wanted)}
        edges = [edge for edge in edges if edge.source in inside or edge.target in inside]
        kept = inside.union(*((edge.source, edge.target) for edge in edges))
        nodes = {key: node for key, node in nodes.items() if key in kept}
    part = pb.Topology(position=topology.position, cluster=topology.cluster, window=topology.window)
    part.nodes.extend(nodes.values())
    part.edges.extend(edges)
    part.hosts.extend(topology.hosts)
    return part


def changes_as_filtered(changes: Iterable[pb.Change], whole: pb.Topology, seen: pb.Topology) -> list[pb.Change]:
    """Changes of which `whole` is the end, for one who sees the part `seen` of it and may hold any part of before.

    All that they may have brought into the part or taken out of it, as it is now or as vanished.
    """
    last = {_key(change): change for change in changes}
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
    return sorted(result, key=_rank)


def _key(change: pb.Change) -> Key:
    subject = change.WhichOneof("subject") or ""
    return subject, change.host.name if subject == "host" else getattr(change, subject).id if subject else ""


def _brought_along(changes: Collection[pb.Change], whole: pb.Topology) -> set[Key]:
    """A node brings its edges along, an edge its ends."""
    changed = {change.node.id for change in changes if change.HasField("node")}
    edges = [edge for edge in whole.edges if edge.source in changed or edge.target in changed]
    ends = [*edges, *(change.edge for change in changes if change.HasField("edge"))]
    return {("edge", edge.id) for edge in edges} | {
        ("node", end) for edge in ends for end in (edge.source, edge.target)
    }


def _rank(change: pb.Change) -> int:
    """Nodes before the edges between them, vanished edges before their ends."""
    is_edge = change.HasField("edge")
    return 3 - is_edge if change.kind == pb.CHANGE_KIND_VANISHED else int(is_edge)


def _as_changes(topology: pb.Topology) -> Iterable[pb.Change]:
    kind = pb.CHANGE_KIND_CHANGED
    yield from (pb.Change(kind=kind, node=node) for node in topology.nodes)
    yield from (pb.Change(kind=kind, edge=edge) for edge in topology.edges)
    yield from (pb.Change(kind=kind, host=host) for host in topology.hosts)


def _vanished(change: pb.Change) -> pb.Change:
    copy = pb.Change()
    copy.CopyFrom(change)
    copy.kind = pb.CHANGE_KIND_VANISHED
    return copy


def _only_background(topology: pb.Topology, traffic: list[pb.Edge]) -> set[str]:
    """Nodes that take part in probes, scrapes or Plumbline's own traffic, and in nothing else."""
    used = {end for edge in traffic for end in (edge.source, edge.target)}
    return {end for edge in topology.edges for end in (edge.source, edge.target)} - used


def _is_wanted(node: pb.Node, wanted: pb.Filter) -> bool:
    return (not wanted.namespace or node.namespace == wanted.namespace) and (not wanted.node or node.id == wanted.node)
