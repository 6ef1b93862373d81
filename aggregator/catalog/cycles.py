"""Circles in a directed graph, without recursion: a catalog may be as deep as its author likes."""

from collections.abc import Iterator, Mapping, Sequence


def cycles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Every strongly connected component that holds a circle (Tarjan's algorithm). All targets are keys."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    for root in graph:
        if root in index:
            continue
        work: list[tuple[str, int]] = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                index[node] = low[node] = len(index)
                open_nodes.append(node)
                is_open.add(node)
            else:
                low[node] = min(low[node], low[graph[node][position - 1]])
            position = _next_step(graph[node], position, node, index, is_open, low)
            if position < len(graph[node]):
                work.append((node, position + 1))
                work.append((graph[node][position], 0))
            elif low[node] == index[node]:
                ring = _close(open_nodes, is_open, node)
                if len(ring) > 1 or node in graph[node]:
                    yield ring


def _next_step(
    targets: Sequence[str], position: int, node: str, index: dict[str, int], is_open: set[str], low: dict[str, int]
) -> int:
    """The next target that was not visited; those passed over on the way are taken into account."""
    while position < len(targets) and targets[position] in index:
        if targets[position] in is_open:
            low[node] = min(low[node], index[targets[position]])
        position += 1
    return position


def _close(open_nodes: list[str], is_open: set[str], root: str) -> list[str]:
    ring = []
    while True:
        node = open_nodes.pop()
        is_open.discard(node)
        ring.append(node)
        if node == root:
            return ring
