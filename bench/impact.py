"""How long `impact` takes on a large graph, and the same question asked of networkx.

python bench/impact.py [--nodes 20000] [--edges 200000] [--questions 200]

Prints one JSON object, in milliseconds: what a Case makes once for all its questions, then the search alone and the
whole answer (p50, p99, the longest), and networkx's `descendants`, which knows no shares; `times_networkx` is the
ratio of the medians of the two searches.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]

import networkx as nx  # noqa: E402
from plumbline.v1 import topology_pb2 as pb  # noqa: E402

from aggregator.insight.callgraph import CallGraph  # noqa: E402
from aggregator.insight.case import Case  # noqa: E402
from aggregator.insight.impact import impact  # noqa: E402

NETWORKX_QUESTIONS = 5


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    flags.add_argument("--nodes", type=int, default=20_000)
    flags.add_argument("--edges", type=int, default=200_000)
    flags.add_argument("--questions", type=int, default=200)
    flags.add_argument("--seed", type=int, default=1)
    asked = flags.parse_args()
    print(json.dumps(measure(asked.nodes, asked.edges, asked.questions, asked.seed), indent=2))  # noqa: T201


def measure(nodes: int, edges: int, questions: int, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)  # noqa: S311
    case = Case(estate(nodes, edges, dice))
    prepared_ms = milliseconds(answering(case, case.topology.nodes[0].id))
    subjects = [case.topology.nodes[dice.randrange(nodes)].id for _ in range(questions)]
    reach_ms = [milliseconds(reaching(case.calls, subject)) for subject in subjects]
    answer_ms = [milliseconds(answering(case, subject)) for subject in subjects]
    callers = nx.DiGraph()
    callers.add_edges_from((edge.target, edge.source) for edge in case.traffic)
    networkx_ms = [milliseconds(searching(callers, subject)) for subject in subjects[:NETWORKX_QUESTIONS]]
    return {
        "nodes": nodes,
        "edges": edges,
        "prepare_ms": round(prepared_ms, 2),
        "reach_ms": summary(reach_ms),
        "answer_ms": summary(answer_ms),
        "networkx_ms": summary(networkx_ms),
        "times_networkx": round(statistics.median(networkx_ms) / statistics.median(reach_ms), 1),
        "affected_mean": round(statistics.mean(int((case.calls.reach(each).hops > 0).sum()) for each in subjects[:20])),
    }


def estate(nodes: int, edges: int, dice: random.Random) -> pb.Topology:
    """Services in layers, most calls downwards, some back up (circles); a few are called by very many."""
    topology = pb.Topology(nodes=[pb.Node(id=f"ns/Deployment/n{n}", kind=pb.NODE_KIND_WORKLOAD) for n in range(nodes)])
    seen: set[tuple[int, int]] = set()
    while len(seen) < edges:
        source, spread = dice.randrange(nodes), dice.random()
        target = (
            min(int(source + (nodes - source) * spread**2) + 1, nodes - 1) if spread > 0.02 else dice.randrange(nodes)
        )
        if source == target or (source, target) in seen:
            continue
        seen.add((source, target))
        topology.edges.add(
            id=f"e{len(seen)}",
            source=topology.nodes[source].id,
            target=topology.nodes[target].id,
            protocol="http",
            requests=dice.randint(1, 1000),
        )
    return topology


def reaching(graph: CallGraph, subject: str) -> Callable[[], object]:
    return lambda: graph.reach(subject)


def answering(case: Case, subject: str) -> Callable[[], object]:
    return lambda: impact(case, subject)


def searching(callers: "nx.DiGraph[str]", subject: str) -> Callable[[], object]:
    return lambda: nx.descendants(callers, subject)


def milliseconds(do: Callable[[], object]) -> float:
    begin = time.perf_counter()
    do()
    return (time.perf_counter() - begin) * 1e3


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p99": round(ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], 3),
        "longest": round(ordered[-1], 3),
    }


if __name__ == "__main__":
    main()
