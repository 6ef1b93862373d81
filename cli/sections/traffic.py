"""Who calls the node, whom it calls, and by which routes it is called."""

from collections.abc import Iterable, Mapping
from typing import Any

from cli import overview

Json = Mapping[str, Any]


def callers(answer: Json) -> str:
    return _edges(answer["callers"])


def dependencies(answer: Json) -> str:
    return _edges(answer["dependencies"])


def routes(answer: Json) -> str:
    return overview.route_table(answer["callers"])


def _edges(edges: Iterable[Json]) -> str:
    return overview.edge_table(edges) if edges else "none in this window"
