"""The declarations of the sources that `--catalog` names, kept current and never worse than they were."""

from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.catalog.model import Declarations, Problem


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one look at the sources brought. `appeared` problems are for the log, once each."""

    changed: bool
    appeared: tuple[Problem, ...]
    solved: tuple[Problem, ...]


class Catalog:
    """`refresh` does blocking I/O (files, URLs): call it from a thread, one call at a time."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = tuple(sources)
        self.declarations = Declarations(configured=bool(sources))

    def refresh(self) -> Refreshed:
        raise NotImplementedError
