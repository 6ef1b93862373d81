"""Whether the maps of one agent can be used by the programs of another: one word for all that must be equal. Pure.

A successor's programs go on with what the old ones have written: so every map must have the same form, and every
number in it the same meaning. The form is described by the compiler, the numbers are read from where they are declared.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

# To be raised when what the maps hold, or what an entry program hands to a parser, changes its meaning though not its
# form: then an agent of the other kind starts clean.
MEANING = 2

_ENUM = re.compile(r"\benum\s*\w*\s*\{[^}]*\}")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class MapForm(NamedTuple):
    """A map as the compiler describes it; `key` and `value` name every member with its type."""

    name: str
    kind: int
    flags: int
    most_entries: int
    key: str
    value: str


def fingerprint(forms: Iterable[MapForm], source: str, reasons: Iterable[str]) -> str:
    """Equal where the maps' contents mean the same. `reasons`: the names behind `losses`, in their order."""
    numbers = [" ".join(one.split()) for one in _ENUM.findall(_COMMENT.sub("", source))]
    everything = [MEANING, sorted(forms), sorted(numbers), list(reasons)]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:32]
