"""The declarations of the sources that `--catalog` names, kept current and never worse than they were."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from aggregator.catalog import backstage, sources
from aggregator.catalog.linking import link
from aggregator.catalog.model import Declarations, Entity, Place, Problem
from aggregator.catalog.sources import Unreadable

URL_INTERVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one look at the sources brought. Each problem appears once, until it is solved."""

    changed: bool
    appeared: tuple[Problem, ...]
    solved: tuple[Problem, ...]


@dataclass(slots=True)
class _Document:
    """One file or URL: what it last declared well, and what is wrong with it now."""

    signature: object = None
    entities: tuple[Entity, ...] = ()
    problems: tuple[Problem, ...] = ()
    etag: str = ""


@dataclass(slots=True)
class _Source:
    """What one --catalog leads to, in order. `problem`: it cannot be looked at, so `documents` are the last ones."""

    name: str
    documents: dict[str, _Document] = field(default_factory=dict)
    problem: Problem | None = None
    next_fetch_seconds: float = 0.0


class Catalog:
    """`refresh` does blocking I/O (files, URLs): call it from a thread, one call at a time."""

    def __init__(self, names: Sequence[str], monotonic_seconds: Callable[[], float] = time.monotonic) -> None:
        self._sources = [_Source(name) for name in names]
        self._monotonic_seconds = monotonic_seconds
        self.declarations = Declarations(configured=bool(names))

    def refresh(self) -> Refreshed:
        """Looks at every source; what changed is read again, and `declarations` replaced as a whole."""
        before = self._state()
        seen: set[str] = set()
        for source in self._sources:
            if sources.is_url(source.name):
                self._refresh_url(source)
            else:
                _refresh_path(source, seen)
        if self._state() == before:
            return Refreshed(False, (), ())
        return self._replace()

    def _replace(self) -> Refreshed:
        old = self.declarations
        entities = [entity for document in self._documents() for entity in document.entities]
        problems = [problem for document in self._documents() for problem in document.problems]
        problems.extend(source.problem for source in self._sources if source.problem)
        new = link(entities, problems)
        if self._sources:
            self.declarations = new
        appeared = tuple(problem for problem in new.problems if problem not in set(old.problems))
        solved = tuple(problem for problem in old.problems if problem not in set(new.problems))
        return Refreshed(True, appeared, solved)

    def _documents(self) -> Iterator[_Document]:
        for source in self._sources:
            yield from source.documents.values()

    def _state(self) -> list[object]:
        found: list[object] = [source.problem for source in self._sources]
        return found + [(document.entities, document.problems) for document in self._documents()]

    def _refresh_url(self, source: _Source) -> None:
        if self._monotonic_seconds() < source.next_fetch_seconds:
            return
        source.next_fetch_seconds = self._monotonic_seconds() + URL_INTERVAL_SECONDS
        document = source.documents.setdefault(source.name, _Document())
        try:
            fetched = sources.fetch(source.name, document.etag)
        except Unreadable as error:
            source.problem = Problem(Place(source.name), source.name, str(error))
            return
        source.problem = None
        if fetched is not None:
            document.etag = fetched.etag
            _read(document, source.name, fetched.text, is_named=True)


def _refresh_path(source: _Source, seen: set[str]) -> None:
    try:
        files = sources.find_files(source.name)
    except Unreadable as error:
        source.problem = Problem(Place(source.name), source.name, str(error))
        return
    source.problem = None
    documents: dict[str, _Document] = {}
    for file in files:
        if file.identity in seen:
            continue
        seen.add(file.identity)
        document = documents[file.path] = source.documents.get(file.path, _Document())
        if document.signature == file.signature:
            continue
        document.signature = file.signature
        try:
            _read(document, file.path, sources.read_file(file.path), is_named=file.path == source.name)
        except Unreadable as error:
            document.problems = (Problem(Place(file.path), file.path, str(error)),)
    source.documents = documents


def _read(document: _Document, name: str, text: str, is_named: bool) -> None:
    """Takes what the text declares; broken text changes nothing, a broken entity stays as it was last."""
    parsed = backstage.parse(text, name)
    declared = {entity.ref for entity in parsed.entities}
    if not parsed.is_broken or not document.entities:
        kept = (entity for entity in document.entities if entity.ref in parsed.broken - declared)
        document.entities = (*parsed.entities, *kept)
    document.problems = parsed.problems
    if is_named and not parsed.problems and not parsed.entities:
        sentence = (
            f"{name} holds no Component, Resource or API of backstage.io; "
            "name a file that does, or a directory (a Location is not followed)."
        )
        document.problems = (Problem(Place(name), name, sentence),)
