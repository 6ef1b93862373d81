"""One state of the graph, never changed. What is as in the state before is the same message, not an equal one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Beside:
    """What the cluster's API tells beside the graph: which parts of what it tells are not of now, what is deployed, and
    what happened, the latter two by their ids. `named`: workloads of pods that got a name of late, by their uids.
    `pressures`: of machines that are short of something."""

    stale: Sequence[pb.StaleSource] = ()
    workloads: Mapping[str, pb.Workload] = field(default_factory=dict)
    events: Mapping[str, pb.Event] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    pressures: Sequence[pb.Pressure] = ()

    def fill(self, topology: pb.Topology) -> None:
        topology.stale.extend(self.stale)
        topology.workloads.extend(self.workloads[one] for one in sorted(self.workloads))
        topology.events.extend(self.events.values())
        topology.pressures.extend(self.pressures)


NOTHING: Final = Beside()


class Graph:
    """Nodes and edges by id, hosts by name; background edges included.

    Who makes the next one copies the tables, not what is in them: telling the two apart is then a walk over ids.
    """

    __slots__ = ("_message", "_traffic", "beside", "cluster", "edges", "hosts", "nodes", "position", "window")

    def __init__(
        self,
        cluster: str,
        window: pb.TimeWindow,
        nodes: Mapping[str, pb.Node],
        edges: Mapping[str, pb.Edge],
        hosts: Mapping[str, pb.Host],
        position: pb.Position | None = None,
        traffic: Traffic | None = None,
        beside: Beside = NOTHING,
    ) -> None:
        self.cluster = cluster
        self.window = window
        self.nodes = nodes
        self.edges = edges
        self.hosts = hosts
        self.position = position
        self.beside = beside
        self._message: pb.Topology | None = None
        self._traffic = traffic

    @classmethod
    def of(cls, topology: pb.Topology) -> "Graph":
        return cls(
            topology.cluster,
            topology.window,
            {node.id: node for node in topology.nodes},
            {edge.id: edge for edge in topology.edges},
            {host.name: host for host in topology.hosts},
            topology.position,
            beside=Beside(
                tuple(topology.stale),
                {one.id: one for one in topology.workloads},
                {one.id: one for one in topology.events},
                pressures=tuple(topology.pressures),
            ),
        )

    def at(self, epoch: str, version: int) -> "Graph":
        """The same with its position."""
        position = pb.Position(epoch=epoch, version=version)
        return self._with(position=position)

    def with_hosts(self, hosts: Mapping[str, pb.Host]) -> "Graph":
        return self._with(hosts=hosts)

    def with_beside(self, beside: Beside) -> "Graph":
        return self._with(beside=beside)

    def _with(self, **others: Any) -> "Graph":
        own = {"hosts": self.hosts, "position": self.position, "traffic": self._traffic, "beside": self.beside}
        return Graph(self.cluster, self.window, self.nodes, self.edges, **{**own, **others})

    @property
    def traffic(self) -> Traffic:
        """Made when it is first asked for."""
        if self._traffic is None:
            self._traffic = Traffic.of(self.edges)
        return self._traffic

    @property
    def message(self) -> pb.Topology:
        """In order of ids. Made when it is first asked for: all of it is copied."""
        if self._message is None:
            made = pb.Topology(cluster=self.cluster, window=self.window, position=self.position)
            made.nodes.extend(self.nodes[one] for one in sorted(self.nodes))
            made.edges.extend(self.edges[one] for one in sorted(self.edges))
            made.hosts.extend(self.hosts[one] for one in sorted(self.hosts))
            self.beside.fill(made)
            self._message = made
        return self._message
