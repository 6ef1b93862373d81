"""The grid of bad wires: an agent at each end, the mixed load between them, what each end counted against the truth.

`python -m tests.kernel.ordering` runs the whole grid and prints the table of docs/ordering.md.
"""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.impaired import Impairment, Passed
from tests.cluster.processes import PYTHON
from tests.kernel.wire import Counted, Wire

PORT = 8080
LOSSES = (0, 0.001, 0.01, 0.05)
REORDERINGS = (0, 0.01, 0.1)
DUPLICATION = 0.01
DEPTHS = (1, 8)
CLOSE_SECONDS = 8
# Of a stage's loads. Four of 250 by MPTCP that is refused did so over a wire with 1 % loss and without any agent: Linux
# 6.18 gave their clients other bytes than were sent, or none any more.
LOADS_THAT_MAY_FAIL = 3
PERFECT = Impairment()
# (method, folded route, status) of an answered request.
Key: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    impairment: Impairment
    depth: int = 1
    requests: int = 6000
    options: tuple[str, ...] = ()

    @property
    def must_be_exact(self) -> bool:
        return self.impairment.loss <= 0.01 and self.impairment.reordering <= 0.01

    def __str__(self) -> str:
        shares = (self.impairment.loss, self.impairment.reordering, self.impairment.duplication)
        return f"{'/'.join(f'{share:.1%}' for share in shares)} depth {self.depth} {' '.join(self.options)}".strip()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the load generator did."""

    rows: Counter[Key]
    connections: int


class LoadFailed(AssertionError):
    """A load's own client was not answered as it should be."""

    def __init__(self, errors: Sequence[str], connections: int) -> None:
        super().__init__(f"the load failed by itself: {', '.join(errors)}")
        self.connections = connections


@dataclass(slots=True)
class Side:
    """What one end counted, held against the truth."""

    exact: int = 0
    missing: int = 0
    wrong: Counter[Key] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Outcome:
    truth: Truth
    client: Side
    server: Side
    seen: dict[str, Counted]
    passed: Passed

    @property
    def sides(self) -> dict[str, Side]:
        return {"client": self.client, "server": self.server}


def truth_of(told: Any) -> Truth:
    """What a client has written. Raises LoadFailed when it met anything that it should not."""
    if told["errors"] or not told["rows"]:
        raise LoadFailed(told["errors"][:3], told["connections"])
    rows = Counter({(method, route, str(end)): count for method, route, end, count in told["rows"]})
    return Truth(rows, told["connections"])


def judged(truth: Truth, seen: Counted, side: str) -> Side:
    """A row that counts more than the truth, or that never was, is wrong: an unanswered one too, all were answered."""
    counted: Counter[Key] = Counter()
    for (whose, *key), count in seen.requests.items():
        if whose == side:
            counted[key[0], key[1], key[2]] += count
    exact = (counted & truth.rows).total()
    return Side(exact, truth.rows.total() - exact, counted - truth.rows, Counter(seen.lost))


