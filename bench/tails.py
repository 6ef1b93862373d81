"""The p99 that redis-benchmark finds at a server that is watched, against one beside it that is not: blocks in turn."""

from dataclasses import dataclass

from bench.common import Figure, median, progress
from bench.loads import redis_p99_ns
from bench.stage import Pair
from bench.throughput import spread


@dataclass(frozen=True, slots=True)
class Tails:
    """p99 of four blocks in turn, in nanoseconds."""

    on: tuple[float, float]
    off: tuple[float, float]


def tails(traced: Pair, plain: Pair, pipeline: int, name: str, count: int) -> list[Tails]:
    """Traced, plain, plain, traced, and the other way round."""
    progress(f"{name}: {count} rounds of four blocks")
    found = []
    for number in range(count):
        outer, inner = (traced, plain) if number % 2 else (plain, traced)
        first, second, third, fourth = (redis_p99_ns(pair, pipeline) for pair in (outer, inner, inner, outer))
        ends, middle = (first, fourth), (second, third)
        found.append(Tails(ends, middle) if outer is traced else Tails(middle, ends))
    return found


def added_p99(found: list[Tails], name: str) -> list[Figure]:
    """No budget: blocks of one server differ by more than what is looked for (latency.py has the way that tells)."""
    added = [sum(one.on) / sum(one.off) - 1 for one in found]
    noise = [one.off[0] / one.off[1] - 1 for one in found]
    plain = median([p99 for one in found for p99 in one.off])
    return [
        Figure(f"p99 added, {name}", median(added) * 100, "%", note=spread(added)),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  p99, plain", plain / 1e3, "us"),
    ]
