"""What a server that is watched does, against one beside it that is not: one load, in turns of a tenth of a second.

A shared machine changes its speed from one second to the next, so turns are short. Their clients are started once and
halted between their turns. Agents stay on all the time, since starting one takes longer than a turn: traced and plain
are different hosts of one cluster. An agent without traffic takes about half a percent of a core from both.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.common import Figure, median, progress
from bench.loads import Load
from bench.quads import Quad, quads, spread
from bench.stage import Pair
from tests.cluster.processes import Program, ProgramFailed

_TURN_SECONDS, _WARM_SECONDS = 0.1, 1.0
# For a server to end what its halted client had asked before.
_ENDING_SECONDS = 0.003


@dataclass(frozen=True, slots=True)
class Turn:
    """CPU is of the server and its client, which is all that the machine does for it but the agent's own."""

    rate: float
    cpu_a_request: float


class _Client:
    """A load that runs in its turns only."""

    def __init__(self, pair: Pair, load: Load, program: Program) -> None:
        self._pair, self._load, self._program = pair, load, program

    def turn(self, seconds: float = _TURN_SECONDS) -> Turn:
        answered, cpu = self._load.answered(self._pair), self._pair.cpu_seconds()
        begin = time.perf_counter()
        self._program.tell(signal.SIGCONT)
        time.sleep(seconds)
        self._program.tell(signal.SIGSTOP)
        elapsed = time.perf_counter() - begin
        time.sleep(_ENDING_SECONDS)
        cpu = self._pair.cpu_seconds() - cpu
        answered = self._load.answered(self._pair) - answered
        if not answered:
            raise ProgramFailed(f"{self._program.name} got no answer in its turn\n{self._program.tail()}")
        return Turn(answered / elapsed, cpu / answered)


@contextmanager
def _client(pair: Pair, load: Load) -> Iterator[_Client]:
    program = load.start(pair)
    try:
        client = _Client(pair, load, program)
        client.turn(_WARM_SECONDS)
        yield client
    finally:
        program.kill()


def compared(traced: Pair, plain: Pair, load: Load, name: str, count: int) -> list[Quad[Turn]]:
    progress(f"{name}: {count} rounds of four turns")
    with _client(traced, load) as watched, _client(plain, load) as unwatched:
        return quads(watched.turn, unwatched.turn, count)


def kept(found: list[Quad[Turn]], name: str, must: str = "", row: str = "") -> list[Figure]:
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


def _rate(turns: tuple[Turn, Turn]) -> float:
    return sum(one.rate for one in turns)


def _cpu(turns: tuple[Turn, Turn]) -> float:
    return sum(one.cpu_a_request for one in turns)
