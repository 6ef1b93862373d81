"""What a server that is watched does, against one beside it that is not: the same load, in turn, within seconds.

Agents stay on all the time, since starting one takes longer than a block: traced and plain are different hosts of
one cluster. An agent without traffic takes about half a percent of a core from both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bench.common import Figure, median, progress, quantile
from bench.stage import Pair


@dataclass(frozen=True, slots=True)
class Block:
    """CPU is of the server and its client, which is all that the machine does for it but the agent's own."""

    rate: float
    cpu_a_request: float
    p99_ns: float = 0


Load: TypeAlias = Callable[[Pair], Block]


@dataclass(frozen=True, slots=True)
class Quad:
    """Four blocks in turn: two traced ones around or between two plain ones."""

    on: tuple[Block, Block]
    off: tuple[Block, Block]


def quads(traced: Pair, plain: Pair, load: Load, name: str, count: int) -> list[Quad]:
    """Traced, plain, plain, traced, and the other way round."""
    for pair in (traced, plain):
        load(pair)
    found = []
    for number in range(count):
        progress(f"{name}: {number + 1} of {count}")
        outer, inner = (traced, plain) if number % 2 else (plain, traced)
        first, second, third, fourth = (load(pair) for pair in (outer, inner, inner, outer))
        ends, middle = (first, fourth), (second, third)
        found.append(Quad(ends, middle) if outer is traced else Quad(middle, ends))
    return found


def kept(found: list[Quad], name: str, must: str = "", row: str = "") -> list[Figure]:
    """Shares of the throughput that are kept."""
    shares = [_rate(one.on) / _rate(one.off) for one in found]
    by_cpu = [_cpu(one.off) / _cpu(one.on) for one in found]
    noise = [one.off[0].rate / one.off[1].rate for one in found]
    return [
        Figure(f"throughput kept, {name}", median(shares) * 100, "%", must, spread(shares), row),
        Figure("  by CPU of server and client for a request", median(by_cpu) * 100, "%", must, spread(by_cpu)),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  plain, a second", median([_rate(one.off) / 2 for one in found]), "requests/s"),
    ]


def added_p99(found: list[Quad], name: str, row: str = "") -> list[Figure]:
    added = [sum(one.p99_ns for one in quad.on) / sum(one.p99_ns for one in quad.off) - 1 for quad in found]
    noise = [quad.off[0].p99_ns / quad.off[1].p99_ns - 1 for quad in found]
    plain = median([one.p99_ns for quad in found for one in quad.off])
    return [
        Figure(f"p99 added, {name}", median(added) * 100, "%", "<= 5", spread(added), row),
        Figure("  plain against plain", median(noise) * 100, "%", note=spread(noise)),
        Figure("  p99, plain", plain / 1e3, "us"),
    ]


def spread(shares: list[float]) -> str:
    return f"half of {len(shares)} within {quantile(shares, 0.25):.1%} and {quantile(shares, 0.75):.1%}"


def _rate(blocks: tuple[Block, Block]) -> float:
    return sum(one.rate for one in blocks)


def _cpu(blocks: tuple[Block, Block]) -> float:
    return sum(one.cpu_a_request for one in blocks)
