"""Whether the maps of one agent can be used by the programs of another: one word for all that must be equal. Pure.

A successor's programs go on with what the old ones have written: so every map must have the same form, and every
number in it the same meaning. The form is described by the compiler, the numbers are read from where they are declared.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

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


def dtype_of(shape: Any) -> np.dtype[Any]:
    """From the compiler's description. Structs have C's alignment: BCC's own layout is C's."""
    dtype: np.dtype[Any] = np.dtype(_fields(shape), align=isinstance(shape, list))
    return dtype


def _fields(shape: Any) -> Any:
    if not isinstance(shape, list):
        return shape
    fields: list[tuple[Any, ...]] = []
    for name, kind, count in shape:
        if kind == "S":
            fields.append((name, f"S{count}"))
        elif count > 1:
            fields.append((name, dtype_of(kind), (count,)))
        else:
            fields.append((name, dtype_of(kind)))
    return fields
