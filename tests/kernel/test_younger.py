"""Agents that come while connections are open over a bad wire: followed from where it is certain, never wrong."""

import json
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.identity.sockets import tcp_sockets
from agent.records import OpenConnection
from tests.cluster.cluster import APPS
from tests.cluster.impaired import Impairment
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.kernel.ordering import PERFECT, PORT, Key, Stage, truth_of
from tests.kernel.wire import Wire

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
# Longer than a segment is sent again, so that what was open when the agents came is over.
SETTLE_SECONDS = 3


@dataclass
class Older:
    """A load that has begun before the agent; what it had done by certain moments."""

    stage: Stage
    depth: int

    def __post_init__(self) -> None:
        self.counts = self.stage.cluster.directory / f"older-{self.depth}.json"
        words = ["--requests", 10**6, "--connections", 12, "--largest", 20_000, "--pause", 0.05]
        words += ["--depth", self.depth, "--under", f"/depth-{'x' * self.depth}", "--counts", self.counts]
        command = [PYTHON, APPS / "mixed_client.py", self.stage.server.ipv4, PORT, *words]
        self.program = self.stage.client.start(f"older-{self.depth}", command)
        wait_until(self.program.output.read_bytes, "the load has begun", 30)

    def answered(self) -> Counter[Key]:
        return truth_of(self.program.counts(self.counts)).rows

    def end(self) -> Counter[Key]:
        self.program.tell(signal.SIGTERM)
        self.program.wait(60)
        return truth_of(json.loads(self.counts.read_text())).rows


def test_connections_older_than_the_agent_over_a_bad_wire(stage: Stage) -> None:
    stage.impair(Impairment(0.01, 0.01, 0.01, seed=9))
    loads = [Older(stage, 1), Older(stage, 8)]
    time.sleep(1)
    before = [load.answered() for load in loads]
    young = Wire(stage.cluster.cgroup)  # of both hosts: its rows tell the sides apart
    try:
        owners = (loads[0].program, stage.server.programs[0])
        young.kernel.adopt_connections([one for owner in owners for one in open_connections(owner)])
        time.sleep(SETTLE_SECONDS)
        known_from = [load.answered() for load in loads]
        time.sleep(SETTLE_SECONDS)
        last = [load.end() for load in loads]
        seen = young.counted()
    finally:
        young.kernel.close()
        stage.impair(PERFECT)
    for side in ("client", "server"):
        rows = Counter({(row[1], row[2], row[3]): count for row, count in seen.requests.items() if row[0] == side})
        wrong = rows - (last[0] + last[1] - before[0] - before[1])
        assert not wrong, (side, wrong.most_common(5), seen.lost)
        missed, piped = (last[at] - known_from[at] - rows for at in (0, 1))
        assert not missed, (side, missed.most_common(5), seen.lost)
        assert seen.lost or not piped, f"the {side} is silent about {piped.total()} requests"


def open_connections(owner: Program) -> list[OpenConnection]:
    """As the agent reads them: from the tables of the namespace."""
    namespace = Path(f"/proc/{owner.pid}/ns/net").stat().st_ino
    tables = [Path(f"/proc/{owner.pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    return [
        OpenConnection(
            one.local_address, one.local_port, one.peer_address, one.peer_port, 1 + (one.local_port == PORT), namespace
        )
        for one in tcp_sockets(*tables)[1]
        if PORT in (one.local_port, one.peer_port)
    ]
