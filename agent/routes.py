"""Folds the text of a path as the kernel folds its hash, so that one route has one name.

The rules stand in bpf/protocols/http/names.c: a run of digits becomes `*`, but for two digits behind a `v` that begins
a segment, since who still calls v1 is a question; a path segment of 16 or more characters with another digit in it is
an identifier and becomes `*` whole.

What the kernel cannot afford to see is folded here alone, before anything leaves the host: paths carry secrets, and a
few of a hundred random tokens have no digit.
"""

import re

from plumbline.v1 import flow_pb2

from agent.text import carried

LONG_SEGMENT = 16
# What the kernel keeps of a path: the last segment of such a one may be a piece of something.
CUT_AT = 112
_LEAST_TOKEN = 20
# Words in a name have about six letters (getAccountDetails: 17 in three); by chance capitals come much more often.
_LETTERS_A_WORD = 4
_DIGITS = re.compile(rb"[0-9]+")
_VERSION = re.compile(rb"v[0-9]{1,2}")
_WORDS = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# No word has so many in a row (Knightsbridge: six).
_UNSPEAKABLE = re.compile(rb"[b-df-hj-np-tv-xz]{7}", re.IGNORECASE)


def fold(raw: bytes) -> str:
    """The route of a raw path; bytes that are no text stay visible as escapes.

    >>> fold(b"/users/123/orders/0f8fad5b-d9cb-469f-a165-70867728950e")
    '/users/*/orders/*'
    """
    *whole, last = raw.split(b"/")
    parts = [*map(_segment, whole), b"*" if len(raw) >= CUT_AT else _segment(last)]
    return b"/".join(parts).decode("utf-8", "backslashreplace")


def text_of(kind: flow_pb2.NameKind, raw: bytes) -> str:
    """What a name of this kind is called everywhere."""
    if kind == flow_pb2.NAME_KIND_ROUTE:
        return carried(fold(raw))
    return carried(raw).lower()


def _segment(part: bytes) -> bytes:
    version = _VERSION.match(part)
    kept = version.end() if version else 0
    folded, runs = _DIGITS.subn(b"*", part[kept:])
    is_long = len(part) >= LONG_SEGMENT
    if (runs and is_long) or (len(part) >= _LEAST_TOKEN and _is_random(part)):
        return b"*"
    segment, mark, _ = (part[:kept] + folded).partition(b";")
    return segment + (b";*" if mark else b"")


def _is_random(part: bytes) -> bool:
    """Whether letters look as if chance had put them there: by how often capitals come, or by a row of consonants."""
    words = _WORDS.findall(part)
    letters = sum(map(len, words))
    is_mixed = not (part.islower() or part.isupper())
    return (is_mixed and 0 < letters < _LETTERS_A_WORD * len(words)) or any(map(_UNSPEAKABLE.search, words))
