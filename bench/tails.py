"""The p99 that redis-benchmark finds at a server that is watched, against one beside it that is not: blocks in turn."""

from functools import partial

from bench.common import Figure, median, progress
from bench.loads import redis_p99_ns
from bench.quads import quads, spread
from bench.stage import Pair


def added_p99(traced: Pair, plain: Pair, pipeline: int, name: str, count: int) -> list[Figure]:
    """No budget: blocks of one server differ by more than what is looked for (latency.py has the way that tells)."""
    progress(f"{name}: {count} rounds of four blocks")
    found = quads(partial(redis_p99_ns, traced, pipeline), partial(redis_p99_ns, plain, pipeline), count)
    added = [sum(one.on) / sum(one.off) - 1 for one in found]
    noise = [one.off[0] / one.off[1] - 1 for one in found]
    plain_ns = median([p99 for one in found for p99 in one.off])
    return [
        Figure(f"p99 added, {name}", median(added) * 100, "%", note=spread(added)),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  p99, plain", plain_ns / 1e3, "us"),
    ]
