"""`plumb show`: one node and what it touches."""

from typing import Any

import click

from cli import options, overview
from cli.failure import Failure, Status
from cli.render import Form, document, safe

_MOST_CANDIDATES = 5


@click.command("show")
@click.argument("node")
@options.reading
@options.output()
@options.window
def command(node: str, form: str, window_seconds: float, **access: Any) -> None:
    """One node: who calls it and what it calls.

    NODE is an id as `plumb graph` shows it, or a name that only one node has.
    """
    from plumbline.v1.jsonform import to_json

    from cli.client import Access, Aggregator, Selection

    with Aggregator(Access(access.pop("aggregator"), **access)) as aggregator:
        graph = to_json(aggregator.topology(Selection(window_seconds, include_background=True)))
    found = _find(graph, node)
    answer = {
        **found,
        "window": graph["window"],
        "callers": [edge for edge in graph["edges"] if edge["target"] == found["id"]],
        "dependencies": [edge for edge in graph["edges"] if edge["source"] == found["id"]],
        # Nothing gathers these yet: unknown, not absent.
        **dict.fromkeys(("resources", "revisions", "events", "exposure")),
    }
    click.echo(_text(answer) if form == Form.TABLE else document(answer, Form(form)))


def _find(graph: dict[str, Any], wanted: str) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = graph["nodes"]
    for field in ("id", "name"):
        found = [node for node in nodes if node[field] == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            raise Failure(Status.WRONG_USE, f"{wanted} is the name of several nodes; choose {_list(found)}.")
    similar = [node for node in nodes if wanted.lower() in node["id"].lower()]
    hint = f"did you mean {_list(similar)}?" if similar else "plumb graph shows all."
    raise Failure(Status.WRONG_USE, f"No node {wanted} was seen in this window; {hint}")


def _list(nodes: list[dict[str, Any]]) -> str:
    ids = sorted(node["id"] for node in nodes)
    more = f" or {len(ids) - _MOST_CANDIDATES} more" if len(ids) > _MOST_CANDIDATES else ""
    return ", ".join(ids[:_MOST_CANDIDATES]) + more


def _text(answer: dict[str, Any]) -> str:
    listens = ", ".join(map(str, answer["listens"])) or "nothing"
    heading = f"{safe(answer['id'])}: {answer['kind']} on {answer['host_count']} host(s), listens on {listens}"
    parts = [click.style(heading, bold=True)]
    for title, key in (("Callers", "callers"), ("Dependencies", "dependencies")):
        parts.append(f"{title}\n" + (overview.edge_table(answer[key]) if answer[key] else "none in this window"))
    if routes := overview.route_table(answer["callers"]):
        parts.append(f"Routes\n{routes}")
    return "\n\n".join(parts)
