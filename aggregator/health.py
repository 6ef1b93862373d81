"""How third parties do, looked at all the time: what became of them is told to who watches, and kept.

Used from the event loop's thread.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.insight.case import Case
from aggregator.insight.health.pair import Look
from aggregator.insight.health.seen import seen
from aggregator.insight.health.states import States
from aggregator.insight.health.telling import became, event_of
from aggregator.insight.standing import Standing
from aggregator.journal import JournalFailed
from aggregator.live import Live
from aggregator.outside import Came
from aggregator.turns import Share

_LOOK_SECONDS: Final = 1.0
# What it may take of a core.
_MOST_SHARE: Final = 0.05
_CREDIT_SECONDS: Final = 0.5


class Health:
    """`on_fault` hears of a fault of ours: the next look begins anew."""

    def __init__(self, live: Live, on_fault: Callable[[Exception], None]) -> None:
        self._live = live
        self._on_fault = on_fault
        self._states: States | None = None
        self._looked_ns = time.time_ns()
        self._untold: list[pb.Event] = []
        self.faults = 0

    @property
    def counts(self) -> tuple[int, int]:
        """Clients of third parties that are followed, and what had to make room."""
        return (len(self._states), self._states.dropped) if self._states else (0, 0)

    async def run(self) -> None:
        """Until cancelled."""
        share = Share(_MOST_SHARE, _CREDIT_SECONDS)
        while True:
            began = time.thread_time()
            try:
                spent_seconds = await self.look()
            except JournalFailed:
                spent_seconds = 0.0  # it is told where agents report; what was not kept is told later
            except Exception as error:  # noqa: BLE001 - the graph is there all the same
                spent_seconds = 0.0
                self.faults += 1
                self._on_fault(error)
            spent_seconds += time.thread_time() - began
            await asyncio.sleep(max(_LOOK_SECONDS, share.pause(spent_seconds, time.monotonic())))

    async def look(self) -> float:
        """Returns the CPU seconds that other threads took for it. Raises JournalFailed."""
        came, spent_seconds = await self._live.making.outside()
        since_ns, self._looked_ns = self._looked_ns, time.time_ns()
        if came.known is not None:
            await self._begin(came.known)
        elif self._states is not None:
            self._judge(self._states, came, Look(since_ns, self._looked_ns))
        if self._untold:
            await self._live.learn_events(self._untold)
            self._untold = []
        return spent_seconds

    def standings(self) -> Mapping[str, Standing]:
        return self._states.standings(time.time_ns()) if self._states else {}

    async def _begin(self, known: frozenset[str]) -> None:
        """With what was called before; nothing of it is new."""
        if self._states is not None:
            return
        now_ns = time.time_ns()
        events = self._live.aside.events.values()
        states = States(now_ns, [*known, *(one.node for one in events if one.kind == pb.EVENT_KIND_THIRD_PARTY)])
        states.recall(became(events), now_ns)
        topology = (await self._live.graph()).message
        for one in seen(Case(topology), {}):
            states.know(one.third, one.name, [one.client], now_ns, now_ns)
        self._states = states

    def _judge(self, states: States, came: Came, look: Look) -> None:
        names = states.names() if came.topology.edges else frozenset[str]()
        case = Case(came.topology, self._live.declarations(), names_known=names)
        for one in states.look(look, seen(case, came.hosts), came.silent):
            self._untold.append(event_of(one, look.now_ns))
