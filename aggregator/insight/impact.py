"""Blast radius: who depends on a node, directly or through others, and with which share of its calls."""

from collections.abc import Iterator

from aggregator.insight.callgraph import CallGraph, Reach
from aggregator.insight.case import Answer, Case, Json, Verdict


def impact(case: Case, subject: str) -> Answer:
    """docs/impact.md defines `share`. Raises CannotAnswer when nothing of that name was seen."""
    node = case.find(subject)
    graph = case.calls
    reach = graph.reach(node.id)
    affected = sorted(_affected(case, graph, reach), key=lambda row: (-row["share"], row["distance"], row["id"]))
    verdict = Verdict.DONE if affected or case.watch.share else Verdict.NOT_ENOUGH_SEEN
    return case.answer({"node": node.id, "affected": affected}, verdict)


def _affected(case: Case, graph: CallGraph, reach: Reach) -> Iterator[Json]:
    shares, hops, steps = reach.shares.tolist(), reach.hops.tolist(), reach.steps.tolist()
    for number in (reach.hops > 0).nonzero()[0].tolist():
        path = _path(number, steps)
        yield {
            "id": graph.ids[number],
            "distance": hops[number],
            "share": round(shares[number], 6),
            "share_of": "connections" if any(step in graph.is_estimated for step in path[:-1]) else "requests",
            "path": [graph.ids[step] for step in path],
            "owner": case.owner(graph.ids[number]),
        }


def _path(number: int, steps: list[int]) -> list[int]:
    path = [number]
    while (number := steps[number]) >= 0 and len(path) <= len(steps):
        path.append(number)
    return path
