"""A part of a snapshot, as a reader asked for it. Pure."""

from plumbline.v1 import topology_pb2 as pb


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


def _only_background(topology: pb.Topology, traffic: list[pb.Edge]) -> set[str]:
    """Nodes that take part in probes, scrapes or Plumbline's own traffic, and in nothing else."""
    used = {end for edge in traffic for end in (edge.source, edge.target)}
    return {end for edge in topology.edges for end in (edge.source, edge.target)} - used


def _is_wanted(node: pb.Node, wanted: pb.Filter) -> bool:
    return (not wanted.namespace or node.namespace == wanted.namespace) and (not wanted.node or node.id == wanted.node)
