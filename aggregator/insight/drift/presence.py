"""What runs without a declaration, and what is declared without running."""

from collections.abc import Iterator, Sequence

from plumbline.v1.topology_pb2 import NODE_KIND_PROCESS, Edge, Node

from aggregator.insight.case import Case
from aggregator.insight.drift.finding import (
    ENOUGH_SECONDS,
    ENOUGH_WATCHED_SHARE,
    GOOD_SECONDS,
    Finding,
    Withheld,
    numbers,
)
from aggregator.insight.drift.observation import Observation
from aggregator.insight.edges import DNS, DNS_PORT, RUNNING_KINDS, is_our_own


def workload_without_component(case: Case, _: Observation) -> Iterator[Finding]:
    ours = _ours(case)
    for node in case.topology.nodes:
        if node.id in ours or node.id in case.join.entity_of:
            continue
        edges = case.edges_of.get(node.id, ())
        if _is_deployed(node, edges):
            evidence = {**numbers(edges), "listens": list(node.listens)}
            severity = "low" if node.kind == NODE_KIND_PROCESS or not edges else "medium"
            yield Finding("workload_without_component", node.id, None, severity, "high", evidence)


def component_without_workload(case: Case, _: Observation) -> Iterator[Finding | Withheld]:
    missing = [
        entity
        for entity in case.declarations.entities.values()
        if entity.runs and entity.ref not in case.join.nodes_of and entity.ref not in case.join.undecided
    ]
    reason = _cannot_tell(case)
    confidence = "high" if case.watch.share == 1 and _watched_seconds(case) >= GOOD_SECONDS else "low"
    for entity in missing:
        if reason:
            yield Withheld("component_without_workload", entity.ref, None, reason)
            continue
        evidence = {"hosts": sorted(case.watch.hosts), "place": str(entity.place), "owner": entity.owner or None}
        yield Finding("component_without_workload", entity.ref, None, "medium", confidence, evidence)


def _cannot_tell(case: Case) -> str:
    """Why the absence of a workload means nothing yet; empty when it means something."""
    if case.watch.share < ENOUGH_WATCHED_SHARE:
        return f"only {case.watch.share:.0%} of the window was watched, and it may run where nobody looked"
    seconds = _watched_seconds(case)
    return f"the hosts have been in view for {seconds:.0f} s only" if seconds < ENOUGH_SECONDS else ""


def _watched_seconds(case: Case) -> float:
    return case.watch.seconds_of(case.topology.nodes)


def _ours(case: Case) -> set[str]:
    """Plumbline's own nodes. What only reads from it (a portal), or is asked by it (a cluster's API), does other things
    as well, and is none of them."""
    ends = {end for edge in case.topology.edges if is_our_own(edge) for end in (edge.source, edge.target)}
    return {end for end in ends if not _calls(case.edges_of.get(end, ()))}


def _is_deployed(node: Node, edges: Sequence[Edge]) -> bool:
    """Whether somebody set it up to stay: it serves, or calls and is no mere process. Resolvers are no news."""
    if node.kind not in RUNNING_KINDS:
        return False
    if any(port != DNS_PORT for port in node.listens):
        return True
    return any(node.kind != NODE_KIND_PROCESS or edge.target == node.id for edge in _calls(edges))


def _calls(edges: Sequence[Edge]) -> list[Edge]:
    return [edge for edge in edges if edge.protocol != DNS]
