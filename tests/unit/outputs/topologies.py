"""Random small topologies for hypothesis, and the readers that follow them."""

from collections.abc import Iterable

from hypothesis import strategies as st
from plumbline.v1 import topology_pb2 as pb

NAMES = ("a", "b", "c", "d")
SPACES = ("", "shop")
CLASSES = (pb.EDGE_CLASS_TRAFFIC, pb.EDGE_CLASS_SELF)
FILTERS = (
    pb.Filter(),
    pb.Filter(include_background=True),
    pb.Filter(node="a"),
    pb.Filter(namespace="shop"),
    pb.Filter(namespace="shop", node="b", include_background=True),
)


@st.composite
def topologies(draw: st.DrawFn) -> pb.Topology:
    """At most one edge a pair; each edge's ends are there."""
    topology = pb.Topology(cluster="default")
    pairs = draw(st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=5))
    alone = draw(st.sets(st.sampled_from(NAMES), max_size=2))
    for name in sorted(alone.union(*pairs)):
        kind = draw(st.sampled_from((pb.NODE_KIND_EXTERNAL, pb.NODE_KIND_WORKLOAD)))
        topology.nodes.add(
            id=name, kind=kind, name=draw(st.sampled_from(("", "it"))), namespace=draw(st.sampled_from(SPACES))
        )
    for source, target in sorted(pairs):
        edge = topology.edges.add(
            id=f"{source}>{target}",
            source=source,
            target=target,
            requests=draw(st.integers(0, 2)),
            encrypted=draw(st.booleans()),
        )
        setattr(edge, "class", draw(st.sampled_from(CLASSES)))
    for name in sorted(draw(st.sets(st.sampled_from(("alpha", "beta"))))):
        topology.hosts.add(name=name, stale=draw(st.booleans()), coverage=draw(st.sampled_from((0.5, 1.0))))
    return topology


@st.composite
def histories(draw: st.DrawFn) -> list[pb.Topology]:
    """Each differs a little from the one before, or in everything."""
    graphs = [draw(topologies())]
    for _ in range(draw(st.integers(0, 7))):
        graphs.append(draw(topologies()) if draw(st.integers(0, 4)) == 0 else _changed(draw, graphs[-1]))
    return graphs


def _changed(draw: st.DrawFn, before: pb.Topology) -> pb.Topology:
    graph = pb.Topology()
    graph.CopyFrom(before)
    if graph.nodes:
        node = draw(st.sampled_from(graph.nodes))
        node.namespace, node.name = draw(st.sampled_from(SPACES)), draw(st.sampled_from(("", "it")))
    if graph.edges:
        edge = draw(st.sampled_from(graph.edges))
        match draw(st.sampled_from(("class", "number", "gone"))):
            case "class":
                setattr(edge, "class", draw(st.sampled_from(CLASSES)))
            case "number":
                edge.requests += 1
            case _:
                graph.edges.remove(edge)
    return graph


def topology(*names: str, requests: int = 0) -> pb.Topology:
    nodes = [pb.Node(id=name) for name in names]
    edges = [pb.Edge(id=f"{name}>", source=name, target=name, requests=requests) for name in names]
    for edge in edges:
        setattr(edge, "class", pb.EDGE_CLASS_TRAFFIC)
    return pb.Topology(nodes=nodes, edges=edges)


def same(one: pb.Topology, other: pb.Topology) -> bool:
    """But for window and position, which are no part of the graph."""
    return all(
        sorted(map(_bytes, getattr(one, name))) == sorted(map(_bytes, getattr(other, name)))
        for name in ("nodes", "edges", "hosts")
    )


def _bytes(message: pb.Node | pb.Edge | pb.Host) -> bytes:
    return message.SerializeToString(deterministic=True)


class Reader:
    """What a reader holds that does as the contract says."""

    def __init__(self) -> None:
        self.nodes: dict[str, pb.Node] = {}
        self.edges: dict[str, pb.Edge] = {}
        self.hosts: dict[str, pb.Host] = {}
        self.position = pb.Position()
        self.restarts: list[str] = []
        self.bookmarks: list[pb.Bookmark] = []
        self.deltas = 0
        self.events: list[str] = []
        self.renames: list[tuple[str, str]] = []
        self._begins_anew = True

    def take(self, responses: Iterable[pb.WatchTopologyResponse]) -> None:
        for response in responses:
            self.position = response.position
            event = response.WhichOneof("event")
            if event == "snapshot":
                self._snapshot(response.snapshot)
            elif event == "delta":
                self.deltas += 1
                for change in response.delta.changes:
                    self._change(change)
            elif event == "bookmark":
                self.bookmarks.append(response.bookmark)
            else:
                self.restarts.append(response.restart.reason)

    @property
    def topology(self) -> pb.Topology:
        return pb.Topology(nodes=self.nodes.values(), edges=self.edges.values(), hosts=self.hosts.values())

    def _snapshot(self, snapshot: pb.SnapshotPart) -> None:
        if self._begins_anew:
            self.nodes, self.edges, self.hosts = {}, {}, {}
        self.nodes |= {node.id: node for node in snapshot.part.nodes}
        self.edges |= {edge.id: edge for edge in snapshot.part.edges}
        self.events += [event.id for event in snapshot.part.events]
        self.hosts |= {host.name: host for host in snapshot.part.hosts}
        self._begins_anew = snapshot.complete
        assert {end for edge in self.edges.values() for end in (edge.source, edge.target)} <= self.nodes.keys()

    def _change(self, change: pb.Change) -> None:
        gone = change.kind == pb.CHANGE_KIND_VANISHED
        if change.kind == pb.CHANGE_KIND_RENAMED:
            assert change.previous_id in self.nodes
            held = self.edges.values() if change.previous_id != change.node.id else ()
            assert change.previous_id not in {end for edge in held for end in (edge.source, edge.target)}
            self.renames.append((change.previous_id, change.node.id))
            del self.nodes[change.previous_id]
        if change.HasField("happened"):
            self.events.append(change.happened.id)
        elif change.HasField("node"):
            self.nodes.pop(change.node.id, None) if gone else self.nodes.update({change.node.id: change.node})
        elif change.HasField("edge"):
            assert gone or {change.edge.source, change.edge.target} <= self.nodes.keys()
            self.edges.pop(change.edge.id, None) if gone else self.edges.update({change.edge.id: change.edge})
        else:
            self.hosts.pop(change.host.name, None) if gone else self.hosts.update({change.host.name: change.host})
