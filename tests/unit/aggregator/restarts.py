"""A store that is started again and again on one folder, and two agents that tell it of each second."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, ReportRequest

from aggregator.records import SECOND_NS
from aggregator.settings import Settings
from aggregator.store import Restored, Store
from tests.unit.aggregator.agents import Agent, World, ns

WINDOW_NS = 300 * SECOND_NS


class Damages:
    def __init__(self) -> None:
        self.files: list[str] = []
        self.faults: list[tuple[str, Exception]] = []

    def damaged(self, file: Path, at_byte: int, cut_bytes: int, reason: str) -> None:
        self.files.append(file.name)

    def unusable(self, what: str, error: Exception) -> None:
        self.faults.append((what, error))


class Started:
    """A store on a folder, at a time that tests set."""

    def __init__(self, settings: Settings, now: float = 1.0) -> None:
        self.now = now
        self.damages = Damages()
        self.store = Store(settings, self.damages, lambda: ns(self.now))
        self.restored: Restored = self.store.restore()

    def hear(self, agent: Agent, begin: float) -> Batch:
        """One second of an agent's, with its hello where that is due."""
        self.now = begin + 1
        hello = agent.hello(self.now)
        if not agent.greeted:
            self.store.hello(hello, ReportRequest(hello=hello).SerializeToString())
            agent.greeted = True
        batch = agent.batch(begin, begin + 1)
        self.take(agent, batch)
        return batch

    def take(self, agent: Agent, batch: Batch) -> bool:
        taken = self.store.batch(agent.hello(self.now), batch, ReportRequest(batch=batch).SerializeToString())
        return taken.is_new

    def save(self) -> None:
        self.store.save(*self.store.checkpoint())

    def topology(self, now: float = 60.0) -> pb.Topology:
        self.now = now
        return self.store.topology(WINDOW_NS)

    def requests(self) -> dict[tuple[str, str], int]:
        return {(edge.source, edge.target): edge.requests for edge in self.topology().edges}


class Folder:
    """Restarts on one folder, and two agents whose units call each other once a second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = Settings(data=path)
        world = World()
        self.alpha, self.beta = world.agent("alpha", "10.0.0.1"), world.agent("beta", "10.0.0.2")

    @contextmanager
    def start(self, now: float = 1.0, **settings: object) -> Iterator[Started]:
        started = Started(replace(self.settings, **settings), now)  # type: ignore[arg-type]
        try:
            yield started
        finally:
            started.store.close()

    def traffic(self, started: Started, begin: float) -> list[Batch]:
        alpha, beta = self.alpha, self.beta
        alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 3, name=alpha.name("/items/*", 1), retransmits=1)
        alpha.told(alpha.unit("web"), "api.pay.test", "192.0.2.7", at=begin)
        alpha.calls(alpha.unit("web"), "192.0.2.7", 443, bytes_sent=5)
        if not beta.greeted:
            beta.listens(beta.unit("shop"), "10.0.0.2", 80)
        beta.serves(beta.unit("shop"), "10.0.0.1", 80, 3, local="10.0.0.2")
        return [started.hear(alpha, begin), started.hear(beta, begin)]

    def newest_checkpoint(self) -> Path:
        return max(self.path.glob("checkpoint-*.bin"))
