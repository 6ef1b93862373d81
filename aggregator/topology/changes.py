"""What changed between two snapshots. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Final, TypeVar

from google.protobuf.descriptor import Descriptor
from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.renames import with_renames
from aggregator.topology.snapshot import Graph

Subject = TypeVar("Subject", pb.Node, pb.Edge, pb.Host)

# Numbers that move while nothing about the graph itself changes.
EDGE_NUMBERS: Final = frozenset(
    (
        "requests errors client_errors unanswered statuses codes latency_ms turn_ms rtt_ms bytes_sent bytes_received "
        "connections active_connections failed_connections retransmits via coverage first_seen last_seen routes "
        "client_side server_side appeared_with revisions handshakes failed_lookups connect_ms "
        "certificate_expires"
    ).split()
)
NODE_NUMBERS: Final = frozenset(["first_seen", "last_seen", "resources", "reached"])
HOST_NUMBERS: Final = frozenset(["last_seen", "lost", "dropped", "coverage"])
# Whether it was not there before, and is not there after.
_BOTH: Final = (False, False)
_ENDS: Final = {pb.CHANGE_KIND_APPEARED: (True, False), pb.CHANGE_KIND_VANISHED: (False, True)}


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed between two graphs, by id or by a host's name."""

    hosts: Mapping[str, pb.Change]
    nodes: Mapping[str, pb.Change]
    edges: Mapping[str, pb.Change]
    events: Sequence[pb.Change] = ()

    def in_order(self) -> list[pb.Change]:
        """In which a holder of the old graph can apply them: nodes before edges, vanished edges before nodes. Numbers
        alone do not keep what is new in shape waiting."""
        vanished, numbers = pb.CHANGE_KIND_VANISHED, pb.CHANGE_KIND_UPDATED
        hosts, nodes, edges = (list(some.values()) for some in (self.hosts, self.nodes, self.edges))
        # A node that is called otherwise takes none of its old edges along.
        renamed = {
            change.previous_id for change in nodes if change.previous_id and change.previous_id != change.node.id
        }
        left = (
            [one for one in edges if one.kind == vanished and renamed & {one.edge.source, one.edge.target}]
            if renamed
            else []
        )
        present = [change for change in nodes + edges if change.kind not in (vanished, numbers)]
        updated = [change for change in nodes + edges if change.kind == numbers]
        done = {id(change) for change in left}
        absent = [change for change in edges + nodes if change.kind == vanished and id(change) not in done]
        return hosts + left + present + updated + absent + list(self.events)


@dataclass(frozen=True, slots=True)
class Hints:
    """All that may differ between two graphs, and in what, where that is known."""

    hosts: Mapping[str, pb.Change | None]
    nodes: Mapping[str, pb.Change | None]
    edges: Mapping[str, pb.Change | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two graphs, and what differs."""

    old: Graph
    new: Graph
    changes: Changes

    @classmethod
    def of(cls, old: Graph, new: Graph, hints: Hints | None = None) -> "Compared":
        return cls(old, new, compare(old, new, hints))

    def hints(self, old: Graph, new: Graph) -> Hints:
        """For two others, which share most of their messages with these."""
        return Hints(
            _hints(self.changes.hosts, (self.old.hosts, self.new.hosts), (old.hosts, new.hosts)),
            _hints(self.changes.nodes, (self.old.nodes, self.new.nodes), (old.nodes, new.nodes)),
            _hints(self.changes.edges, (self.old.edges, self.new.edges), (old.edges, new.edges)),
        )


def changes_between(old: Graph, new: Graph) -> list[pb.Change]:
    """In an order in which a holder of `old` can apply them."""
    return compare(old, new).in_order()


def compare(old: Graph, new: Graph, hints: Hints | None = None) -> Changes:
    """`hints` may be of graphs of which these two are parts."""
    edges = _compare(old.edges, new.edges, _edge_change, hints.edges if hints else None)
    return Changes(
        _compare(old.hosts, new.hosts, _host_change, hints.hosts if hints else None),
        with_renames(_compare(old.nodes, new.nodes, _node_change, hints.nodes if hints else None), edges, new),
        edges,
        _events(old.beside.events, new.beside.events),
    )


def together(changes: Sequence[Changes]) -> Hints:
    """Of graphs in a row, for the first and the last: what changed once is what changed between those."""
    return Hints(
        _once([one.hosts for one in changes]),
        _once([one.nodes for one in changes]),
        _once([one.edges for one in changes]),
    )


def _once(some: Sequence[Mapping[str, pb.Change]]) -> Mapping[str, pb.Change | None]:
    if len(some) == 1:
        return some[0]
    found: dict[str, pb.Change | None] = {}
    for one in some:
        found |= {key: None if key in found else change for key, change in one.items()}
    return found


def _hints(
    changes: Mapping[str, pb.Change],
    found: tuple[Mapping[str, Subject], Mapping[str, Subject]],
    wanted: tuple[Mapping[str, Subject], Mapping[str, Subject]],
) -> Mapping[str, pb.Change | None]:
    others = [key for one, other in zip(found, wanted, strict=True) for key in _others(one, other)]
    return {**changes, **dict.fromkeys(others)} if others else changes


def _others(old: Mapping[str, Subject], new: Mapping[str, Subject]) -> set[str]:
    """Where it is not the same message in both."""
    if old is new:
        return set()
    return {key for key, value in new.items() if old.get(key) is not value} | (old.keys() - new.keys())


def _compare(
    old: Mapping[str, Subject],
    new: Mapping[str, Subject],
    change_of: Callable[[Subject | None, Subject | None], pb.Change],
    hints: Mapping[str, pb.Change | None] | None,
) -> Mapping[str, pb.Change]:
    if old is new:
        return {}
    if hints is None:
        hints = dict.fromkeys(sorted(_others(old, new)))
    elif beyond := (old.keys() ^ new.keys()) - hints.keys():
        # A part may have got or lost what the whole had all the time.
        hints = {**hints, **dict.fromkeys(sorted(beyond))}
    found = {}
    for key, change in hints.items():
        before, after = old.get(key), new.get(key)
        if before is after:
            continue
        if change is not None and _ENDS.get(change.kind, _BOTH) == (before is None, after is None):
            found[key] = change
        elif before is None or after is None or before != after:
            found[key] = change_of(before, after)
    return found


def _events(old: Mapping[str, pb.Event], new: Mapping[str, pb.Event]) -> Sequence[pb.Change]:
    """Those that came; that one grows old is no change."""
    if old is new:
        return ()
    return [pb.Change(kind=pb.CHANGE_KIND_HAPPENED, happened=one) for key, one in new.items() if key not in old]


def _kind(old: pb.Node | pb.Edge | None, new: pb.Node | pb.Edge | None, numbers: frozenset[str]) -> pb.ChangeKind:
    if old is None:
        return pb.CHANGE_KIND_APPEARED
    if new is None:
        return pb.CHANGE_KIND_VANISHED
    return pb.CHANGE_KIND_UPDATED if _differ_only_in(old, new, numbers) else pb.CHANGE_KIND_CHANGED


def _node_change(old: pb.Node | None, new: pb.Node | None) -> pb.Change:
    if old is not None and new is not None and old.name != new.name:
        return pb.Change(kind=pb.CHANGE_KIND_RENAMED, node=new, previous_id=old.id)
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
    shape = _shape_of(new.DESCRIPTOR, numbers)
    return bool(shape(old) == shape(new))


@cache
def _shape_of(kind: Descriptor, numbers: frozenset[str]) -> Callable[[object], object]:
    return attrgetter(*(field.name for field in kind.fields if field.name not in numbers))
