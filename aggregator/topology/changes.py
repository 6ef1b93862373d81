"""What changed between two snapshots. Pure."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from plumbline.v1 import topology_pb2 as pb

Subject = TypeVar("Subject", pb.Node, pb.Edge, pb.Host)

# Numbers that move while nothing about the graph itself changes.
EDGE_NUMBERS: Final = frozenset(
    (
        "requests errors client_errors unanswered statuses codes latency_ms turn_ms rtt_ms bytes_sent bytes_received "
        "connections active_connections failed_connections retransmits via coverage first_seen last_seen routes "
        "client_side server_side"
    ).split()
)
NODE_NUMBERS: Final = frozenset(["first_seen", "last_seen"])
HOST_NUMBERS: Final = frozenset(["last_seen", "lost", "dropped", "coverage"])


def changes_between(old: pb.Topology, new: pb.Topology) -> list[pb.Change]:
    """In an order in which a holder of `old` can apply them: nodes before edges, vanished edges before nodes."""
    hosts = _compare({host.name: host for host in old.hosts}, {host.name: host for host in new.hosts}, _host_change)
    nodes = _compare({node.id: node for node in old.nodes}, {node.id: node for node in new.nodes}, _node_change)
    edges = _compare({edge.id: edge for edge in old.edges}, {edge.id: edge for edge in new.edges}, _edge_change)
    vanished = pb.CHANGE_KIND_VANISHED
    present = [change for change in nodes + edges if change.kind != vanished]
    absent = [change for change in edges + nodes if change.kind == vanished]
    return hosts + present + absent


def _compare(
    old: Mapping[str, Subject],
    new: Mapping[str, Subject],
    change_of: Callable[[Subject | None, Subject | None], pb.Change],
) -> list[pb.Change]:
    changes = [change_of(old[key], None) for key in sorted(old.keys() - new.keys())]
    changes += [change_of(None, new[key]) for key in sorted(new.keys() - old.keys())]
    changes += [change_of(old[key], new[key]) for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]
    return changes


def _kind(old: pb.Node | pb.Edge | None, new: pb.Node | pb.Edge | None, numbers: frozenset[str]) -> pb.ChangeKind:
    if old is None:
        return pb.CHANGE_KIND_APPEARED
    if new is None:
        return pb.CHANGE_KIND_VANISHED
    return pb.CHANGE_KIND_UPDATED if _differ_only_in(old, new, numbers) else pb.CHANGE_KIND_CHANGED


def _node_change(old: pb.Node | None, new: pb.Node | None) -> pb.Change:
    return pb.Change(kind=_kind(old, new, NODE_NUMBERS), node=new or old)


def _edge_change(old: pb.Edge | None, new: pb.Edge | None) -> pb.Change:
    return pb.Change(kind=_kind(old, new, EDGE_NUMBERS), edge=new or old)


def _host_change(old: pb.Host | None, new: pb.Host | None) -> pb.Change:
    if old is None:
        kind = pb.CHANGE_KIND_APPEARED
    elif new is None:
        kind = pb.CHANGE_KIND_VANISHED
    elif old.stale != new.stale:
        kind = pb.CHANGE_KIND_HOST_STALE if new.stale else pb.CHANGE_KIND_HOST_BACK
    else:
        kind = pb.CHANGE_KIND_UPDATED if _differ_only_in(old, new, HOST_NUMBERS) else pb.CHANGE_KIND_CHANGED
    return pb.Change(kind=kind, host=new or old)


def _differ_only_in(
    old: pb.Node | pb.Edge | pb.Host, new: pb.Node | pb.Edge | pb.Host, numbers: frozenset[str]
) -> bool:
    return all(
        getattr(old, field.name) == getattr(new, field.name)
        for field in old.DESCRIPTOR.fields
        if field.name not in numbers
    )
