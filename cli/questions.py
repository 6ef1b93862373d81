"""The questions that `plumb` can ask, a row each. A new one is a new row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cli.render import decimal, percent

Row: TypeAlias = Mapping[str, Any]
Column: TypeAlias = tuple[str, Callable[[Row], object]]


@dataclass(frozen=True, slots=True)
class Question:
    """`rows` are the answer's lists that make the table; `argument` is empty for a question about everything."""

    name: str
    help: str
    argument: str
    rows: Sequence[str]
    columns: Sequence[Column]
    nothing: str


def _field(name: str) -> Callable[[Row], object]:
    return lambda row: row.get(name)


def _share(name: str) -> Callable[[Row], object]:
    return lambda row: percent(row.get(name))


def _total(name: str) -> Callable[[Row], object]:
    return lambda row: sum((row.get(name) or {}).values())


def _ids(name: str) -> Callable[[Row], object]:
    return lambda row: ", ".join(each["id"] for each in row.get(name) or [])


def _path(row: Row) -> str:
    return " -> ".join(row.get("path") or [])


def _mean(row: Row) -> object:
    return decimal((row.get("latency_ms") or {}).get("mean"))


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
                ("NAMED BY", _field("name_source")),
                ("AVAILABILITY", _share("availability")),
                ("REQUESTS", _field("requests")),
                ("ERRORS", _field("errors")),
                ("FAILED", _total("failed_connections")),
                ("MEAN MS", _mean),
                ("USED BY", _ids("dependants")),
            ),
            nothing="Nothing outside was called",
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
