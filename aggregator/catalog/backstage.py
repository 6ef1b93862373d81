"""Backstage's YAML (backstage.io/v1alpha1 and v1beta1), read into neutral declarations. Pure: text in, values out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aggregator.catalog import rules, yamltree
from aggregator.catalog.model import (
    API,
    COMPONENT,
    DEFAULT_NAMESPACE,
    OBSERVED_ANNOTATION,
    RESOURCE,
    Entity,
    Place,
    Problem,
    Reference,
)
from aggregator.catalog.yamltree import BrokenYaml, Tree

_KINDS = (COMPONENT, RESOURCE, API)
# Relations as portals show them: written in a file they do nothing, and nobody says so.
_INEFFECTIVE = {
    "apiProvidedBy": "write spec.providesApis at the component that provides it",
    "apiConsumedBy": "write spec.consumesApis at the component that consumes it",
    "providesApi": "write spec.providesApis, a list",
    "consumesApi": "write spec.consumesApis, a list",
    "ownedBy": "write spec.owner",
    "partOf": "write spec.system",
    "hasPart": "write spec.system at the parts",
    "ownerOf": "write spec.owner at what is owned",
}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one text declares. `broken` are references whose entity stands there but cannot be read now.

    `is_broken`: the text stopped being YAML somewhere, so that what is missing may only be unreadable.
    """

    entities: tuple[Entity, ...]
    problems: tuple[Problem, ...]
    broken: frozenset[str] = frozenset()
    is_broken: bool = False


def parse(text: str, file: str) -> Parsed:
    """Documents of other formats are passed over in silence: a directory may hold anything."""
    reading = _Reading(file)
    is_broken = False
    try:
        for document in yamltree.documents(text):
            reading.document(document)
    except BrokenYaml as error:
        is_broken = True
        reading.problems.append(Problem(Place(file, error.line), file, str(error)))
    return Parsed(tuple(reading.entities), tuple(reading.problems), frozenset(reading.broken), is_broken)


