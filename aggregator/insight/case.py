"""Everything a question may look at, assembled in one place: what was seen, and what was declared.

Pure: a Case is frozen and made of values only, so that an answer can be had again from the same Case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import Edge, Host, Node, Topology

from aggregator.catalog.model import Declarations

Json = dict[str, Any]


class Verdict(Enum):
    """What the command's exit status says; the names of insight.proto's Verdict."""

    DONE = 1
    CHECK_FAILED = 2
    NOT_ENOUGH_SEEN = 3


class CannotAnswer(Exception):
    """A question that has no answer as asked; its text is one sentence with the remedy."""


@dataclass(frozen=True)
class Case:
    """What was seen in one window (background edges included) and what is declared."""

    topology: Topology
    declarations: Declarations = field(default_factory=Declarations)


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON as docs/json.md describes it; `window` and `coverage` are always in it."""

    content: Json
    verdict: Verdict = Verdict.DONE
