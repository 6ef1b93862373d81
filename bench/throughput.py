"""What an nginx that is watched serves, against one beside it that is not: the same, in turn, within seconds.

Agents stay on all the time, since starting one takes longer than a block: traced and plain are different hosts of
one cluster. An agent without traffic takes about half a percent of a core from both.
"""

from dataclasses import dataclass

from bench.common import Figure, median, progress, quantile
from bench.stage import CLIENT_HOST, SERVER_HOST, Pair, agents
from tests.cluster.product import Product

BOTH = (CLIENT_HOST, SERVER_HOST)


@dataclass(frozen=True, slots=True)
class Block:
    """CPU is of nginx and wrk, which is all that the machine does for it but the agent's own."""

    rate: float
    cpu_a_request: float


def throughput(
    traced: Pair, plain: Pair, product: Product, hosts: tuple[str, ...], quads: int, seconds: int
) -> list[Figure]:
    """Shares that are kept, in quads: traced, plain, plain, traced, and the other way round."""
    name = "both sides traced" if hosts == BOTH else "the server's side traced"
    kept, kept_cpu, noise = [], [], []
    with agents(product, *hosts):
        for pair in (traced, plain):
            pair.wrk(1)
        for number in range(quads):
            progress(f"throughput, {name}: {number + 1} of {quads}")
            outer, inner = (traced, plain) if number % 2 else (plain, traced)
            first, second, third, fourth = (_block(pair, seconds) for pair in (outer, inner, inner, outer))
            on, off = ((first, fourth), (second, third)) if outer is traced else ((second, third), (first, fourth))
            kept.append(sum(one.rate for one in on) / sum(one.rate for one in off))
            kept_cpu.append(sum(one.cpu_a_request for one in off) / sum(one.cpu_a_request for one in on))
            noise.append(off[0].rate / off[1].rate)
    must = ">= 90 %" if hosts == BOTH else ">= 98 %"
    return [
        Figure(f"throughput kept, {name}", median(kept) * 100, "%", must, _spread(kept)),
        Figure("  by CPU of nginx and wrk for a request", median(kept_cpu) * 100, "%", must, _spread(kept_cpu)),
        Figure("  plain against plain", median(noise) * 100, "%", note=_spread(noise)),
    ]


def _block(pair: Pair, seconds: int) -> Block:
    before = pair.cpu_seconds()
    load = pair.wrk(seconds)
    return Block(load.rate, (pair.cpu_seconds() - before) / load.requests)


def _spread(shares: list[float]) -> str:
    return f"half of {len(shares)} within {quantile(shares, 0.25):.1%} and {quantile(shares, 0.75):.1%}"
