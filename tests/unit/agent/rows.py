"""Rows as tests write them: a few fields by name, the rest zero."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from plumbline.v1.columns import Columns

from agent.coalescing import FLOWS, REQUESTS, Form, Portion, Span

SECOND_NS = 1_000_000_000


def columns(rows: Sequence[Mapping[str, int]], form: Form) -> Columns:
    return {name: np.array([row.get(name, 0) for row in rows], kind) for name, kind in form.types.items()}


def kernel_columns(rows: Sequence[Mapping[str, int]], form: Form) -> Columns:
    """With the kernel's 64-bit ids."""
    wide: dict[str, str] = {name: "<u8" for name in ("flow", "name", "host") if name in form.types}
    return columns(rows, replace(form, types={**form.types, **wide}))


def portion(
    from_ns: int, to_ns: int, flows: Sequence[Mapping[str, int]] = (), requests: Sequence[Mapping[str, int]] = ()
) -> Portion:
    return Portion(Span(from_ns, to_ns), columns(flows, FLOWS), columns(requests, REQUESTS))


def total(columns: Columns, name: str) -> int:
    return int(columns[name].sum(dtype=np.uint64))
