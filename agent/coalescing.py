"""Counts that wait for delivery, by time span: spans widen with age, so an outage costs memory by distinct edges.

Pure. Counts are only ever added up: no order of adding, widening and taking changes a total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from plumbline.v1.columns import FLOW_TYPES, REQUEST_TYPES, RESOURCE_TYPES, Columns
from plumbline.v1.flow_pb2 import RESOURCE_KIND_CPU_LIMIT, RESOURCE_KIND_MEMORY

SECOND_NS = 1_000_000_000
MOST_WAITING_ROWS = 100_000

# (from this age on, spans are so wide): the last makes one of all that is older.
_WIDTHS_NS = tuple(
    (age_seconds * SECOND_NS, width_seconds * SECOND_NS)
    for age_seconds, width_seconds in ((10, 10), (120, 60), (1800, 3600), (86_400, 10**9))
)


@dataclass(frozen=True, slots=True)
class Form:
    """Which columns say what is counted; the others are added up, but for `unions`, which are merged by OR, for
    `maxima`, and for `lasts`: of those the latest row holds whose `known` has that bit."""

    types: dict[str, str]
    keys: tuple[str, ...]
    unions: tuple[str, ...] = ()
    maxima: tuple[str, ...] = ()
    lasts: Mapping[str, int] = field(default_factory=dict)


def _without_bucket(types: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {name: kind for name, kind in types if name != "bucket"}


FLOWS = Form(_without_bucket([*FLOW_TYPES.items()]), ("flow",), ("protocols",))
REQUESTS = Form(
    _without_bucket([*REQUEST_TYPES.items()]),
    ("flow", "name", "host", "latency_bucket", "code", "kind", "protocol", "operation", "outcome"),
)
RESOURCES = Form(
    _without_bucket([*RESOURCE_TYPES.items()]),
    ("endpoint",),
    ("known",),
    ("memory_most_bytes",),
    {
        "memory_bytes": 1 << RESOURCE_KIND_MEMORY,
        "memory_limit_bytes": 1 << RESOURCE_KIND_MEMORY,
        "cpu_limit_millicores": 1 << RESOURCE_KIND_CPU_LIMIT,
    },
)


class Span(NamedTuple):
    """Nanoseconds of the wall clock."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows of one span; columns without "bucket", ids as in the contract."""

    span: Span
    flows: Columns = field(default_factory=lambda: _NO_FLOWS)
    requests: Columns = field(default_factory=lambda: _NO_REQUESTS)
    resources: Columns = field(default_factory=lambda: _NO_RESOURCES)

    @property
    def rows(self) -> int:
        return len(self.flows["flow"]) + len(self.requests["flow"]) + len(self.resources["endpoint"])


def empty(form: Form) -> Columns:
    return {name: np.empty(0, kind) for name, kind in form.types.items()}


_NO_FLOWS: Columns = empty(FLOWS)
_NO_REQUESTS: Columns = empty(REQUESTS)
_NO_RESOURCES: Columns = empty(RESOURCES)


