"""How long `impact` takes on a large graph, and the same question asked of networkx.

python -m bench.impact [--json] [--nodes 20000] [--edges 200000] [--questions 200]

CPU of this process: what a Case makes once for all its questions, then the search alone and the whole answer, and
networkx's `descendants`, which knows no shares.
"""

import random
import statistics
import time
from collections.abc import Callable

import networkx as nx
from plumbline.v1 import topology_pb2 as pb

from aggregator.garbage import search_seldom
from aggregator.insight.callgraph import CallGraph
from aggregator.insight.case import Case
from aggregator.insight.impact import are_enough, impact
from bench.common import Figure, flags, median, quantile, show

NETWORKX_QUESTIONS = 5


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--edges", type=int, default=200_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    show(measure(asked.nodes, asked.edges, asked.questions, asked.seed), asked.json)


def measure(nodes: int, edges: int, questions: int, seed: int) -> list[Figure]:
    dice = random.Random(seed)  # noqa: S311
    case = Case(estate(nodes, edges, dice))
    # The last one has callers: who owns them is asked too.
    prepared_ms = milliseconds(answering(case, case.topology.nodes[-1].id))
    search_seldom()  # as the aggregator does
    subjects = [case.topology.nodes[dice.randrange(nodes)].id for _ in range(questions)]
    reach_ms = [milliseconds(reaching(case.calls, subject)) for subject in subjects]
    answer_ms = [milliseconds(answering(case, subject)) for subject in subjects]
    callers = nx.DiGraph()
    callers.add_edges_from((edge.target, edge.source) for edge in case.traffic)
    networkx_ms = [milliseconds(searching(callers, subject)) for subject in subjects[:NETWORKX_QUESTIONS]]
    affected = statistics.mean(int((case.calls.reach(each).hops > 0).sum()) for each in subjects[:20])
    return [
        Figure(f"impact, {nodes:,} nodes, {edges:,} edges: once for all questions", prepared_ms, "ms"),
        Figure("  the answer, median", median(answer_ms), "ms", note=f"{affected:,.0f} nodes are affected on average"),
        Figure("  the answer, p99", quantile(answer_ms, 0.99), "ms", "< 10"),
        Figure("  the search alone, median", median(reach_ms), "ms"),
        Figure("  the search alone, p99", quantile(reach_ms, 0.99), "ms"),
        Figure("  times faster than networkx's search", median(networkx_ms) / median(reach_ms), "x"),
    ]


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
    return lambda: graph.reach(subject, are_enough)


def answering(case: Case, subject: str) -> Callable[[], object]:
    return lambda: impact(case, subject)


def searching(callers: "nx.DiGraph[str]", subject: str) -> Callable[[], object]:
    return lambda: nx.descendants(callers, subject)


def milliseconds(do: Callable[[], object]) -> float:
    begin = time.process_time()
    do()
    return (time.process_time() - begin) * 1e3


if __name__ == "__main__":
    main()
