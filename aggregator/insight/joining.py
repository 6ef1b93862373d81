"""Which declared entity a node is: by the entity's own annotation, then by name. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from plumbline.v1.topology_pb2 import Node

from aggregator.catalog.model import (
    COMPONENT,
    DEFAULT_NAMESPACE,
    HOST_ANNOTATION,
    NODE_ANNOTATION,
    RESOURCE,
    Declarations,
    Entity,
    Problem,
)
from aggregator.insight.edges import INSIDE_KINDS, OUTSIDE_KINDS


@dataclass(frozen=True, slots=True)
class Join:
    """A node is at most one entity; an entity may be several nodes (one unit on many hosts).

    `undecided` are entities that some node may be, were it not that others fit it as well.
    """

    entity_of: Mapping[str, str]
    nodes_of: Mapping[str, tuple[str, ...]]
    undecided: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


def join(nodes: Iterable[Node], declarations: Declarations) -> Join:
    names = _Names(declarations.entities.values())
    entity_of: dict[str, str] = {}
    nodes_of: dict[str, list[str]] = defaultdict(list)
    undecided: set[str] = set()
    problems: dict[Problem, None] = {}
    for node in nodes:
        candidates = names.candidates(node)
        if not candidates:
            continue
        first = candidates[0]
        if len(candidates) > 1:
            others = ", ".join(entity.ref for entity in candidates[1:4])
            sentence = (
                f"{node.id} may be {first.ref} or {others}; "
                f"say which with the annotation {NODE_ANNOTATION} or {HOST_ANNOTATION} on that one alone."
            )
            problems[Problem(first.place, first.ref, sentence)] = None
            undecided.update(entity.ref for entity in candidates)
            continue
        entity_of[node.id] = first.ref
        nodes_of[first.ref].append(node.id)
    joined = {ref: tuple(ids) for ref, ids in nodes_of.items()}
    return Join(entity_of, joined, frozenset(undecided), tuple(problems))


def host_name(text: str) -> str:
    """A DNS name as names are compared: lower case, no final dot."""
    return text.strip().rstrip(".").lower()


def declared_hosts(entity: Entity) -> tuple[str, ...]:
    """The outside names or addresses that an entity stands for: as annotated, else its name if it is a DNS name."""
    annotated = tuple(host_name(host) for host in entity.annotated(HOST_ANNOTATION))
    return annotated or ((host_name(entity.name),) if "." in entity.name else ())


class _Names:
    """Entities by everything that may name a node."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._by_id: dict[str, list[Entity]] = defaultdict(list)
        self._by_host: dict[str, list[Entity]] = defaultdict(list)
        self._by_name: dict[str, list[Entity]] = defaultdict(list)
        for entity in entities:
            if entity.kind not in (COMPONENT, RESOURCE):
                continue
            for node_id in entity.annotated(NODE_ANNOTATION):
                self._by_id[node_id.lower()].append(entity)
            for host in declared_hosts(entity):
                self._by_host[host].append(entity)
            # What says by annotation which node or host it is, is not looked for by name.
            if not (entity.annotated(NODE_ANNOTATION) or entity.annotated(HOST_ANNOTATION)):
                self._by_name[entity.name.lower()].append(entity)

    def candidates(self, node: Node) -> Sequence[Entity]:
        """The best entities for a node: one is the answer, several are a question."""
        by_id = self._by_id.get(node.id.lower(), [])
        if by_id:
            return by_id
        if node.kind in OUTSIDE_KINDS:
            return _narrowed(self._by_host.get(host_name(node.name or node.id), []), _preferring(RESOURCE))
        if node.kind not in INSIDE_KINDS:
            return []
        named = self._by_name.get(node.name.lower().removesuffix(".service"), [])
        named = [entity for entity in named if _may_lie_in(entity, node.namespace)]
        return _narrowed(named, _preferring(COMPONENT), lambda entity: entity.namespace == node.namespace, _is_default)


def _may_lie_in(entity: Entity, namespace: str) -> bool:
    return not namespace or entity.namespace in (namespace, DEFAULT_NAMESPACE)


def _is_default(entity: Entity) -> bool:
    return entity.namespace == DEFAULT_NAMESPACE


def _preferring(kind: str) -> Callable[[Entity], bool]:
    return lambda entity: entity.kind == kind


def _narrowed(entities: Sequence[Entity], *preferences: Callable[[Entity], bool]) -> Sequence[Entity]:
    """Each preference in turn leaves those that meet it, where any does."""
    for preferred in preferences:
        entities = [entity for entity in entities if preferred(entity)] or entities
    return entities
