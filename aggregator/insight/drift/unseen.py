"""Declared dependencies that were not seen, and when it is too early or too dark to say so."""

from collections.abc import Iterator, Sequence

from plumbline.v1.topology_pb2 import NODE_KIND_EXTERNAL, NODE_KIND_UNRESOLVED, Edge, Node

from aggregator.catalog.model import API, COMPONENT, Dependency
from aggregator.insight.case import Case
from aggregator.insight.drift.finding import (
    ENOUGH_COVERAGE,
    ENOUGH_SECONDS,
    ENOUGH_WATCHED_SHARE,
    GOOD_COVERAGE,
    GOOD_SECONDS,
    Finding,
    Withheld,
    lowest,
    numbers,
)
from aggregator.insight.drift.observation import Observation
from aggregator.insight.edges import DNS, OUTSIDE_KINDS
from aggregator.insight.joining import declared_hosts
from aggregator.insight.watched import HostWatch

KIND = "not_observed"


def not_observed(case: Case, seen: Observation) -> Iterator[Finding | Withheld]:
    """One a (source, targets): a dependency that is declared at both ends is one."""
    said: set[tuple[str, tuple[str, ...]]] = set()
    for dependency in case.declarations.dependencies:
        source, targets = dependency.source, dependency.targets
        if (source, targets) in said or source not in case.join.nodes_of:
            continue
        said.add((source, targets))
        is_seen = any((source, target) in seen.calls or (source, target) in seen.lookups for target in targets)
        if not is_seen and not all(_makes_no_traffic(case, target) for target in targets):
            yield _judged(case, dependency)


def _judged(case: Case, dependency: Dependency) -> Finding | Withheld:
    subject, targets = dependency.source, dependency.targets
    wanted = targets[0] if len(targets) == 1 else dependency.api
    nodes = [case.nodes[node_id] for node_id in case.join.nodes_of[subject]]
    edges = [edge for node in nodes for edge in case.edges_of.get(node.id, ())]
    hosts = [host for node in nodes for host in case.watch.hosts_of(node)]
    seconds = case.watch.seconds_of(nodes)
    is_outside = not any(target in case.join.nodes_of for target in targets)
    reason = _cannot_be_seen(case, dependency) or _not_enough(hosts, edges, seconds, is_outside)
    if reason:
        return Withheld(KIND, subject, wanted, reason)
    doubts = list(_doubts(case, hosts, edges, seconds, is_outside))
    evidence = {
        "edges": [],
        "of_subject": {key: value for key, value in numbers(edges).items() if key not in ("edges", "edge_count")},
        "watched_seconds": round(seconds, 3),
        "watched_share": round(min(host.share for host in hosts), 4),
        "coverage": round(min(host.coverage for host in hosts), 4),
        "doubts": [doubt for _, doubt in doubts],
        "place": str(dependency.place),
        "api": dependency.api or None,
        "owner": case.declarations.entities[subject].owner or None,
    }
    return Finding(KIND, subject, wanted, "low", lowest([level for level, _ in doubts]), evidence)


def _cannot_be_seen(case: Case, dependency: Dependency) -> str:
    """Why no traffic could show this dependency, whatever was watched; empty when it could."""
    entities = case.declarations.entities
    if all(case.nodes[node_id].kind in OUTSIDE_KINDS for node_id in case.join.nodes_of[dependency.source]):
        return f"{dependency.source} is outside, where nobody sees what it calls"
    if dependency.api in entities and entities[dependency.api].type.lower() == "asyncapi":
        return f"{dependency.api} is asynchronous: it goes through a broker, so its two ends never meet"
    if any(target in case.join.nodes_of or declared_hosts(entities[target]) for target in dependency.targets):
        return ""
    target = entities[dependency.targets[0]]
    if target.kind == COMPONENT:
        return f"{target.ref} has no workload here, which is a finding of its own"
    return f"nothing tells which node or outside host {target.ref} is; annotate it with plumbline.dev/node or /host"


def _not_enough(hosts: Sequence[HostWatch], edges: Sequence[Edge], seconds: float, is_outside: bool) -> str:
    """Why too little was seen to say anything; empty when it was enough."""
    dark = min(hosts, key=lambda host: host.share, default=None)
    if dark is None:
        return "no host was watched"
    if dark.share < ENOUGH_WATCHED_SHARE:
        return f"{dark.name} was watched for {dark.share:.0%} of the window only"
    if seconds < ENOUGH_SECONDS:
        return f"it has been in view for {seconds:.0f} s only"
    if not edges:
        return "it made no calls and got none in the window"
    coverage = min(host.coverage for host in hosts)
    if is_outside and coverage < ENOUGH_COVERAGE:
        return f"only {coverage:.0%} of the traffic was understood, and outside names come from it"
    return ""


def _doubts(
    case: Case, hosts: Sequence[HostWatch], edges: Sequence[Edge], seconds: float, is_outside: bool
) -> Iterator[tuple[str, str]]:
    """What lowers confidence: (to which level, why)."""
    for host in hosts:
        if host.share < 1:
            yield "low", f"{host.name} was watched for {host.share:.0%} of the window"
    if seconds < GOOD_SECONDS:
        yield "low", f"in view for {seconds:.0f} s"
    coverage = min(host.coverage for host in hosts)
    if coverage < GOOD_COVERAGE:
        level = "low" if coverage < ENOUGH_COVERAGE else "medium"
        yield level, f"{coverage:.0%} of the traffic was understood"
    nameless = sum(_is_nameless(case.nodes.get(edge.target), is_outside) for edge in edges if edge.protocol != DNS)
    if nameless:
        yield "low", f"{nameless} of its edges lead to what has no certain name"


def _is_nameless(node: Node | None, is_outside: bool) -> bool:
    if node is None:
        return False
    return node.ambiguous or node.kind == NODE_KIND_EXTERNAL if is_outside else node.kind == NODE_KIND_UNRESOLVED


def _makes_no_traffic(case: Case, ref: str) -> bool:
    entity = case.declarations.entities[ref]
    return entity.kind == API or (entity.kind == COMPONENT and not entity.runs)
