"""The questions that `plumb` can ask, a row each. A new one is a new row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from cli.render import decimal, percent

Row: TypeAlias = Mapping[str, Any]
Column: TypeAlias = tuple[str, Callable[[Row], object]]


@dataclass(frozen=True, slots=True)
class Question:
    """`rows` are the answer's lists that make the table; `argument` is empty for a question about everything. `by` are
    questions about the same, grouped by what is asked for with --by.
    """

    name: str
    help: str
    argument: str
    rows: Sequence[str]
    columns: Sequence[Column]
    nothing: str
    by: Mapping[str, "Question"] = field(default_factory=lambda: MappingProxyType({}))


def _field(name: str) -> Callable[[Row], object]:
    return lambda row: row.get(name)


def _share(name: str) -> Callable[[Row], object]:
    return lambda row: percent(row.get(name))


def _failed(row: Row) -> object:
    """Connections that were not there, or came to nothing by TLS, and names that could not be looked up."""
    others = (row.get("tls_failures") or 0) + (row.get("dns_failures") or 0)
    return sum((row.get("failed_connections") or {}).values()) + others


def _ids(name: str) -> Callable[[Row], object]:
    return lambda row: ", ".join(each["id"] for each in row.get(name) or [])


def _path(row: Row) -> str:
    return " -> ".join(row.get("path") or [])


def _words(name: str) -> Callable[[Row], object]:
    return lambda row: ", ".join(row.get(name) or [])


def _names(row: Row) -> str:
    """Few of them: a vendor may have a name for each thing that it keeps."""
    names = list(row.get("names") or [])
    more = (row.get("name_count") or len(names)) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _state(row: Row) -> object:
    """Since when, where it is not as usual."""
    state = row.get("state")
    return f"{state} since {row['since'][11:19]}" if state and state != "usual" else state


def _mean(row: Row) -> object:
    return decimal((row.get("latency_ms") or {}).get("mean"))


_MOST_NAMES = 3
_NOTHING_OUTSIDE = "Nothing outside was called"
_HOW_IT_DOES: tuple[Column, ...] = (
    ("AVAILABILITY", _share("availability")),
    ("REQUESTS", _field("requests")),
    ("ERRORS", _field("errors")),
    ("FAILED", _failed),
    ("MEAN MS", _mean),
    ("USED BY", _ids("dependants")),
)
_BY_VENDOR = Question(
    name="vendors",
    help="",
    argument="",
    rows=("vendors", "externals"),
    columns=(("VENDOR", _field("id")), ("CATEGORY", _words("categories")), *_HOW_IT_DOES, ("NAMES", _names)),
    nothing=_NOTHING_OUTSIDE,
)

QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question(
            name="thirdparties",
            help="Who we depend on outside, and how well it answers.",
            argument="",
            rows=("third_parties", "externals"),
            columns=(
                ("NAME", _field("id")),
                ("VENDOR", _field("vendor")),
                ("CATEGORY", _field("category")),
                ("NAMED BY", _field("name_source")),
                ("STATE", _state),
                *_HOW_IT_DOES,
            ),
            nothing=_NOTHING_OUTSIDE,
            by={"vendor": _BY_VENDOR},
        ),
        Question(
            name="drift",
            help="What is declared against what is observed.",
            argument="",
            rows=("findings",),
            columns=(
                ("FINDING", _field("kind")),
                ("SUBJECT", _field("subject")),
                ("OBJECT", _field("object")),
                ("SEVERITY", _field("severity")),
                ("CONFIDENCE", _field("confidence")),
            ),
            nothing="No drift was found",
        ),
        Question(
            name="impact",
            help="Who is affected when this node fails.",
            argument="NODE",
            rows=("affected",),
            columns=(
                ("AFFECTED", _field("id")),
                ("DISTANCE", _field("distance")),
                ("SHARE", _share("share")),
                ("OWNER", _field("owner")),
                ("PATH", _path),
            ),
            nothing="Nobody was seen to depend on it",
        ),
        Question(
            name="owner",
            help="Whose a node is, as the catalog declares it.",
            argument="NODE",
            rows=("entities",),
            columns=(
                ("ENTITY", _field("id")),
                ("OWNER", _field("owner")),
                ("TYPE", _field("type")),
                ("LIFECYCLE", _field("lifecycle")),
                ("DECLARED IN", _field("place")),
            ),
            nothing="It is nobody's, as far as was declared",
        ),
    )
}
