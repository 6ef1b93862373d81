"""What was seen and nobody declared: dependencies between entities, and third parties; or allowed: their vendors."""

from collections.abc import Iterator

from aggregator.insight.case import Case
from aggregator.insight.drift.finding import Finding, numbers
from aggregator.insight.drift.observation import Observation


def observed_only(case: Case, seen: Observation) -> Iterator[Finding]:
    declared = {(each.source, target) for each in case.declarations.dependencies for target in each.targets}
    for (source, target), edges in seen.calls.items():
        if (source, target) not in declared:
            entity = case.declarations.entities[source]
            evidence = {**numbers(edges), "place": str(entity.place), "owner": entity.owner or None}
            confidence = "low" if all(_is_ambiguous(case, edge.target) for edge in edges) else "high"
            yield Finding("observed_only", source, target, "medium", confidence, evidence)


def undeclared_third_party(case: Case, seen: Observation) -> Iterator[Finding]:
    """One a (client, third party), whatever is against it: `why` has all of it."""
    for (source, third_party), edges in seen.outside.items():
        node = case.nodes[third_party]
        vendor = case.vendor_of(node)
        entity = case.declarations.entities.get(source)
        why = []
        if entity and third_party not in case.join.entity_of:
            why.append("undeclared")
        if not case.vendors.is_allowed(vendor):
            why.append("vendor_not_allowed")
        if not why:
            continue
        evidence = {
            **numbers(edges),
            "why": why,
            "vendor": vendor.name if vendor else None,
            "category": vendor.category if vendor else None,
            "name_source": node.name_source or None,
            "ambiguous": node.ambiguous,
            "place": str(entity.place) if entity else None,
            "owner": entity.owner or None if entity else None,
        }
        confidence = "low" if node.ambiguous else "high"
        yield Finding("undeclared_third_party", source, third_party, "high", confidence, evidence)


def _is_ambiguous(case: Case, node_id: str) -> bool:
    node = case.nodes.get(node_id)
    return node is not None and node.ambiguous
