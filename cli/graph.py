"""`plumb graph`: the whole graph, once."""

from typing import Any

import click

from cli import diagrams, options, overview
from cli.failure import Failure, Status
from cli.render import Form, document, safe


@click.command("graph")
@options.reading
@options.output("dot", "mermaid")
@options.window
@click.option("--namespace", default="", metavar="NS", help="Only what lies in this namespace, and what it touches.")
@click.option("--background", is_flag=True, help="Also probes, scrapes and Plumbline's own traffic.")
@click.option("--at", metavar="TIME", help="The graph of an earlier time (comes with the history).")
def command(form: str, window_seconds: float, namespace: str, background: bool, at: str | None, **access: Any) -> None:
    """Who calls whom, with numbers."""
    if at is not None:
        raise Failure(
            Status.WRONG_USE, "No history is kept yet, so --at comes later; leave it out for the graph of now."
        )
    from plumbline.v1.jsonform import to_json

    from cli.client import Access, Aggregator, Selection

    with Aggregator(Access(access.pop("aggregator"), **access)) as aggregator:
        selection = Selection(window_seconds, namespace=namespace, include_background=background)
        graph = to_json(aggregator.topology(selection))
    click.echo(_text(graph, form))


def _text(graph: dict[str, Any], form: str) -> str:
    match form:
        case "dot":
            return diagrams.dot(graph)
        case "mermaid":
            return diagrams.mermaid(graph)
        case Form.TABLE:
            return _overview(graph)
    return document(graph, Form(form))


def _overview(graph: dict[str, Any]) -> str:
    parts = [overview.edge_table(graph["edges"])] if graph["edges"] else []
    lonely = [f"{safe(node['id'])} ({', '.join(map(str, node['listens']))})" for node in overview.uncalled(graph)]
    if lonely:
        parts.append("Listening, not called in this window: " + ", ".join(lonely) + ".")
    parts.append(
        "\n".join(
            [
                overview.window_line(graph),
                *overview.host_lines(graph["hosts"]),
                *overview.pressure_lines(graph),
                *overview.stale_lines(graph),
            ]
        )
    )
    return "\n\n".join(parts)
