"""What a large cluster costs the aggregator: its start, its memory, its CPU, and how far it lags behind a bare watch.

python -m bench.kubernetes [--json] [--pods 20000] [--nodes 200] [--minutes 3]      (root; as `make test-cluster`)

The API server, its store, controllers and scheduler are real; pods are run by kwok, as many as the machine bears. The
bare client does nothing but to read the watch of pods and note when; lag is what the product is later than that, for
each pod that begins or ends while Deployments roll. All of it shares the machine's cores. No part of `make bench`: it
takes a quarter of an hour, most of it to create the pods.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.common import Figure, flags, progress, quantile, show, write
from bench.kubernetes_stage import HTTP_PORT, Crowd, Size, Used, crowd, used
from tests.kubernetes.lab.build import CannotBuild
from tests.kubernetes.lab.lab import LabFailed

_OBJECTS: Final = "plumbline_aggregator_known_pods"
_IDLE_SECONDS: Final = 30
_LONGEST_FILL_SECONDS: Final = 1500
_LONGEST_START_SECONDS: Final = 300
# Rollouts that go on at once: the next begins when one is through.
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """What happened while Deployments rolled."""

    seconds: float
    rollouts: int
    before: Used
    after: Used
    bare_cpu_seconds: float


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=100, help="of each Deployment")
    parser.add_argument("--minutes", type=float, default=3, help="so long Deployments roll")
    asked = parser.parse_args()
    try:
        with crowd(Size(asked.pods, asked.nodes, asked.replicas)) as cluster:
            figures = measured(cluster, asked.minutes * 60)
    except (LabFailed, CannotBuild, TimeoutError) as error:
        write(f"kubernetes: {error}")
        return 4
    show(figures, asked.json)
    return 0 if all(is_met(figure) for figure in figures) else 1


def is_met(figure: Figure) -> bool:
    return not figure.budget or figure.value <= float(figure.budget.removeprefix("<= "))


def measured(cluster: Crowd, seconds: float) -> list[Figure]:
    took = cluster.fill(_LONGEST_FILL_SECONDS)
    size = cluster.size
    figures = [Figure("until all pods were ready", took, "s", note=f"{size.pods:,} on {size.nodes} nodes, by kwok")]
    progress("start")
    began = time.monotonic()
    process, notes = cluster.watcher("product", str(cluster.directory / "data"), str(HTTP_PORT))
    while cluster.metric(_OBJECTS) < size.pods:
        if time.monotonic() - began > _LONGEST_START_SECONDS:
            raise TimeoutError(f"after {_LONGEST_START_SECONDS} s it knows {cluster.metric(_OBJECTS):g} pods")
        time.sleep(0.1)
    took, started = time.monotonic() - began, used(process)
    time.sleep(_IDLE_SECONDS)
    idle = used(process)
    figures += [
        Figure("aggregator: from its start until all pods are named", took, "s", "<= 60"),
        Figure("  CPU of that", started.cpu_seconds, "s", "<= 30"),
        Figure("  memory, the highest until then", started.highest_bytes / 1e6, "MB", "<= 500"),
        Figure("  idle, memory", idle.resident_bytes / 1e6, "MB", "<= 400"),
        Figure("  idle, CPU", (idle.cpu_seconds - started.cpu_seconds) / _IDLE_SECONDS * 1e3, "ms/s", "<= 50"),
    ]
    return figures + rolled(cluster, process, notes, seconds)


def rolled(cluster: Crowd, process: int, notes: Path, seconds: float) -> list[Figure]:
    bare, bare_notes = cluster.watcher("bare")
    while not bare_notes.exists() or not bare_notes.stat().st_size:
        time.sleep(0.1)
    turn = roll(cluster, process, bare, seconds)
    time.sleep(3)
    theirs, ours = read(bare_notes), read(notes)
    events = bare_notes.read_text().count("\n")
    begun = lags(theirs["+"], ours["+"])
    ended = lags(theirs["-"], ours["-"])
    missed = sum(uid not in ours[sign] for sign in "+-" for uid in theirs[sign])
    cpu = turn.after.cpu_seconds - turn.before.cpu_seconds
    pods = len(theirs["+"]) / turn.seconds
    return [
        Figure("rollouts", turn.rollouts / turn.seconds * 60, "a minute", note=f"of {cluster.size.replicas} pods each"),
        Figure("  pods that began", pods, "a second", note=f"{events / turn.seconds:.0f} events of pods a second"),
        Figure("  pods that began or ended and were not noted", missed, "pods", "<= 0"),
        Figure("  lag beyond a bare watch, a pod that begins, p50", quantile(begun, 0.5) * 1e3, "ms"),
        Figure("    p99", quantile(begun, 0.99) * 1e3, "ms", "<= 1000"),
        Figure("    the longest", max(begun) * 1e3, "ms"),
        Figure("  lag beyond a bare watch, a pod that ends, p50", quantile(ended, 0.5) * 1e3, "ms"),
        Figure("    p99", quantile(ended, 0.99) * 1e3, "ms", "<= 1000"),
        Figure("  CPU", cpu / turn.seconds * 1e3, "ms/s", "<= 500"),
        Figure("    of the bare client", turn.bare_cpu_seconds / turn.seconds * 1e3, "ms/s"),
        Figure("  CPU for an event of a pod", cpu / events * 1e3, "ms"),
        Figure("  memory, the highest", turn.after.highest_bytes / 1e6, "MB", "<= 600"),
    ]


def roll(cluster: Crowd, process: int, bare: int, seconds: float) -> Turn:
    waiting = [f"d{number}" for number in range(cluster.size.deployments)]
    began, before, bare_before = time.monotonic(), used(process), used(bare)
    rolling: set[str] = set()
    done = 0
    while time.monotonic() - began < seconds:
        still = cluster.rolling() & rolling
        done += len(rolling - still)
        rolling = still
        while len(rolling) < _AT_ONCE:
            name = waiting.pop(0)
            waiting.append(name)
            cluster.roll(name)
            rolling.add(name)
        progress(f"{time.monotonic() - began:.0f} s: {done} rollouts")
        time.sleep(1)
    took = time.monotonic() - began
    return Turn(took, done, before, used(process), used(bare).cpu_seconds - bare_before.cpu_seconds)


def read(path: Path) -> dict[str, dict[str, int]]:
    """By sign, when each pod was noted first, in nanoseconds."""
    found: dict[str, dict[str, int]] = {"+": {}, "-": {}}
    for line in path.read_text().splitlines():
        at_ns, sign, *uid = line.split(" ")
        if sign in found and uid:
            found[sign].setdefault(uid[0], int(at_ns))
    return found


def lags(theirs: dict[str, int], ours: dict[str, int]) -> Sequence[float]:
    """Seconds, of those that both noted."""
    return [(ours[uid] - at_ns) / 1e9 for uid, at_ns in theirs.items() if uid in ours] or [float("nan")]


if __name__ == "__main__":
    sys.exit(main())
