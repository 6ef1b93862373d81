"""What runs without a declaration, and what is declared without running."""

from collections import defaultdict
from collections.abc import Iterator

from plumbline.v1.topology_pb2 import EDGE_CLASS_SELF, NODE_KIND_PROCESS, Edge, Node

from aggregator.catalog.model import COMPONENT
from aggregator.insight.case import Case
from aggregator.insight.edges import DNS, DNS_PORT, RUNNING_KINDS
from aggregator.insight.findings import Finding, Withheld, numbers
from aggregator.insight.observed import Observation

# Types of Component that are no process of their own.
NOT_RUNNING_TYPES = frozenset({"library", "website", "documentation", "docs", "template", "tool", "cli", "sdk", "package"})


def workload_without_component(case: Case, _: Observation) -> Iterator[Finding]:
    edges_of: dict[str, list[Edge]] = defaultdict(list)
    for edge in case.traffic:
        for end in {edge.source, edge.target}:
            edges_of[end].append(edge)
    ours = {end for edge in case.topology.edges if getattr(edge, "class") == EDGE_CLASS_SELF for end in _ends(edge)}
    for node in case.topology.nodes:
        edges = edges_of.get(node.id, [])
        if node.id not in ours and node.id not in case.join.entity_of and _is_deployed(node, edges):
            evidence = {**numbers(edges), "listens": list(node.listens)}
            severity = "low" if node.kind == NODE_KIND_PROCESS or not edges else "medium"
            yield Finding("workload_without_component", node.id, None, severity, "high", evidence)


def component_without_workload(case: Case, _: Observation) -> Iterator[Finding | Withheld]:
    share = case.watch.share
    for entity in case.declarations.entities.values():
        if entity.kind != COMPONENT or entity.type.lower() in NOT_RUNNING_TYPES or entity.ref in case.join.nodes_of:
            continue
        if any(entity.ref in problem.sentence for problem in case.join.problems):
            continue
        if share < _ENOUGH_WATCHED:
            reason = f"only {share:.0%} of the window was watched, and it may run where nobody looked"
            yield Withheld("component_without_workload", entity.ref, None, reason)
            continue
        evidence = {"hosts": sorted(case.watch.hosts), "place": str(entity.place), "owner": entity.owner or None}
        confidence = "high" if share == 1 else "low"
        yield Finding("component_without_workload", entity.ref, None, "medium", confidence, evidence)


_ENOUGH_WATCHED = 0.5


def _ends(edge: Edge) -> tuple[str, str]:
    return edge.source, edge.target


def _is_deployed(node: Node, edges: list[Edge]) -> bool:
    """Whether somebody set it up to stay: it serves, or is a unit, workload or pod that calls. Resolvers are the floor."""
    if node.kind not in RUNNING_KINDS:
        return False
    if any(port != DNS_PORT for port in node.listens):
        return True
    calls = [edge for edge in edges if edge.protocol != DNS]
    return any(node.kind != NODE_KIND_PROCESS or edge.target == node.id for edge in calls)
