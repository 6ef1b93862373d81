"""What servers are asked for the comparisons of throughput.py: each gives a block of one pair's work."""

import csv
from collections.abc import Callable

from bench.stage import CONNECTIONS, REDIS_PORT, Pair
from bench.throughput import Block, Load

_SECONDS = 2
# So many take about a second.
REDIS_COMMANDS = {1: 60_000, 16: 600_000}


def http(pair: Pair) -> Block:
    """nginx, six bytes an answer, as fast as it goes: each message says what the one before it said."""
    return _with_cpu(pair, lambda: _wrk(pair))


def varied(pair: Pair) -> Block:
    """The same, but no message is like another."""
    return _with_cpu(pair, lambda: _wrk(pair, varied=True))


def https(pair: Pair) -> Block:
    return _with_cpu(pair, lambda: _wrk(pair, encrypted=True))


def redis(pipeline: int) -> Load:
    """GET of three bytes, so many requests sent at once on each connection."""
    words = ["redis-benchmark", "-p", REDIS_PORT, "-c", CONNECTIONS, "-t", "get", "-d", 3, "--csv"]
    words += ["-n", REDIS_COMMANDS[pipeline], "-P", pipeline]

    def block(pair: Pair) -> Block:
        return _with_cpu(pair, lambda: _redis(pair, [*words, "-h", pair.server.ipv4], pipeline))

    return block


def _wrk(pair: Pair, encrypted: bool = False, varied: bool = False) -> tuple[int, Block]:
    load = pair.wrk(_SECONDS, encrypted=encrypted, varied=varied)
    return load.requests, Block(load.rate, 0)


def _redis(pair: Pair, command: list[object], pipeline: int) -> tuple[int, Block]:
    row = list(csv.DictReader(pair.ask("redis", command).splitlines()))[-1]
    return REDIS_COMMANDS[pipeline], Block(float(row["rps"]), 0, float(row["p99_latency_ms"]) * 1e6)


def _with_cpu(pair: Pair, run: Callable[[], tuple[int, Block]]) -> Block:
    before = pair.cpu_seconds()
    requests, block = run()
    return Block(block.rate, (pair.cpu_seconds() - before) / requests, block.p99_ns)
