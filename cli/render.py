"""Answers as text. Names come from the network: nothing of them may reach a terminal or a parser as syntax."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import click

_GAP = "  "


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Quantity(str):
    """A number already written with its unit: aligned like a number."""

    __slots__ = ()


def safe(text: str) -> str:
    """The text with everything that is not plainly visible written as an escape, reversibly."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    # Categories C* steer terminals and change reading order; Z* but the plain space looks like one or breaks lines.
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character)[0] in "CZ" and character != " ":
        return character.encode("unicode_escape").decode("ascii")
    return character


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns, numbers to the right; None is shown as `-`."""
    values = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in values]
    widths = [max(map(_width, column)) for column in zip(headings, *cells, strict=True)]
    numeric = [_is_numeric(column) for column in zip(*values, strict=True)] or [False] * len(headings)
    lines = [click.style(_line(headings, widths, numeric), bold=True)]
    lines.extend(_line(row, widths, numeric) for row in cells)
    return "\n".join(lines)


def json_text(answer: Any) -> str:
    """Indented JSON in plain ASCII, so that no control character of a name is in it."""
    return json.dumps(answer, indent=2, ensure_ascii=True)


def json_line(answer: Any) -> str:
    """One object on one line, in plain ASCII."""
    return json.dumps(answer, ensure_ascii=True, separators=(",", ":"))


def yaml_text(answer: Any) -> str:
    """The same data as YAML, in plain ASCII."""
    import yaml

    return yaml.safe_dump(answer, sort_keys=False, allow_unicode=False, width=120).rstrip("\n")


def document(answer: Any, form: Form) -> str:
    """JSON or YAML."""
    return yaml_text(answer) if form is Form.YAML else json_text(answer)


def decimal(value: float | None) -> Quantity | None:
    """Three significant digits, never an exponent."""
    if value is None:
        return None
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return Quantity(f"{value:.{digits}f}")


def percent(share: float | None) -> Quantity | None:
    """100 % is said only of what is whole."""
    if share is None:
        return None
    return Quantity(f"{100 * share:.0f} %" if share in (0, 1) else f"{min(100 * share, 99.99):.2f} %")


def byte_size(count: int) -> Quantity:
    """Binary units: 1.5 KiB."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return Quantity(f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}")
        size /= 1024
    return Quantity(f"{size:.1f} TiB")


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else safe(str(value))


def _is_numeric(column: Sequence[object]) -> bool:
    known = [value for value in column if value is not None]
    return bool(known) and all(isinstance(value, (int, Quantity)) for value in known)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """Columns that a terminal uses for it."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