def coalesce(parts: Sequence[Columns], form: Form) -> Columns:
    """One row for all rows of one key; parts in the order of their times."""
    parts = [part for part in parts if len(part[form.keys[0]])]
    if not parts:
        return empty(form)
    columns: Columns = {
        name: np.concatenate([np.asarray(part[name], kind) for part in parts]) for name, kind in form.types.items()
    }
    if len(columns[form.keys[0]]) < 2:
        return columns
    words = _packed(columns, form.keys)
    order = np.lexsort(words)
    new = np.zeros(len(order), bool)
    new[0] = True
    for word in words:
        ordered = word[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    if new.all():
        return columns
    starts = np.flatnonzero(new)
    merged = {name: _merged(name, column[order], starts, form) for name, column in columns.items()}
    for name, bit in form.lasts.items():
        merged[name] = _last(columns[name][order], columns["known"][order].astype(np.int64) & bit, starts)
    return merged


class Waiting:
    """What was counted and not put into a batch yet."""

    def __init__(self, most_rows: int = MOST_WAITING_ROWS) -> None:
        self._most_rows = most_rows
        self._portions: dict[Span, Portion] = {}
        self.rows = 0

    @property
    def oldest_ns(self) -> int | None:
        return min((span.from_ns for span in self._portions), default=None)

    @property
    def spans(self) -> int:
        return len(self._portions)

    def add(self, portion: Portion) -> None:
        if portion.rows:
            self._replace([portion])

    def widen(self, now_ns: int) -> None:
        """Merges what is old; and whatever it takes when there are more rows than may wait."""
        groups: dict[tuple[int, int], list[Portion]] = {}
        for portion in self._portions.values():
            groups.setdefault(_wide(portion.span, now_ns), []).append(portion)
        self._merge_groups(list(groups.values()))
        while self.rows > self._most_rows and len(self._portions) > 1:
            ordered = sorted(self._portions.values(), key=lambda portion: portion.span)
            self._merge_groups([ordered[at : at + 2] for at in range(0, len(ordered), 2)])

    def take(self, most_rows: int) -> list[Portion]:
        """The oldest rows, at most so many; they no longer wait."""
        taken: list[Portion] = []
        for span in sorted(self._portions):
            if most_rows <= 0:
                break
            portion = self._portions.pop(span)
            head, tail = _split(portion, most_rows)
            if tail.rows:
                self._portions[span] = tail
            taken.append(head)
            most_rows -= head.rows
            self.rows -= head.rows
        return taken

    def _merge_groups(self, groups: list[list[Portion]]) -> None:
        several = [group for group in groups if len(group) > 1]
        for portion in (portion for group in several for portion in group):
            del self._portions[portion.span]
            self.rows -= portion.rows
        for group in several:
            self._replace(sorted(group, key=lambda portion: portion.span.to_ns))

    def _replace(self, group: list[Portion]) -> None:
        span = Span(min(portion.span.from_ns for portion in group), max(portion.span.to_ns for portion in group))
        known = self._portions.pop(span, None)
        if known is not None:
            self.rows -= known.rows
            group = [known, *group]
        merged = Portion(
            span,
            coalesce([portion.flows for portion in group], FLOWS),
            coalesce([portion.requests for portion in group], REQUESTS),
            coalesce([portion.resources for portion in group], RESOURCES),
        )
        self._portions[span] = merged
        self.rows += merged.rows


def _wide(span: Span, now_ns: int) -> tuple[int, int]:
    """Spans with the same answer become one."""
    age_ns = now_ns - span.to_ns
    width_ns = max((width for from_age, width in _WIDTHS_NS if age_ns >= from_age), default=0)
    return (width_ns, span.from_ns // width_ns) if width_ns else (0, span.from_ns)


def _split(portion: Portion, rows: int) -> tuple[Portion, Portion]:
    flows = min(rows, len(portion.flows["flow"]))
    requests = min(rows - flows, len(portion.requests["flow"]))
    ends = (flows, requests, rows - flows - requests)
    parts = (portion.flows, portion.requests, portion.resources)
    heads = (_rows(part, slice(end)) for part, end in zip(parts, ends, strict=True))
    tails = (_rows(part, slice(end, None)) for part, end in zip(parts, ends, strict=True))
    return Portion(portion.span, *heads), Portion(portion.span, *tails)


def _rows(columns: Columns, which: slice) -> Columns:
    return {name: column[which] for name, column in columns.items()}


def _packed(columns: Columns, keys: tuple[str, ...]) -> list[npt.NDArray[np.uint64]]:
    """The key columns side by side in as few 64-bit words as they need."""
    words: list[npt.NDArray[np.uint64]] = []
    free = 0
    for name in keys:
        column = columns[name]
        bits = column.dtype.itemsize * 8
        if bits > free:
            words.append(column.astype(np.uint64))
            free = 64 - bits
        else:
            words[-1] = words[-1] << np.uint64(bits) | column.astype(np.uint64)
            free -= bits
    return words


def _merged(
    name: str, ordered: npt.NDArray[np.generic], starts: npt.NDArray[np.intp], form: Form
) -> npt.NDArray[np.generic]:
    if name in form.keys:
        return ordered[starts]
    how = np.bitwise_or if name in form.unions else np.maximum if name in form.maxima else np.add
    merged: npt.NDArray[np.generic] = how.reduceat(ordered, starts)
    return merged


def _last(
    ordered: npt.NDArray[np.generic], known: npt.NDArray[np.generic], starts: npt.NDArray[np.intp]
) -> npt.NDArray[np.generic]:
    """Of each group the last that is known; 0 where none is."""
    at = np.maximum.reduceat(np.where(known != 0, np.arange(len(ordered)), -1), starts)
    return np.where(at >= 0, ordered[at], np.zeros(1, ordered.dtype))
