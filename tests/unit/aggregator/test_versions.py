"""Snapshots in a row, what changed between them, and a part of one as a reader asked for it."""

from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

from aggregator.outputs.watching import Filtered
from aggregator.topology.changes import changes_between
from aggregator.topology.filters import filtered
from aggregator.topology.versions import KEPT_VERSIONS, Versions
from tests.unit.outputs.topologies import FILTERS, Reader, same, topologies, topology


@given(topologies(), topologies())
def test_what_changed_makes_one_graph_of_the_other(old: pb.Topology, new: pb.Topology) -> None:
    reader = Reader()
    snapshot = pb.SnapshotPart(part=old, complete=True)
    delta = pb.Delta(changes=changes_between(old, new))
    reader.take([pb.WatchTopologyResponse(snapshot=snapshot), pb.WatchTopologyResponse(delta=delta)])
    assert same(reader.topology, new)
    assert changes_between(new, new) == []


def test_deltas_are_kept_so_long_and_no_longer() -> None:
    versions = Versions("e1", topology("a"))
    for number in range(KEPT_VERSIONS + 5):
        versions.publish(topology("a", requests=number + 1))
    newest = versions.newest.version
    assert versions.since("e1", newest) == []
    assert len(versions.since("e1", newest - KEPT_VERSIONS) or ()) == KEPT_VERSIONS
    assert versions.since("e1", newest - KEPT_VERSIONS - 1) is None
    assert versions.since("e1", newest + 1) is versions.since("e2", newest) is None


def test_the_kinds_of_changes_are_told_apart() -> None:
    versions = Versions("e1", topology("a", "b"))
    for node in (newer := topology("a", "c", requests=1)).nodes:
        node.ambiguous = node.id == "a"
    newer.hosts.add(name="alpha", stale=True)
    assert [(change.kind, change.host.name) for change in versions.publish(newer) if change.HasField("host")] == [
        (pb.CHANGE_KIND_APPEARED, "alpha")
    ]
    fresh = pb.Topology(nodes=newer.nodes, edges=newer.edges, hosts=[pb.Host(name="alpha")])
    (back,) = versions.publish(fresh)
    assert back.kind == pb.CHANGE_KIND_HOST_BACK
    stale = pb.Topology(nodes=newer.nodes, edges=newer.edges, hosts=[pb.Host(name="alpha", stale=True, coverage=0.5)])
    (went,) = versions.publish(stale)
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
    versions = Versions("e1", topology("a"))
    later = topology("a")
    later.window.to.seconds = 77
    assert versions.publish(later) == []
    newest = versions.newest
    assert (newest.version, newest.topology.window.to.seconds) == (1, 77)
    assert newest.topology.position == pb.Position(epoch="e1", version=1)


@given(topologies(), st.sampled_from(FILTERS))
def test_a_filtered_graph_is_a_graph(graph: pb.Topology, wanted: pb.Filter) -> None:
    part = filtered(graph, wanted)
    ids = {node.id for node in part.nodes}
    assert all(edge.source in ids and edge.target in ids for edge in part.edges)
    if not wanted.include_background:
        assert all(getattr(edge, "class") == pb.EDGE_CLASS_TRAFFIC for edge in part.edges)
    if wanted.node:
        assert all(wanted.node in (edge.source, edge.target) for edge in part.edges)
    assert same(filtered(part, wanted), part)


def test_a_filtered_snapshot_is_made_once_for_all_who_asked_alike() -> None:
    shared, graphs = Filtered(), [topology("a", "b"), topology("a", "c")]
    first = [shared.of(graph, pb.Filter(node="a")) for graph in graphs]
    again = [shared.of(graph, pb.Filter(node="a")) for graph in graphs]
    assert all(one is other for one, other in zip(first, again, strict=True))
