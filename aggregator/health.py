"""How third parties do, looked at all the time: what became of them is told to who watches, and kept.

Used from the event loop's thread; what is found out of it, in another one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
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
        self._standings: Mapping[str, Standing] = {}
        self._looked_ns = time.time_ns()
        self._untold: list[pb.Event] = []
        self.faults = self.left_out = 0

    @property
    def counts(self) -> tuple[int, int]:
        """Clients of third parties that are followed, and what had to make room."""
        return (len(self._states), self._states.dropped) if self._states else (0, 0)

    def standings(self) -> Mapping[str, Standing]:
        """As of the last look."""
        return self._standings

    async def run(self) -> None:
        """Until cancelled."""
        share = Share(_MOST_SHARE, _CREDIT_SECONDS)
        while True:
            spent_seconds = 0.0
            try:
                spent_seconds = await self.look()
            except JournalFailed:
                pass  # it is told where agents report; what was not kept is told later
            except Exception as error:  # noqa: BLE001 - the graph is there all the same
                self.faults += 1
                self._on_fault(error)
            await asyncio.sleep(max(_LOOK_SECONDS, share.pause(spent_seconds, time.monotonic())))

    async def look(self) -> float:
        """Returns the CPU seconds that it took. Raises JournalFailed."""
        came, spent_seconds = await self._live.making.outside()
        self.left_out += came.left_out
        look = Look(self._looked_ns, time.time_ns())
        self._looked_ns = look.now_ns
        # Readers and agents wait for this thread.
        if self._states is not None and came.known is None:
            spent_seconds += await asyncio.to_thread(_timed, partial(self._judge, self._states, came, look))
        elif self._states is None and came.known is not None:
            topology = (await self._live.graph()).message
            spent_seconds += await asyncio.to_thread(_timed, partial(self._begin, came.known, topology, look.now_ns))
        if self._untold:
            await self._live.learn_events(self._untold)
            self._untold = []
        return spent_seconds

    def _begin(self, known: frozenset[str], topology: pb.Topology, now_ns: int) -> None:
        """With what was called before; nothing of it is new."""
        events = self._live.aside.events.values()
        states = States(now_ns, [*known, *(one.node for one in events if one.kind == pb.EVENT_KIND_THIRD_PARTY)])
        states.recall(became(events), now_ns)
        for one in seen(Case(topology), {}):
            states.know(one.third, one.name, [one.client], now_ns, now_ns)
        self._states, self._standings = states, states.standings(now_ns)

    def _judge(self, states: States, came: Came, look: Look) -> None:
        names = states.ids() if came.topology.edges else {}
        case = Case(came.topology, self._live.declarations(), names_known=names)
        for one in states.look(look, seen(case, came.hosts), came.silent):
            self._untold.append(event_of(one, look.now_ns))
        self._standings = states.standings(look.now_ns)


def _timed(do: Callable[[], None]) -> float:
    """The CPU seconds of this thread that it takes."""
    begun = time.thread_time()
    do()
    return time.thread_time() - begun
