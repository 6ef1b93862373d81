"""What the revisions of pods add to a snapshot: the same estate, its pods with and without revisions, in turn.

python -m bench.byrevision [--json] [--quick]

CPU of this process, not time. Each workload has one pod, or two of two revisions, as while all are rolled out at once.
"""

import tempfile
from functools import partial
from pathlib import Path

from aggregator.garbage import search_seldom
from aggregator.resolve.workloads import PodName
from aggregator.topology.snapshot import Graph
from bench.aggregator import Site, whole
from bench.common import Figure, cpu_seconds, flags, median, progress, show

_SECONDS_OF_DATA = 20


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that it works")
    asked = parser.parse_args()
    edges, rounds = (1000, 3) if asked.quick else (10_000, 8)
    search_seldom()
    figures = [figure for pods in (1, 2) for figure in compared(edges, rounds, pods)]
    show(figures, asked.json)


def compared(edges: int, rounds: int, pods: int) -> list[Figure]:
    """ABBA; figures are of an edge that is drawn."""
    progress(f"{edges:,} pairs of pods, {pods} a workload")
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        sites = [_site(edges, Path(data) / str(marked), pods, marked) for marked in (False, True)]
        used: list[list[float]] = [[], []]
        graphs: list[Graph] = [whole(site.store) for site in sites]
        for number in range(rounds):
            for at in (0, 1) if number % 2 else (1, 0):
                sites[at].second()
                seconds, graphs[at] = cpu_seconds(partial(whole, sites[at].store))
                used[at].append(seconds / len(graphs[at].edges))
        edges = len(graphs[1].edges)
        rows = sum(len(edge.revisions) for edge in graphs[1].edges.values()) / edges
        for site in sites:
            site.store.close()
    ratio = median([marked / plain for plain, marked in zip(*used, strict=True)])
    text = f"{edges:,} edges, {pods} revision(s) a workload"
    return [
        Figure(f"snapshot without, {text}", median(used[0]) * 1e6, "us an edge"),
        Figure("  with", median(used[1]) * 1e6, "us an edge", note=f"{rows:.1f} rows an edge"),
        Figure("  times as much", ratio, "x"),
    ]


def _site(edges: int, data: Path, pods: int, marked: bool) -> Site:
    site = Site(edges, data)
    uids = [one.pod_uid for agent in site.agents for one in agent.endpoints]
    site.store.learn_pods([_named(uid, pods, marked) for uid in uids], uids, ())
    for _ in range(_SECONDS_OF_DATA):
        site.second()
    return site


def _named(uid: str, pods: int, marked: bool) -> PodName:
    number = int(uid, 16)
    revision = f"rev-{number // pods}-{number % pods}" if marked else ""
    return PodName(uid, "bench", "deployment", f"d{number // pods}", f"p{number}", revision, "n1")


if __name__ == "__main__":
    main()
