"""What the revisions of pods add to a snapshot: one estate, its pods without revisions, with, and without once more.

python -m bench.byrevision [--json] [--quick]

CPU of this process, not time. Each workload has one pod, or two of two revisions, as while all are rolled out at once.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aggregator.garbage import search_seldom
from aggregator.resolve.workloads import PodName
from aggregator.topology.snapshot import Graph
from bench.aggregator import Site, whole
from bench.common import Figure, cpu_seconds, flags, median, progress, show

_SECONDS_OF_DATA = 20
_MARKED = 1


def main() -> None:
    parser = flags(__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that it works")
    asked = parser.parse_args()
    edges, rounds = (1000, 3) if asked.quick else (10_000, 12)
    search_seldom()
    figures = [figure for pods in (1, 2) for figure in compared(edges, rounds, pods)]
    show(figures, asked.json)


def compared(pairs: int, rounds: int, pods: int) -> list[Figure]:
    """The three take turns, forwards and backwards; figures are of an edge that is drawn."""
    progress(f"{pairs:,} pairs of pods, {pods} a workload")
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as data:
        sites = [_site(pairs, Path(data) / str(at), pods, at == _MARKED) for at in range(3)]
        graphs: list[Graph] = [whole(site.store) for site in sites]
        used: list[list[float]] = [[] for _ in sites]
        for number in range(rounds):
            for at in range(3) if number % 2 else reversed(range(3)):
                sites[at].second()
                seconds, graphs[at] = cpu_seconds(partial(whole, sites[at].store))
                used[at].append(seconds / len(graphs[at].edges))
        edges = len(graphs[_MARKED].edges)
        rows = sum(len(edge.revisions) for edge in graphs[_MARKED].edges.values()) / edges
        for site in sites:
            site.store.close()
    text = f"{edges:,} edges, {pods} revision(s) a workload"
    return [
        Figure(f"snapshot without, {text}", median(used[0]) * 1e6, "us an edge"),
        Figure("  with", median(used[_MARKED]) * 1e6, "us an edge", note=f"{rows:.1f} rows an edge"),
        Figure("  with against without", _ratio(used[_MARKED], used[0]), "x"),
        Figure("  without against without", _ratio(used[2], used[0]), "x"),
    ]


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    return median([one / other for one, other in zip(these, those, strict=True)])


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
