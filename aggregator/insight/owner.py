"""Whose a node is: what the catalog declares under its name."""

from aggregator.catalog.model import Entity
from aggregator.insight.case import Answer, Case, Json


def owner(case: Case, subject: str) -> Answer:
    """`owner` is null where nobody declared one. Raises CannotAnswer when nothing of that name was seen."""
    node = case.find(subject)
    ref = case.join.entity_of.get(node.id)
    entities = [] if ref is None else [_row(case.declarations.entities[ref])]
    reason = None if entities else "Nobody declared it." if case.declarations.configured else "There is no catalog."
    return case.answer({"node": node.id, "owner": case.owners.get(node.id), "entities": entities, "reason": reason})


def _row(entity: Entity) -> Json:
    return {
        "id": entity.ref,
        "owner": entity.owner or None,
        "type": entity.type or None,
        "lifecycle": entity.lifecycle or None,
        "place": str(entity.place),
    }
