"""Edges and hosts of a graph's JSON form as lines for a person: what `graph` and `show` have in common."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cli.render import byte_size, decimal, percent, safe, table

Json = Mapping[str, Any]

_EDGE_HEADINGS = (
    "CLIENT", "SERVER", "PROTOCOL", "REQUESTS", "ERRORS", "MEAN MS", "P95 MS", "CONNS", "FAILED",
    "SENT", "RECEIVED", "SEEN BY",
)  # fmt: skip
_ROUTE_HEADINGS = ("METHOD", "ROUTE", "CLIENT", "REQUESTS", "ERRORS", "MEAN MS", "P95 MS", "P99 MS")


def edge_table(edges: Iterable[Json]) -> str:
    """One line an edge, by client, server and port."""
    return table(_EDGE_HEADINGS, map(_edge_row, sorted(edges, key=_edge_order)))


def window_line(graph: Json) -> str:
    """Which span, how much was seen, and how far to trust it."""
    window = graph.get("window") or {}
    span = f"{clock(window.get('from'))} to {clock(window.get('to'))} UTC"
    return f"{len(graph['nodes'])} nodes, {len(graph['edges'])} edges, {span}; {_hosts_phrase(graph['hosts'])}."


def host_lines(hosts: Iterable[Json]) -> Iterator[str]:
    """What must be known about a host before its numbers are believed."""
    for host in hosts:
        name = safe(host["name"])
        if host["stale"]:
            yield f"{name}: stale, last heard {clock(host['last_seen'])}."
        for blind in host["blind"]:
            end = clock(blind["to"]) if blind["to"] else "now"
            yield f"{name}: blind from {clock(blind['from'])} to {end} ({safe(blind['reason'])})."
        if host.get("shed"):
            yield f"{name}: left out now, to keep within its agent's budgets: {safe(', '.join(host['shed']))}."
        for word in ("lost", "dropped"):
            reasons = {reason: count for reason, count in host[word].items() if count}
            if reasons:
                yield f"{name}: {word} " + ", ".join(f"{count} {safe(why)}" for why, count in reasons.items()) + "."


def stale_lines(graph: Json) -> Iterator[str]:
    """What names come from and is not of now."""
    for source in graph.get("stale", ()):
        yield f"{safe(source['name'])} of the cluster's API: as of {clock(source['since'])}. {safe(source['reason'])}"


def pressure_lines(graph: Json) -> Iterator[str]:
    """What machines of the cluster are short of."""
    for one in graph.get("pressures", ()):
        yield f"{safe(one['host'])}: the cluster's API says {safe(', '.join(one['conditions']))}."


def uncalled(graph: Json) -> list[Json]:
    """Nodes that listen and were called by nobody in the window."""
    called = {edge["target"] for edge in graph["edges"]}
    return [node for node in graph["nodes"] if node["listens"] and node["id"] not in called]


def _edge_row(edge: Json) -> tuple[object, ...]:
    latency = edge["latency_ms"] or {}
    speaks_requests = edge["requests"] or edge["latency_ms"]
    return (
        edge["source"],
        edge["target"],
        f"{edge['protocol']}:{edge['port']}{_by_way(edge)}",
        edge["requests"] if speaks_requests else None,
        edge["errors"] if speaks_requests else None,
        decimal(latency.get("mean")),
        decimal(latency.get("p95")),
        edge["connections"],
        sum((edge["failed_connections"] or {}).values()),
        byte_size(edge["bytes_sent"]),
        byte_size(edge["bytes_received"]),
        edge["seen_from"],
    )


def _by_way(edge: Json) -> str:
    """To a proxy, or past one to whom it was asked for; or of no use but to who looks after the server."""
    if edge.get("class") in ("probe", "scrape"):
        return f" ({edge['class']})"
    return " (way)" if edge.get("way") else " (by way)" if edge.get("through") else ""


def _edge_order(edge: Json) -> tuple[str, str, int, str]:
    return edge["source"], edge["target"], edge["port"], edge["protocol"]


def _hosts_phrase(hosts: list[Json]) -> str:
    if not hosts:
        return "no host is watched"
    coverage = [host["coverage"] for host in hosts if not host["stale"]]
    if not coverage:
        return f"all {len(hosts)} hosts are stale"
    return f"{len(coverage)} of {len(hosts)} hosts watched, coverage {percent(sum(coverage) / len(coverage))}"


def clock(moment: str | None) -> str:
    return moment[11:19] if moment else "?"


def route_table(edges: Iterable[Json]) -> str:
    """One line a route of these edges, the most used first; empty when no edge has routes."""
    rows = [(edge["source"], route) for edge in edges for route in edge["routes"]]
    rows.sort(key=lambda row: (-row[1]["requests"], row[1]["route"], row[0]))
    return table(_ROUTE_HEADINGS, [_route_row(client, route) for client, route in rows]) if rows else ""


def _route_row(client: str, route: Json) -> tuple[object, ...]:
    latency = route["latency_ms"] or {}
    quantiles = [decimal(latency.get(part)) for part in ("mean", "p95", "p99")]
    return route["method"], route["route"], client, route["requests"], route["errors"], *quantiles
