"""`plumb show`: one node and what it touches."""

from typing import Any

import click

from cli import options
from cli.failure import Failure, Status
from cli.render import Form, document, safe
from cli.sections import SECTIONS

_MOST_CANDIDATES = 5
# What nobody gathered of a node is unknown, not absent.
_NOT_GATHERED = dict.fromkeys(("scale", "resources", "revisions", "events", "exposure"))


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
        found = _find([*graph["nodes"], *_silent(graph)], node)
        owner = _owner(aggregator, found["id"], window_seconds)
    answer = {
        **_NOT_GATHERED,
        "owner": owner,
        **found,
        **_deployed(graph, found["id"]),
        "window": graph["window"],
        "callers": [edge for edge in graph["edges"] if edge["target"] == found["id"]],
        "dependencies": [edge for edge in graph["edges"] if edge["source"] == found["id"]],
    }
    click.echo(_text(answer) if form == Form.TABLE else document(answer, Form(form)))


def _owner(aggregator: Any, node_id: str, window_seconds: float) -> str | None:
    """None where nobody declared one; also where it was not seen to talk, or an older aggregator is asked."""
    try:
        answer, _ = aggregator.ask("owner", node_id, window_seconds)
    except Failure:
        return None
    owner: str | None = answer["owner"]
    return owner


def _deployed(graph: dict[str, Any], node_id: str) -> dict[str, Any]:
    """What the cluster's API says of it; null where it says nothing."""
    found = next((one for one in graph["workloads"] if one["id"] == node_id), None)
    if found is None:
        return {}
    names = ("scale", "revisions", "rollouts", "by_hand", "more_by_hand")
    events = [event for event in graph["events"] if event["node"] == node_id]
    return {**{name: found[name] for name in names}, "events": events}


def _silent(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """Workloads that were not seen to talk, as nodes."""
    from plumbline.v1.jsonform import to_json
    from plumbline.v1.topology_pb2 import NODE_KIND_WORKLOAD, Node

    seen = {node["id"] for node in graph["nodes"]}
    found = []
    for one in graph["workloads"]:
        if one["id"] not in seen:
            namespace, _, rest = one["id"].partition("/")
            node = Node(id=one["id"], kind=NODE_KIND_WORKLOAD, name=rest.rpartition("/")[2], namespace=namespace)
            node.host_count = max((revision["host_count"] for revision in one["revisions"]), default=0)
            found.append(to_json(node))
    return found


def _find(nodes: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
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
    owned = f", owned by {safe(answer['owner'])}" if answer["owner"] else ""
    heading = f"{safe(answer['id'])}: {answer['kind']} on {answer['host_count']} host(s), listens on {listens}{owned}"
    parts = [click.style(heading, bold=True)]
    parts += [f"{one.title}\n{text}" for one in SECTIONS if (text := one.text(answer))]
    return "\n\n".join(parts)
