"""Declarations in one neutral form, whatever format they were written in.

A reference is `kind:namespace/name` in lower case: two spellings of one entity are one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

COMPONENT, RESOURCE, API = "component", "resource", "api"
DEFAULT_NAMESPACE = "default"
NODE_ANNOTATION = "plumbline.dev/node"
HOST_ANNOTATION = "plumbline.dev/host"
# Stands on what the portal feed wrote: an observation that comes back must not count as a declaration.
OBSERVED_ANNOTATION = "plumbline.dev/observed"
# Types of Component that are no process of their own.
NOT_RUNNING_TYPES = frozenset("library website documentation docs template tool cli sdk package".split())


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written. Lines count from 1; 0 is the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Reference:
    """One entity names another one. `target` is complete and in lower case."""

    target: str
    place: Place


@dataclass(frozen=True, slots=True)
class Entity:
    """One declared thing. Empty strings and tuples: not declared."""

    kind: str
    namespace: str
    name: str
    place: Place
    type: str = ""
    lifecycle: str = ""
    owner: str = ""
    title: str = ""
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    depends_on: tuple[Reference, ...] = ()
    dependency_of: tuple[Reference, ...] = ()
    provides_apis: tuple[Reference, ...] = ()
    consumes_apis: tuple[Reference, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.kind}:{self.namespace}/{self.name}".lower()

    @property
    def runs(self) -> bool:
        """Whether something is expected to run under its name."""
        return self.kind == COMPONENT and self.type.lower() not in NOT_RUNNING_TYPES

    def annotated(self, key: str) -> tuple[str, ...]:
        """The values of an annotation that may list several, separated by commas."""
        return tuple(part.strip() for part in self.annotations.get(key, "").split(",") if part.strip())


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the declarations that cannot be used as written: one sentence, with the remedy."""

    place: Place
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """`source` was declared to depend on at least one of `targets` (several: all providers of one API)."""

    source: str
    targets: tuple[str, ...]
    place: Place
    api: str = ""


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything declared, keyed by reference, and what was wrong with the writing of it."""

    entities: Mapping[str, Entity] = field(default_factory=lambda: MappingProxyType({}))
    dependencies: tuple[Dependency, ...] = ()
    problems: tuple[Problem, ...] = ()
    # False: nobody said where declarations are, which is not the same as an empty catalog.
    configured: bool = False
