"""Snapshots in a row, what changed between them, and a part of one as a reader asked for it."""

from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

from aggregator.outputs.watching import Filtered
from aggregator.topology.changes import Compared, changes_between
from aggregator.topology.filters import filtered
from aggregator.topology.snapshot import Graph
from aggregator.topology.versions import KEPT_VERSIONS, Versions
from tests.unit.outputs.topologies import FILTERS, Reader, same, topologies, topology


@given(topologies(), topologies())
def test_what_changed_makes_one_graph_of_the_other(old: pb.Topology, new: pb.Topology) -> None:
    reader = Reader()
    snapshot = pb.SnapshotPart(part=old, complete=True)
    delta = pb.Delta(changes=changes_between(Graph.of(old), Graph.of(new)))
    reader.take([pb.WatchTopologyResponse(snapshot=snapshot), pb.WatchTopologyResponse(delta=delta)])
    assert same(reader.topology, new)
    assert changes_between(Graph.of(new), Graph.of(new)) == []


@given(topologies(), topologies(), topologies(), topologies())
def test_what_was_compared_before_changes_nothing_about_what_is_told(
    old: pb.Topology, new: pb.Topology, since: pb.Topology, meanwhile: pb.Topology
) -> None:
    """Graphs that share some of their messages with those that were compared."""
    compared = Compared.of(Graph.of(old), Graph.of(new))
    before, after = _mixed(compared.old, Graph.of(since)), _mixed(compared.new, Graph.of(meanwhile))
    for first, last in ((compared.old, compared.new), (before, compared.new), (before, after)):
        told = Versions("e1", first).publish(last, compared)
        assert sorted(map(bytes_of, told)) == sorted(map(bytes_of, changes_between(first, last)))


def bytes_of(change: pb.Change) -> bytes:
    return change.SerializeToString(deterministic=True)


def _mixed(one: Graph, other: Graph) -> Graph:
    nodes, edges, hosts = {**one.nodes, **other.nodes}, {**one.edges, **other.edges}, {**one.hosts, **other.hosts}
    return Graph(one.cluster, one.window, nodes, edges, hosts)


def test_what_is_new_in_shape_does_not_wait_behind_numbers() -> None:
    changes = changes_between(Graph.of(topology("a", "b")), Graph.of(topology("a", "b", "c", requests=1)))
    assert [change.node.id or change.edge.id for change in changes] == ["c", "c>", "a>", "b>"]


def test_deltas_are_kept_so_long_and_no_longer() -> None:
    versions = Versions("e1", Graph.of(topology("a")))
    for number in range(KEPT_VERSIONS + 5):
        versions.publish(Graph.of(topology("a", requests=number + 1)))
    newest = versions.newest.version
    assert versions.since("e1", newest) == []
    assert len(versions.since("e1", newest - KEPT_VERSIONS) or ()) == KEPT_VERSIONS
    assert versions.since("e1", newest - KEPT_VERSIONS - 1) is None
    assert versions.since("e1", newest + 1) is versions.since("e2", newest) is None


def test_the_kinds_of_changes_are_told_apart() -> None:
    versions = Versions("e1", Graph.of(topology("a", "b")))
    for node in (newer := topology("a", "c", requests=1)).nodes:
        node.ambiguous = node.id == "a"
    newer.hosts.add(name="alpha", stale=True)
    assert [
        (change.kind, change.host.name) for change in versions.publish(Graph.of(newer)) if change.HasField("host")
    ] == [(pb.CHANGE_KIND_APPEARED, "alpha")]
    fresh = pb.Topology(nodes=newer.nodes, edges=newer.edges, hosts=[pb.Host(name="alpha")])
    (back,) = versions.publish(Graph.of(fresh))
    assert back.kind == pb.CHANGE_KIND_HOST_BACK
    stale = pb.Topology(nodes=newer.nodes, edges=newer.edges, hosts=[pb.Host(name="alpha", stale=True, coverage=0.5)])
    (went,) = versions.publish(Graph.of(stale))
    assert went.kind == pb.CHANGE_KIND_HOST_STALE
    kinds = {
        change.node.id or change.edge.id: change.kind
        for change in versions.since("e1", 1) or ()
        if not change.HasField("host")
    }
    assert kinds == {
        "a": pb.CHANGE_KIND_CHANGED,
        "c": pb.CHANGE_KIND_APPEARED,
        "c>": pb.CHANGE_KIND_APPEARED,
        "a>": pb.CHANGE_KIND_UPDATED,
        "b>": pb.CHANGE_KIND_VANISHED,
        "b": pb.CHANGE_KIND_VANISHED,
    }


def test_a_snapshot_in_which_nothing_changed_has_the_version_and_its_own_window() -> None:
    versions = Versions("e1", Graph.of(topology("a")))
    later = topology("a")
    later.window.to.seconds = 77
    assert versions.publish(Graph.of(later)) == []
    newest = versions.newest
    assert (newest.version, newest.topology.window.to.seconds) == (1, 77)
    assert newest.topology.position == pb.Position(epoch="e1", version=1)


@given(topologies(), st.sampled_from(FILTERS))
def test_a_filtered_graph_is_a_graph(graph: pb.Topology, wanted: pb.Filter) -> None:
    part = filtered(Graph.of(graph), wanted).message
    ids = {node.id for node in part.nodes}
    assert all(edge.source in ids and edge.target in ids for edge in part.edges)
    if not wanted.include_background:
        assert all(getattr(edge, "class") == pb.EDGE_CLASS_TRAFFIC for edge in part.edges)
    if wanted.node:
        assert all(wanted.node in (edge.source, edge.target) for edge in part.edges)
    assert same(filtered(Graph.of(part), wanted).message, part)


def test_a_filtered_snapshot_is_made_once_for_all_who_asked_alike() -> None:
    shared, graphs = Filtered(), [Graph.of(topology("a", "b")), Graph.of(topology("a", "c"))]
    first = [shared.of(graph, pb.Filter(node="a")) for graph in graphs]
    again = [shared.of(graph, pb.Filter(node="a")) for graph in graphs]
    assert all(one is other for one, other in zip(first, again, strict=True))
