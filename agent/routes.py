"""Folds the text of a path as the kernel folds its hash, so that one route has one name.

The rules stand in bpf/protocols/http/names.c: a run of digits becomes `*`, but for two digits behind a `v` that begins
a segment, since who still calls v1 is a question; a path segment of 16 or more characters with another digit in it is
an identifier and becomes `*` whole.
"""

import re

from plumbline.v1 import flow_pb2

from agent.text import carried

LONG_SEGMENT = 16
_DIGITS = re.compile(rb"[0-9]+")
_VERSION = re.compile(rb"v[0-9]{1,2}")


def fold(raw: bytes) -> str:
    """The route of a raw path; bytes that are no text stay visible as escapes.

    >>> fold(b"/users/123/orders/0f8fad5b-d9cb-469f-a165-70867728950e")
    '/users/*/orders/*'
    """
    return b"/".join(_segment(part) for part in raw.split(b"/")).decode("utf-8", "backslashreplace")


def text_of(kind: flow_pb2.NameKind, raw: bytes) -> str:
    """What a name of this kind is called everywhere."""
    if kind == flow_pb2.NAME_KIND_ROUTE:
        return carried(fold(raw))
    return carried(raw).lower()


def _segment(part: bytes) -> bytes:
    version = _VERSION.match(part)
    kept = version.end() if version else 0
    folded, runs = _DIGITS.subn(b"*", part[kept:])
    return b"*" if runs and len(part) >= LONG_SEGMENT else part[:kept] + folded
