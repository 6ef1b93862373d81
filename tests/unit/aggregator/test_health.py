"""Third parties are looked at while they are called: what becomes of them is told, kept, and in answers."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from plumbline.v1 import topology_pb2 as pb

from aggregator.health import Health
from aggregator.insight import ask
from aggregator.live import Live
from aggregator.settings import Settings
from aggregator.store import Store
from tests.unit.aggregator.agents import Agent, World, ns
from tests.unit.aggregator.restarts import Damages

PAY, PAY_ADDRESS = "api.pay.example", "203.0.113.9"


class Town:
    """An aggregator, whose estate is told of calls as agents tell it."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.world = World()
        self.world.estate = live.store.estate
        self.faults: list[Exception] = []
        self.health = Health(live, self.faults.append)
        live.standings = self.health.standings
        self.alpha: Agent = self.world.agent("alpha", "10.0.0.1")
        self.alpha.epoch = time.time_ns()
        self.second = (time.time_ns() - ns(0)) / 1e9

    async def calls(self, times: int, name: str = PAY, refused: int = 0) -> None:
        for _ in range(times):
            how = {"connections": 0, "refused": refused} if refused else {"connections": 3}
            self.alpha.calls(self.alpha.unit("web"), PAY_ADDRESS, 443, 0 if refused else 3, said=name, **how)
            self.alpha.tells(self.second, self.second + 0.01)
            self.second += 0.01
            await self.health.look()

    def told(self) -> list[tuple[str, str]]:
        """Which third party, and what became of it."""
        events = self.live.aside.events.values()
        states = [pb.ThirdPartyState.Name(one.third_party.state) for one in events]
        return [(one.node, word.rpartition("_")[2].lower()) for one, word in zip(events, states, strict=True)]


def run(data: Path, whole: Callable[[Town], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        settings = Settings(data=data)
        live = Live(settings, Store(settings, Damages()))
        await live.open()
        town = Town(live)
        try:
            await town.health.look()
            await whole(town)
        finally:
            await live.close()
        assert town.faults == []

    asyncio.run(inside())


def test_what_becomes_of_one_is_told_and_in_its_row(tmp_path: Path) -> None:
    async def whole(town: Town) -> None:
        await town.calls(5)
        assert town.told() == []  # to an aggregator that begins everybody is new, and so nobody is
        seen: list[str] = []
        town.live.usual.listeners.add(lambda: seen.append("told"))
        await town.calls(10, refused=5)
        assert town.told() == [(PAY, "failing")] and seen
        (event,) = town.live.aside.events.values()
        assert (event.kind, list(event.third_party.affected)) == (pb.EVENT_KIND_THIRD_PARTY, ["alpha/web"])
        assert set(event.third_party.reasons) == {"refused"}
        changes = town.live.usual.since(town.live.epoch, 1) or ()
        assert [one.happened for one in changes if one.HasField("happened")] == [event]
        case = await town.live.case(60_000_000_000)
        (row,) = ask(case, "thirdparties").content["third_parties"]
        assert (row["id"], row["state"]) == (PAY, "failing") and row["since"].startswith("20")
        assert [(one["id"], one["state"]) for one in row["dependants"]] == [("alpha/web", "failing")]

    run(tmp_path, whole)


def test_what_was_known_before_a_restart_is_not_new_after_it(tmp_path: Path) -> None:
    async def before(town: Town) -> None:
        await town.calls(5)
        await town.calls(10, refused=5)
        await town.live.case(60_000_000_000)
        await town.live.checkpoint()

    async def after(town: Town) -> None:
        assert town.told() == [(PAY, "failing")]
        await town.calls(3, refused=5)
        assert town.told() == [(PAY, "failing")]
        await town.calls(2, "api.other.example")
        assert town.told() == [(PAY, "failing"), ("api.other.example", "new")]

    run(tmp_path, before)
    run(tmp_path, after)


def test_a_fault_of_ours_is_told_and_ends_nothing(tmp_path: Path) -> None:
    async def whole(town: Town) -> None:
        works = town.live.making.outside

        async def fails() -> Any:
            raise ZeroDivisionError

        town.live.making.outside = fails  # type: ignore[method-assign]
        task = asyncio.create_task(town.health.run())
        await asyncio.sleep(0.1)
        task.cancel()
        assert [type(one) for one in town.faults] == [ZeroDivisionError]
        assert town.health.faults == 1
        town.faults.clear()
        town.live.making.outside = works  # type: ignore[method-assign]
        await town.calls(1)

    run(tmp_path, whole)
