"""What really happened, as the programs that did it counted it: the edges and nodes that the graph must show.

Pure: it knows the cluster only as a table from addresses to node ids.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAILURES = ("refused", "timeout", "reset", "unreachable", "other")
CLASSES = ("2xx", "3xx", "4xx", "5xx", "other")
RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
RouteKey = tuple[str, str, int]


@dataclass(frozen=True, slots=True, order=True)
class EdgeKey:
    """Node ids of both ends, protocol and the server's port."""

    source: str
    target: str
    protocol: str
    port: int


@dataclass(slots=True)
class EdgeTruth:
    """Totals of one edge. routes: (method, path as sent, status; 0 without an answer) -> requests. bytes: TCP payload."""

    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    routes: Counter[RouteKey] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds one row of a generator, or of a server's own counts."""
        for name in ("requests", "connections", "bytes_sent", "bytes_received"):
            setattr(self, name, getattr(self, name) + row[name])
        self.statuses.update({int(code): count for code, count in row["statuses"].items()})
        self.unanswered.update(row["unanswered"])
        self.failed.update(row.get("failed", {}))
        for method, path, status, count in row.get("routes", ()):
            self.routes[str(method), path, status] += count

    def status_classes(self) -> dict[str, int]:
        classes = dict.fromkeys(CLASSES, 0)
        for code, count in self.statuses.items():
            word = f"{code // 100}xx"
            classes[word if word in classes else "other"] += count
        return classes

    def comparable(self, protocol: str) -> dict[str, Any]:
        """The numbers that both the truth and the graph's JSON have, in one form."""
        http, dns = protocol == "http", protocol == "dns"
        return {
            "requests": self.requests,
            "statuses": self.status_classes() if http else dict.fromkeys(CLASSES, 0),
            "codes": {RCODES[code]: count for code, count in sorted(self.statuses.items())} if dns else {},
            "unanswered": sum(self.unanswered.values())
            if dns
            else {who: self.unanswered[who] for who in ("client", "server")},
            "connections": self.connections,
            "failed_connections": {reason: self.failed[reason] for reason in FAILURES},
        }


class Truth:
    """All edges, and the nodes that listen without being called."""

    def __init__(self, target_of: Callable[[str, str], str]) -> None:
        """target_of(address, HTTP host or "") -> node id."""
        self._target_of = target_of
        self.edges: dict[EdgeKey, EdgeTruth] = {}
        self.listeners: set[str] = set()

    def add_generator(self, source: str, out: Path) -> None:
        for row in json.loads(out.read_text())["rows"]:
            self.add_row(source, row)

    def add_row(self, source: str, row: Mapping[str, Any]) -> None:
        target = self._target_of(row["address"], row.get("host") or "")
        protocol = row.get("protocol") or _protocol(row)
        self.edge(source, target, protocol, row["port"]).add(row)

    def edge(self, source: str, target: str, protocol: str, port: int) -> EdgeTruth:
        return self.edges.setdefault(EdgeKey(source, target, protocol, port), EdgeTruth())

    def nodes(self) -> set[str]:
        return {end for key in self.edges for end in (key.source, key.target)} | self.listeners

    def settle(self) -> "Truth":
        """Connections of an edge belong to the protocol that its (source, target, port) is known by, else to tcp."""
        for key in [key for key in self.edges if key.protocol == "tcp"]:
            known = [other for other in self.edges if other != key and _same_way(other, key)]
            if known:
                self.edges[known[0]].add(_as_row(self.edges.pop(key)))
        return self

    def requests(self) -> int:
        return sum(edge.requests for edge in self.edges.values())


def observed(edge: Mapping[str, Any]) -> dict[str, Any]:
    """The comparable numbers of an edge of the graph's JSON."""
    dns = edge["protocol"] == "dns"
    return {
        "requests": edge["requests"],
        "statuses": edge["statuses"],
        "codes": edge["codes"] if dns else {},
        "unanswered": sum(edge["unanswered"].values()) if dns else edge["unanswered"],
        "connections": edge["connections"],
        "failed_connections": edge["failed_connections"],
    }


def differences(truth: Truth, edges: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each edge that is missing, too much, or has another number; empty when the graph is exact."""
    seen = {EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"]): edge for edge in edges}
    lines = [
        f"missing: {key} {truth.edges[key].comparable(key.protocol)}"
        for key in sorted(truth.edges.keys() - seen.keys())
    ]
    lines += [f"not in the truth: {key} {observed(seen[key])}" for key in sorted(seen.keys() - truth.edges.keys())]
    for key in sorted(truth.edges.keys() & seen.keys()):
        expected, found = truth.edges[key].comparable(key.protocol), observed(seen[key])
        lines += [
            f"{key} {name}: {found[name]} instead of {expected[name]}"
            for name in expected
            if found[name] != expected[name]
        ]
    return lines


def _protocol(row: Mapping[str, Any]) -> str:
    if row["port"] == 53 and row["requests"]:
        return "dns"
    return "http" if row["requests"] else "tcp"


def _same_way(first: EdgeKey, second: EdgeKey) -> bool:
    return (first.source, first.target, first.port) == (second.source, second.target, second.port)


def _as_row(edge: EdgeTruth) -> dict[str, Any]:
    names = ("requests", "connections", "bytes_sent", "bytes_received", "statuses", "unanswered", "failed")
    routes = [[*key, count] for key, count in edge.routes.items()]
    return {**{name: getattr(edge, name) for name in names}, "routes": routes}
