"""The traffic of one Case lifted from nodes to what declared them. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Edge

from aggregator.insight.case import Case
from aggregator.insight.edges import DNS


@dataclass(frozen=True, slots=True)
class Observation:
    """Edges between declared entities, by (client, server) reference. `outside` are all calls to third parties, by
    (client's reference, or its node where nobody declared it, third party's node).

    `lookups` are DNS queries: they show that a declared dependency is used, and never that one is missing.
    """

    calls: Mapping[tuple[str, str], list[Edge]]
    lookups: Mapping[tuple[str, str], list[Edge]]
    outside: Mapping[tuple[str, str], list[Edge]]


def observe(case: Case) -> Observation:
    calls: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    lookups: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    outside: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    entity_of = case.join.entity_of
    for edge in case.traffic:
        source, target = entity_of.get(edge.source), entity_of.get(edge.target)
        if source is not None and source == target:
            continue
        if edge.protocol != DNS and _is_third_party(case, edge.target) and not case.is_passed_on(edge):
            outside[source or edge.source, edge.target].append(edge)
        if source is not None and target is not None:
            (lookups if edge.protocol == DNS else calls)[source, target].append(edge)
    return Observation(calls, lookups, outside)


def _is_third_party(case: Case, node_id: str) -> bool:
    node = case.nodes.get(node_id)
    return node is not None and node.kind == NODE_KIND_THIRD_PARTY
