"""How much of the node's traffic is of which revision of its pods."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cli.render import decimal, percent, table

Json = Mapping[str, Any]

_HEADINGS: Final = ("REVISION", "DOES", "WITH", "REQUESTS", "PER S", "ERRORS", "FAILING", "CONNS")
_WAYS: Final = (("answers", "callers", "target", "source"), ("asks", "dependencies", "source", "target"))
_ALL: Final = "(all)"
_NUMBERS: Final = ("requests", "errors", "connections")
# Of no use but to who looks after it.
_BACKGROUND: Final = frozenset({"probe", "scrape", "self"})


def by_revision(answer: Json) -> str:
    """Of everybody together; where there are several revisions, also with each one that it talks to."""
    seconds = _seconds(answer["window"])
    rows = [row for way in _WAYS for row in _rows(answer, *way, seconds)]
    return table(_HEADINGS, rows) if rows else ""


def _rows(answer: Json, does: str, edges: str, end: str, other: str, seconds: float) -> Iterator[tuple[object, ...]]:
    found = [
        (edge[other], one)
        for edge in answer[edges]
        if edge.get("class") not in _BACKGROUND
        for one in edge.get("revisions") or ()
        if one["end"] == end
    ]
    names = list(dict.fromkeys(one["revision"] for _, one in found))
    sums = {name: _sum([one for _, one in found if one["revision"] == name]) for name in names}
    names.sort(key=lambda name: (-sums[name]["requests"], -sums[name]["connections"], name))
    nodes = list(dict.fromkeys(node for node, _ in found))
    for name in names:
        yield _row(name, does, _ALL if len(nodes) > 1 else nodes[0], sums[name], seconds)
    if len(names) > 1 and len(nodes) > 1:
        for node in nodes:
            for name in names:
                own = [one for each, one in found if (each, one["revision"]) == (node, name)]
                if own:
                    yield _row(name, does, node, _sum(own), seconds)


def _sum(rows: Sequence[Json]) -> dict[str, int]:
    return {number: sum(row[number] for row in rows) for number in _NUMBERS}


def _row(name: str, does: str, node: str, sums: Mapping[str, int], seconds: float) -> tuple[object, ...]:
    requests, errors = sums["requests"], sums["errors"]
    return (
        name or "(unknown)",
        does,
        node,
        requests,
        decimal(requests / seconds) if seconds else None,
        errors,
        percent(min(errors / requests, 1.0)) if requests else None,
        sums["connections"],
    )


def _seconds(window: Json | None) -> float:
    """How long it is; 0 where that is not told."""
    begin, end = ((window or {}).get(one) for one in ("from", "to"))
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() if begin and end else 0.0
