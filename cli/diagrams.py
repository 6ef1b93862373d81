"""The graph as text for diagram tools. Ids are ours (n0, n1, ...); names stand in quoted labels only."""

import re
from collections.abc import Mapping
from typing import Any

from cli.render import safe

_DOT_SHAPES = {"third_party": "component", "external": "component", "unresolved": "diamond", "host": "box3d"}
_MERMAID_PLAIN = re.compile(r"[^A-Za-z0-9 ./:_-]")


def dot(graph: Mapping[str, Any]) -> str:
    """Graphviz DOT of a graph's JSON form."""
    names = _names(graph)
    lines = ["digraph plumbline {", "  rankdir=LR;", "  node [shape=box];"]
    kinds = {node["id"]: node["kind"] for node in graph["nodes"]}
    for node_id, name in names.items():
        shape = _DOT_SHAPES.get(kinds.get(node_id, ""), "box")
        lines.append(f"  {name} [label={_dot_quoted(node_id)}, shape={shape}];")
    lines.extend(
        f"  {names[edge['source']]} -> {names[edge['target']]} [label={_dot_quoted(_edge_label(edge))}];"
        for edge in graph["edges"]
    )
    return "\n".join([*lines, "}"])


def mermaid(graph: Mapping[str, Any]) -> str:
    """A Mermaid flowchart of a graph's JSON form."""
    names = _names(graph)
    lines = ["flowchart LR"]
    lines.extend(f"  {name}[{_mermaid_quoted(node_id)}]" for node_id, name in names.items())
    lines.extend(
        f"  {names[edge['source']]} -->|{_mermaid_quoted(_edge_label(edge))}| {names[edge['target']]}"
        for edge in graph["edges"]
    )
    return "\n".join(lines)


def _names(graph: Mapping[str, Any]) -> dict[str, str]:
    ids = [node["id"] for node in graph["nodes"]]
    ends = [end for edge in graph["edges"] for end in (edge["source"], edge["target"])]
    return {node_id: f"n{number}" for number, node_id in enumerate(dict.fromkeys(ids + ends))}


def _edge_label(edge: Mapping[str, Any]) -> str:
    what = f"{edge['protocol']}:{edge['port']}"
    return f"{what} {edge['requests']} requests" if edge["requests"] else what


def _dot_quoted(text: str) -> str:
    escaped = safe(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mermaid_quoted(text: str) -> str:
    # Mermaid has no escape inside quotes, only entities by number.
    escaped = _MERMAID_PLAIN.sub(lambda found: f"#{ord(found.group())};", safe(text))
    return f'"{escaped}"'
