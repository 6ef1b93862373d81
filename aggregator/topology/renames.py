"""Nodes that are gone because they have a name now, and by which node each is told. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.snapshot import Graph

Nodes = Mapping[str, pb.Change]

# What had no name of its own.
_NAMELESS: Final = frozenset({pb.NODE_KIND_POD, pb.NODE_KIND_EXTERNAL, pb.NODE_KIND_UNRESOLVED})
_POD: Final = "/pod-"


class _Place(NamedTuple):
    """An edge but for one of its ends. A row that is told by another name was first seen at the same time."""

    is_target: bool
    other: str
    port: int
    first_seen_ns: int


def with_renames(nodes: Nodes, edges: Mapping[str, pb.Change], new: Graph) -> Nodes:
    """The same changes; where a node that is gone goes on under a name, that it was renamed, by its old id. What begins
    with a rename does not appear too."""
    gone = {
        key: change.node
        for key, change in nodes.items()
        if change.kind == pb.CHANGE_KIND_VANISHED and change.node.kind in _NAMELESS
    }
    if not gone:
        return nodes
    found = {key: after for key, node in gone.items() if (after := _as_told(node, new)) is not None}
    rest = {key: node for key, node in gone.items() if key not in found}
    found |= _by_their_edges(rest, edges.values(), new) if rest else {}
    renames = {
        key: pb.Change(kind=pb.CHANGE_KIND_RENAMED, node=new.nodes[after], previous_id=key)
        for key, after in found.items()
    }
    begun = {after for after in found.values() if after in nodes and nodes[after].kind == pb.CHANGE_KIND_APPEARED}
    return {**{key: change for key, change in nodes.items() if key not in begun}, **renames}


def _as_told(node: pb.Node, new: Graph) -> str | None:
    """By the cluster's API."""
    _, has_uid, uid = node.id.rpartition(_POD)
    workload = new.beside.named.get(uid) if has_uid and node.kind == pb.NODE_KIND_POD else None
    return workload if workload in new.nodes else None


def _by_their_edges(gone: Mapping[str, pb.Node], edges: Iterable[pb.Change], new: Graph) -> dict[str, str]:
    """Those all of whose edges are one and the same named node's now."""
    left: defaultdict[str, list[_Place]] = defaultdict(list)
    came: defaultdict[_Place, set[str]] = defaultdict(set)
    for change in edges:
        for is_target, node, other in ((False, change.edge.source, change.edge.target),
                                       (True, change.edge.target, change.edge.source)):  # fmt: skip
            place = _Place(is_target, other, change.edge.port, change.edge.first_seen.ToNanoseconds())
            if change.kind == pb.CHANGE_KIND_VANISHED and node in gone:
                left[node].append(place)
            elif change.kind == pb.CHANGE_KIND_APPEARED and new.nodes[node].kind not in _NAMELESS:
                came[place].add(node)
    found = {}
    for key, places in left.items():
        after = set.intersection(*(came.get(place, set()) for place in places))
        if len(after) == 1:
            found[key] = after.pop()
    return found
