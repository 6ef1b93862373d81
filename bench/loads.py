"""What servers are asked for the comparisons of throughput.py and tails.py."""

import csv
from collections.abc import Callable
from dataclasses import dataclass

from bench.stage import CONNECTIONS, REDIS_PORT, Pair
from tests.cluster.processes import Program

_WITHOUT_END_SECONDS = 3600
_WITHOUT_END_COMMANDS = 1_000_000_000
# So many take a tenth to a fifth of a second.
REDIS_COMMANDS = {1: 10_000, 16: 100_000}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests without end from a pair's client, and how many its server has answered, by the server's own count."""

    start: Callable[[Pair], Program]
    answered: Callable[[Pair], int]


def _wrk(encrypted: bool = False, varied: bool = False) -> Load:
    def start(pair: Pair) -> Program:
        return pair.start_wrk(_WITHOUT_END_SECONDS, encrypted=encrypted, varied=varied)

    return Load(start, lambda pair: pair.served())


# nginx, six bytes an answer, as fast as it goes: each message says what the one before it said.
HTTP = _wrk()
# The same, but no message is like another.
VARIED = _wrk(varied=True)
HTTPS = _wrk(encrypted=True)


def redis(pipeline: int) -> Load:
    """GET of three bytes, so many requests sent at once on each connection."""

    def start(pair: Pair) -> Program:
        return pair.start_asking("redis", _redis_words(pair, pipeline, _WITHOUT_END_COMMANDS))

    return Load(start, lambda pair: pair.commands())


def redis_p99_ns(pair: Pair, pipeline: int) -> float:
    """Of a block of such requests."""
    said = pair.ask("redis", _redis_words(pair, pipeline, REDIS_COMMANDS[pipeline])).splitlines()
    return float(list(csv.DictReader(said))[-1]["p99_latency_ms"]) * 1e6


def _redis_words(pair: Pair, pipeline: int, commands: int) -> list[object]:
    where = ["redis-benchmark", "-h", pair.server.ipv4, "-p", REDIS_PORT, "-c", CONNECTIONS]
    return [*where, "-t", "get", "-d", 3, "--csv", "-n", commands, "-P", pipeline]
