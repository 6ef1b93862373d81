"""By which names the node's callers ask for it."""

from collections.abc import Mapping
from typing import Any, Final

from cli.render import Quantity, table

Json = Mapping[str, Any]

_HEADINGS: Final = ("CLIENT", "ASKS FOR", "CONNECTIONS")


def names(answer: Json) -> str:
    """What may have been another name's too is at most so many."""
    rows = [
        (edge["source"], way["name"], Quantity(f"{'<= ' if way.get('shared') else ''}{way['connections']}"))
        for edge in answer["callers"]
        for way in edge["via"]
    ]
    return table(_HEADINGS, rows) if rows else ""
