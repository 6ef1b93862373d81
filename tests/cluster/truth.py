"""What really happened, as the programs that did it counted it: the edges and nodes that the graph must show.

Pure: it knows the cluster only as a function from what a client called to a node id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

FAILURES = ("refused", "timeout", "reset", "unreachable", "other")
CLASSES = ("2xx", "3xx", "4xx", "5xx", "other")
ENDS = ("client", "server")
RCODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
Row: TypeAlias = Mapping[str, Any]
Numbers: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class EdgeKey:
    """Node ids of both ends, protocol and the server's port."""

    source: str
    target: str
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} {self.protocol}:{self.port}"


@dataclass(slots=True)
class EdgeTruth:
    """Totals of one edge.

    routes: (method, path as sent, status; 0 without an answer) -> requests. Bytes are the transport's payload; what
    did not count them says so.
    """

    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_known: bool = True
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    routes: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Adds one row of a generator (apps/load.py tells its form)."""
        self.requests += row["requests"]
        self.connections += row["connections"]
        self.bytes_sent += row.get("bytes_sent", 0)
        self.bytes_received += row.get("bytes_received", 0)
        self.bytes_known &= "bytes_sent" in row
        self.statuses.update({int(code): count for code, count in row["statuses"].items()})
        self.unanswered.update(row["unanswered"])
        self.failed.update(row.get("failed", {}))
        for method, path, status, count in row.get("routes", ()):
            self.routes[str(method), path, status] += count

    def absorb(self, other: "EdgeTruth") -> None:
        self.add({**_plain(other), "routes": [[*key, count] for key, count in other.routes.items()]})
        self.bytes_known &= other.bytes_known


class Truth:
    """All edges, and the nodes that listen without being called."""

    def __init__(self, target_of: Callable[[str, Row], str]) -> None:
        """target_of(source's node id, row) -> node id of what was called."""
        self._target_of = target_of
        self.edges: dict[EdgeKey, EdgeTruth] = {}
        self.listeners: set[str] = set()

    def add(self, source: str, row: Row) -> None:
        key = EdgeKey(source, self._target_of(source, row), row.get("protocol") or _protocol(row), row["port"])
        self.edges.setdefault(key, EdgeTruth()).add(row)

    def nodes(self) -> set[str]:
        return {end for key in self.edges for end in (key.source, key.target)} | self.listeners

    def settle(self) -> None:
        """Connections of an edge belong to the protocol that its (source, target, port) is known by, else to tcp."""
        for key in [key for key in self.edges if key.protocol == "tcp"]:
            known = [other for other in self.edges if other != key and _same_way(other, key)]
            if known:
                self.edges[known[0]].absorb(self.edges.pop(key))

    def requests(self) -> int:
        return sum(edge.requests for edge in self.edges.values())


def expected(key: EdgeKey, edge: EdgeTruth) -> Numbers:
    """The numbers that both the truth and an edge of the graph's JSON have, in one form."""
    dns = key.protocol == "dns"
    numbers = {
        "requests": edge.requests,
        "statuses": _classes(edge) if key.protocol == "http" else dict.fromkeys(CLASSES, 0),
        "codes": {RCODES[code]: count for code, count in sorted(edge.statuses.items())} if dns else {},
        "unanswered": {end: edge.unanswered[end] for end in ENDS},
        "connections": edge.connections,
        "failed_connections": {reason: edge.failed[reason] for reason in FAILURES},
    }
    if edge.bytes_known and not dns:
        numbers |= {"bytes_sent": edge.bytes_sent, "bytes_received": edge.bytes_received}
    return numbers


def differences(truth: Truth, edges: Iterable[Row]) -> list[str]:
    """A table of every edge that is missing, too much, or has another number; empty when the graph is exact."""
    seen = {EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"]): edge for edge in edges}
    lines = [_line(key, "(edge)", "there", "missing") for key in sorted(truth.edges.keys() - seen.keys())]
    lines += [
        _line(key, "(edge)", "none", f"{seen[key]['requests']} requests, {seen[key]['connections']} connections")
        for key in sorted(seen.keys() - truth.edges.keys())
    ]
    for key in sorted(truth.edges.keys() & seen.keys()):
        lines += unequal(key, expected(key, truth.edges[key]), seen[key])
    return [_line("edge", "number", "truth", "graph"), *lines] if lines else []


def unequal(key: EdgeKey, numbers: Numbers, found: Row, side: str = "") -> list[str]:
    """One line for each number that is another one in found."""
    lines = []
    for name in numbers.keys() & found.keys():
        right, shown = numbers[name], found[name]
        if isinstance(right, dict):
            parts = {part: (right.get(part, 0), shown.get(part, 0)) for part in right.keys() | shown.keys()}
            lines += [_line(key, f"{side}{name}.{part}", *both) for part, both in parts.items() if both[0] != both[1]]
        elif right != shown:
            lines.append(_line(key, f"{side}{name}", right, shown))
    return sorted(lines)


def _line(key: object, name: str, right: object, shown: object) -> str:
    return f"{key!s:<100} {name:<34} {right!s:>12} {shown!s:>12}"


def _classes(edge: EdgeTruth) -> dict[str, int]:
    classes = dict.fromkeys(CLASSES, 0)
    for code, count in edge.statuses.items():
        word = f"{code // 100}xx"
        classes[word if word in classes else "other"] += count
    return classes


def _protocol(row: Row) -> str:
    if not row["requests"]:
        return "tcp"
    return "dns" if row["port"] == 53 else "http"


def _same_way(first: EdgeKey, second: EdgeKey) -> bool:
    return (first.source, first.target, first.port) == (second.source, second.target, second.port)


def _plain(edge: EdgeTruth) -> Numbers:
    names = ("requests", "connections", "bytes_sent", "bytes_received", "statuses", "unanswered", "failed")
    return {name: getattr(edge, name) for name in names}