class Stage:
    """Two hosts with a bad wire between them, and an agent's kernel side on each. A context manager."""

    def __init__(self, server_options: Sequence[str] = ()) -> None:
        self._server_options = server_options
        self._undo = ExitStack()
        self._runs = itertools.count(1)
        self.failed: list[LoadFailed] = []

    def __enter__(self) -> "Stage":
        with ExitStack() as undo:
            self.cluster = undo.enter_context(Cluster(impaired=("alpha",)))
            self.client = self.cluster.pod("alpha", "client")
            self.server = self.cluster.pod("beta", "server")
            self.serve(PORT, *self._server_options)
            self.wires = {}
            for host in self.cluster.host_names:
                self.wires[host] = Wire(self.cluster.cgroup_root(host))
                undo.callback(self.wires[host].kernel.close)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def serve(self, port: int, *options: str) -> None:
        command = [PYTHON, APPS / "mixed_server.py", port, *options]
        self.server.start(f"server-{port}", command, listens=[f"[::]:{port}"])

    def impair(self, impairment: Impairment) -> Passed:
        return self.cluster.wires["alpha"].impair(impairment)

    def load(self, options: Sequence[object], address: str = "", port: int = PORT) -> Truth:
        """The mixed load from the client to the server."""
        return self.ask("mixed_client.py", [address or self.server.ipv4, port, *options])

    def ask(
        self,
        program: str,
        words: Sequence[object],
        client: Workload | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Truth:
        """Runs a client that tells what it did. Raises LoadFailed when it was not answered as it should be."""
        number = next(self._runs)
        counts = self.cluster.directory / f"client-{number}.json"
        command = [PYTHON, APPS / program, *words, "--counts", counts]
        (client or self.client).start(f"client-{number}", command, environment=environment).wait(120)
        return truth_of(json.loads(counts.read_text()))

    def run(self, cell: Cell) -> Outcome:
        depth = ("--requests", cell.requests, "--depth", cell.depth, "--seed", cell.impairment.seed)
        return self.watch(lambda: self.load([*depth, *cell.options]), cell.impairment)

    def watch(self, act: Callable[[], Truth], impairment: Impairment = PERFECT, client_host: str = "alpha") -> Outcome:
        """What both ends count of what is done over such a wire. The server is on beta."""
        hosts = {"client": client_host, "server": "beta"}
        sides = {host: [side for side, its in hosts.items() if its == host] for host in hosts.values()}
        truth = None
        while truth is None:
            for wire in self.wires.values():
                wire.counted()
            self.impair(impairment)
            try:
                truth = act()
            except LoadFailed as failed:
                self._pass_over(failed, sides)
        told = {host: until_closed(self.wires[host], sides[host], truth.connections) for host in sides}
        passed = self.impair(PERFECT)
        seen = {side: told[host] for side, host in hosts.items()}
        client, server = (judged(truth, counted, side) for side, counted in seen.items())
        return Outcome(truth, client, server, seen, passed)

    def _pass_over(self, failed: LoadFailed, sides: Mapping[str, Sequence[str]]) -> None:
        """Waits until nothing of it is left to be counted. Raises AssertionError when too many loads have failed."""
        self.failed.append(failed)
        assert len(self.failed) <= LOADS_THAT_MAY_FAIL, "; ".join(map(str, self.failed))
        self.impair(PERFECT)
        for host, its in sides.items():
            until_closed(self.wires[host], its, failed.connections)


def until_closed(wire: Wire, sides: Sequence[str], connections: int) -> Counted:
    """Everything counted, once the ends of all connections have been seen too; a FIN may be lost more than once."""
    seen, end = wire.counted(), time.monotonic() + CLOSE_SECONDS
    while any(seen.totals[side]["closed"] < connections for side in sides) and time.monotonic() < end:
        time.sleep(0.2)
        seen.add(wire.counted())
    return seen


def assert_never_wrong(outcome: Outcome) -> None:
    """No end counts what was not, and none is silent about what it missed."""
    for name, side in outcome.sides.items():
        assert not side.wrong, (name, side.wrong.most_common(5), dict(side.lost))
        assert side.lost or not side.missing, f"the {name} is silent about {side.missing} requests that it missed"
        totals = outcome.seen[name].totals[name]
        told = (totals["connections"], totals["closed"])
        assert told == (outcome.truth.connections, outcome.truth.connections), name


def assert_bytes_agree(outcome: Outcome) -> None:
    client, server = (outcome.seen[name].totals[name] for name in ("client", "server"))
    assert client["bytes_sent"] == server["bytes_received"]
    assert client["bytes_received"] == server["bytes_sent"]


def assert_counts(outcome: Outcome) -> None:
    """Requests and connections, exactly."""
    assert_never_wrong(outcome)
    for name, side in outcome.sides.items():
        assert (side.missing, dict(side.lost)) == (0, {}), f"{name}: {side.missing} missing, {dict(side.lost)}"


def assert_exact(outcome: Outcome) -> None:
    assert_counts(outcome)
    assert_bytes_agree(outcome)


def grid(requests: int = 6000) -> Iterator[Cell]:
    for number, (loss, reordering, depth) in enumerate(itertools.product(LOSSES, REORDERINGS, DEPTHS), start=1):
        yield Cell(Impairment(loss, reordering, DUPLICATION, seed=number), depth, requests)


HEADER = (
    "| loss / reordering, pipelined to | requests | client: exact, wrong, missing | server: exact, wrong, missing "
    "| frames: lost, held back, doubled | lost, by reason |\n|---|---|---|---|---|---|"
)


def table_row(cell: Cell, outcome: Outcome) -> str:
    sides = [f"{one.exact:,}, {one.wrong.total():,}, {one.missing:,}" for one in outcome.sides.values()]
    reasons = [f"{side} {name} {n}" for side, one in outcome.sides.items() for name, n in sorted(one.lost.items())]
    passed = f"{outcome.passed.lost:,}, {outcome.passed.held_back:,}, {outcome.passed.doubled:,}"
    shares = f"{cell.impairment.loss:.1%} / {cell.impairment.reordering:.0%}, depth {cell.depth}"
    return f"| {shares} | {outcome.truth.rows.total():,} | {' | '.join(sides)} | {passed} | {', '.join(reasons)} |"


def main() -> None:
    sys.stdout.write(f"{HEADER}\n")
    with Stage() as stage:
        for cell in grid():
            sys.stdout.write(f"{table_row(cell, stage.run(cell))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
