"""From entities to declared dependencies: what refers to what, and which references lead nowhere. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from aggregator.catalog.cycles import cycles
from aggregator.catalog.model import API, COMPONENT, RESOURCE, Declarations, Dependency, Entity, Problem, Reference


def link(entities: Iterable[Entity], problems: Iterable[Problem] = ()) -> Declarations:
    """Declarations of `entities` in their order: of two with one reference the first one counts."""
    found = list(problems)
    known: dict[str, Entity] = {}
    for entity in entities:
        first = known.setdefault(entity.ref, entity)
        if first is not entity:
            sentence = f"{entity.ref} is already declared at {first.place}; keep one of them."
            found.append(Problem(entity.place, entity.ref, sentence))
    dependencies = list(_dependencies(known, found))
    found.extend(_circular(known, dependencies))
    found.sort(key=lambda problem: problem.place)
    return Declarations(MappingProxyType(known), tuple(dependencies), tuple(found), configured=True)


def _dependencies(known: Mapping[str, Entity], problems: list[Problem]) -> Iterator[Dependency]:
    providers: dict[str, list[str]] = defaultdict(list)
    for entity in known.values():
        for api in entity.provides_apis:
            providers[api.target].append(entity.ref)
            if api.target not in known:
                problems.append(_dangling(entity, api))
    for entity in known.values():
        for reference in entity.depends_on:
            yield from _depends_on(entity, reference, known, providers, problems)
        for reference in entity.dependency_of:
            if reference.target in known:
                yield Dependency(reference.target, (entity.ref,), reference.place)
            else:
                problems.append(_dangling(entity, reference))
        for reference in entity.consumes_apis:
            yield from _consumes(entity, reference, known, providers, problems)


def _depends_on(
    entity: Entity,
    reference: Reference,
    known: Mapping[str, Entity],
    providers: Mapping[str, list[str]],
    problems: list[Problem],
) -> Iterator[Dependency]:
    kind = reference.target.partition(":")[0]
    if kind == API:
        yield from _consumes(entity, reference, known, providers, problems)
    elif kind not in (COMPONENT, RESOURCE):
        problems.append(
            Problem(
                reference.place,
                entity.ref,
                f"{entity.ref} depends on {reference.target}, and no traffic can show that; "
                "depend on a component, a resource or an API.",
            )
        )
    elif reference.target in known:
        yield Dependency(entity.ref, (reference.target,), reference.place)
    else:
        problems.append(_dangling(entity, reference))


def _consumes(
    entity: Entity,
    api: Reference,
    known: Mapping[str, Entity],
    providers: Mapping[str, list[str]],
    problems: list[Problem],
) -> Iterator[Dependency]:
    if api.target not in known:
        problems.append(_dangling(entity, api))
    by = tuple(ref for ref in providers.get(api.target, ()) if ref != entity.ref)
    if by:
        yield Dependency(entity.ref, by, api.place, api.target)
    elif api.target in known:
        problems.append(
            Problem(
                api.place,
                entity.ref,
                f"{entity.ref} consumes {api.target}, which no other component provides; "
                "add it to spec.providesApis of the component that does.",
            )
        )


def _dangling(entity: Entity, reference: Reference) -> Problem:
    return Problem(
        reference.place,
        entity.ref,
        f"{entity.ref} refers to {reference.target}, which is not declared; declare it or correct the reference.",
    )


def _circular(known: Mapping[str, Entity], dependencies: Iterable[Dependency]) -> Iterator[Problem]:
    graph: dict[str, list[str]] = {ref: [] for ref in known}
    for dependency in dependencies:
        graph[dependency.source].extend(dependency.targets)
    for ring in cycles(graph):
        first = min(ring, key=lambda ref: known[ref].place)
        names = ", ".join(sorted(ring)[:_NAMED_IN_A_RING]) + (", ..." if len(ring) > _NAMED_IN_A_RING else "")
        yield Problem(
            known[first].place, first, f"Declared dependencies go round in a circle: {names}; remove one of them."
        )


_NAMED_IN_A_RING = 10
