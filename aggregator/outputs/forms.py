"""What a form of the graph is, for those who write one (a file here) and those who serve it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from aggregator.insight.case import Case


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is served: `etag` (without quotes) changes when, and only when, `content` does.

    `left_out`: a sentence for each thing that could not be said in this form, for the log and a metric.
    `replaces`: etags of the contents whose place it may take, None: of any; who holds another one keeps that for now.
    """

    media_type: str
    content: bytes
    etag: str
    left_out: tuple[str, ...] = ()
    replaces: frozenset[str] | None = None


class NothingToServe(Exception):
    """Nothing was ever seen: an empty document would delete what others hold. One sentence (HTTP 503)."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`default_owner`: the group that owns a third party which nobody declared."""

    default_owner: str = "unknown"


# May raise NothingToServe, and may remember what it served last.
Export: TypeAlias = Callable[[Case], Rendered]
