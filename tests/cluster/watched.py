"""The graph held against what the estate's clients counted: every number, from both ends, and nothing more."""

from collections import Counter
from dataclasses import dataclass

from agent.routes import fold
from tests.cluster.estate import Estate
from tests.cluster.product import Graph, Product
from tests.cluster.truth import EdgeKey, Truth, differences, expected, unequal

SIDES = ("client_side", "server_side")


@dataclass
class Watched:
    estate: Estate
    truth: Truth
    graph: Graph


def watch(estate: Estate, product: Product, truth: Truth, timeout_seconds: float = 30) -> Watched:
    """The graph when it says what the truth is, else the last one."""

    def is_complete(graph: Graph) -> bool:
        """An end that does not count for the sum may be told later than the one that does."""
        sides = (side_differences(Watched(estate, truth, graph), side) for side in SIDES)
        return not differences(truth, graph["edges"]) and not any(sides)

    return Watched(estate, truth, product.graph_when(is_complete, timeout_seconds))


def route_differences(watched: Watched) -> list[str]:
    lines = []
    for edge in watched.graph["edges"]:
        key = EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"])
        right = folded(watched.truth, key)
        shown = Counter({(one["method"], one["route"]): one["requests"] for one in edge["routes"]})
        if right and right != shown:
            lines += [f"{key} {way}: {right[way]} in truth, {shown[way]} shown" for way in right.keys() | shown.keys()]
    return lines


def side_differences(watched: Watched, side: str) -> list[str]:
    """Where an agent stood at that end, and its address tells the other end apart."""
    inside = {one.node_id for one in watched.estate.cluster.workloads if one.host != "internet"}
    lines = []
    for edge in watched.graph["edges"]:
        key = EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"])
        seen = key.source in inside if side == "client_side" else key.target in inside and not _is_shared(watched, key)
        truth = watched.truth.edges.get(key)
        if not seen or truth is None or not (truth.connections or truth.requests):
            continue
        found = edge[side]
        lines += [f"{key}: no {side}"] if found is None else unequal(key, expected(key, truth), found, f"{side}.")
    return lines


def _is_shared(watched: Watched, key: EdgeKey) -> bool:
    """Whether another unit of the same host, and so of the same address, calls that server too."""
    units = {one.node_id: one.host for one in watched.estate.cluster.workloads if one.kind in ("unit", "process")}
    return any(
        units.get(other.source) == units[key.source] and other.source != key.source
        for other in watched.truth.edges
        if key.source in units and (other.target, other.port) == (key.target, key.port)
    )


def node_differences(watched: Watched) -> list[str]:
    right, shown = watched.truth.nodes(), {node["id"] for node in watched.graph["nodes"]}
    return [f"missing: {node}" for node in sorted(right - shown)] + [
        f"not in the truth: {node}" for node in sorted(shown - right)
    ]


def folded(truth: Truth, key: EdgeKey) -> Counter[tuple[str, str]]:
    routes: Counter[tuple[str, str]] = Counter()
    edge = truth.edges.get(key)
    for (method, path, _), count in (edge.routes if edge and key.protocol == "http" else {}).items():
        routes[method, fold(path.partition("?")[0].encode())] += count
    return routes