class _Reading:
    """One file: what was found so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.entities: list[Entity] = []
        self.problems: list[Problem] = []
        self.broken: set[str] = set()

    def document(self, tree: Tree) -> None:
        root = _mapping(tree)
        if not _text(root.get("apiVersion")).startswith("backstage.io/"):
            return
        kind = _text(root.get("kind")).lower()
        metadata = _mapping(root.get("metadata"))
        name, namespace = _text(metadata.get("name")), _text(metadata.get("namespace")) or DEFAULT_NAMESPACE
        field, fault = _fault_of_names(kind, name, namespace)
        if fault:
            self._problem(metadata.get(field, tree), self._file, fault)
        elif kind in _KINDS:
            annotations = self._annotations(metadata.get("annotations"), f"{kind}:{namespace}/{name}".lower())
            if OBSERVED_ANNOTATION not in annotations:
                self._entity(kind, namespace, name, tree, annotations)

    def _entity(self, kind: str, namespace: str, name: str, tree: Tree, annotations: Mapping[str, str]) -> None:
        root = _mapping(tree)
        spec, metadata = root.get("spec"), _mapping(root.get("metadata"))
        ref = f"{kind}:{namespace}/{name}".lower()
        if not isinstance(spec, yamltree.Mapping):
            self.broken.add(ref)
            self._problem(spec or tree, ref, f"{ref} has no spec; give it one with type and owner.")
            return
        self._check_spec(kind, namespace, ref, tree, spec)
        fields = spec.items
        self.entities.append(
            Entity(
                kind,
                namespace,
                name,
                Place(self._file, metadata["name"].line),
                type=_text(fields.get("type")),
                lifecycle=_text(fields.get("lifecycle")),
                owner=_text(fields.get("owner")),
                title=_text(metadata.get("title")),
                annotations=annotations,
                depends_on=self._references(fields, "dependsOn", "", namespace, ref),
                dependency_of=self._references(fields, "dependencyOf", "", namespace, ref),
                provides_apis=self._references(fields, "providesApis", API, namespace, ref),
                consumes_apis=self._references(fields, "consumesApis", API, namespace, ref),
            )
        )

    def _check_spec(self, kind: str, namespace: str, ref: str, tree: Tree, spec: yamltree.Mapping) -> None:
        missing = [name for name in rules.REQUIRED[kind] if not _text(spec.items.get(name))]
        if missing:
            self._problem(spec, ref, f"{ref} lacks spec.{' and spec.'.join(missing)}, so portals refuse it; add it.")
        owner = _text(spec.items.get("owner"))
        if owner and not rules.complete(owner, "group", namespace):
            sentence = f"The owner {owner[:_SHOWN]!r} of {ref} is no reference; write group:namespace/name."
            self._problem(spec.items["owner"], ref, sentence)
        for name, remedy in _INEFFECTIVE.items():
            if name in spec.items:
                self._problem(spec.items[name], ref, f"spec.{name} of {ref} has no effect; {remedy}.")
        for key in (key for mapping in (tree, spec) for key in _repeated(mapping)):
            self._problem(key, ref, f"{key.value[:_SHOWN]} stands twice in {ref}; only the first one was read.")

    def _annotations(self, tree: Tree | None, subject: str) -> Mapping[str, str]:
        found = {}
        for key, value in _mapping(tree).items():
            if _text(value):
                found[key] = _text(value)
            else:
                self._problem(value, subject, f"The annotation {key[:_SHOWN]} of {subject} is no text; quote it.")
        return MappingProxyType(found)

    def _references(
        self, fields: Mapping[str, Tree], field: str, default_kind: str, namespace: str, subject: str
    ) -> tuple[Reference, ...]:
        tree = fields.get(field)
        if tree is None or _is_null(tree):
            return ()
        if not isinstance(tree, yamltree.Sequence):
            self._problem(tree, subject, f"spec.{field} of {subject} is no list; write it as one.")
            return ()
        return tuple(self._each_reference(tree.items, field, default_kind, namespace, subject))

    def _each_reference(
        self, items: Iterable[Tree], field: str, default_kind: str, namespace: str, subject: str
    ) -> Iterator[Reference]:
        for item in items:
            written = _text(item)
            target = rules.complete(written, default_kind, namespace)
            if target:
                yield Reference(target, Place(self._file, item.line))
            elif rules.complete(written, COMPONENT, namespace):
                sentence = (
                    f"The reference {written!r} in spec.{field} of {subject} has no kind and leads nowhere; "
                    f"write component:{written} or resource:{written}."
                )
                self._problem(item, subject, sentence)
            else:
                sentence = f"spec.{field} of {subject} holds no reference; write kind:namespace/name."
                self._problem(item, subject, sentence)

    def _problem(self, at: Tree, subject: str, sentence: str) -> None:
        self.problems.append(Problem(Place(self._file, at.line), subject, sentence))


_SHOWN = 80


def _fault_of_names(kind: str, name: str, namespace: str) -> tuple[str, str]:
    """The field of metadata at fault (empty: the entity as a whole) and the sentence; both empty when it is sound."""
    if not kind:
        return "", "This entity has no kind; write Component, Resource or API."
    if not rules.is_name(name):
        shown = f"The name {name[:_SHOWN]!r} is not allowed" if name else "This entity has no name that is text"
        return "name", f"{shown}; use up to 63 letters, digits, '-', '_' and '.', quoted where it looks like a number."
    if not rules.is_namespace(namespace):
        sentence = f"The namespace {namespace[:_SHOWN]!r} is not allowed; use small letters, digits and '-'."
        return "namespace", sentence
    return "", ""


def _mapping(tree: Tree | None) -> Mapping[str, Tree]:
    return tree.items if isinstance(tree, yamltree.Mapping) else {}


def _repeated(tree: Tree) -> list[yamltree.Scalar]:
    return tree.repeated if isinstance(tree, yamltree.Mapping) else []


def _text(tree: Tree | None) -> str:
    return tree.value.strip() if isinstance(tree, yamltree.Scalar) and tree.is_text else ""


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, yamltree.Scalar) and tree.is_null
