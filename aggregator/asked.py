"""Snapshots that somebody asked for once, of any window: kept for a moment, and only a few made at once.

Used from the event loop's thread alone.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from aggregator.topology.snapshot import Graph

_KEPT: Final = 8
_MOST_AT_ONCE: Final = 3


class TooManyWindows(Exception):
    """Snapshots of so many spans at once are not made; one sentence."""


class Asked:
    """`make` makes the snapshot of a window. Who asks for one that is being made waits for that one."""

    def __init__(self, make: Callable[[int], Awaitable[Graph]]) -> None:
        self._make = make
        self._recent: OrderedDict[int, tuple[float, Graph]] = OrderedDict()
        self._making: dict[int, asyncio.Task[Graph]] = {}

    async def of(self, window_ns: int, fresh_seconds: float) -> Graph:
        """One that is no older than that. Raises TooManyWindows."""
        made_at, topology = self._recent.get(window_ns, (0.0, None))
        if topology is not None and time.monotonic() - made_at <= fresh_seconds:
            return topology
        topology = await self.new(window_ns)
        self._recent[window_ns] = (time.monotonic(), topology)
        self._recent.move_to_end(window_ns)
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        return topology

    async def new(self, window_ns: int) -> Graph:
        """Raises TooManyWindows."""
        making = self._making.get(window_ns)
        if making is None:
            if len(self._making) >= _MOST_AT_ONCE:
                raise TooManyWindows(
                    f"Snapshots of {_MOST_AT_ONCE} other windows are being made; ask for the usual one, or try again."
                )
            making = self._making[window_ns] = asyncio.create_task(self._made(window_ns))
            making.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(making)

    async def _made(self, window_ns: int) -> Graph:
        try:
            return await self._make(window_ns)
        finally:
            del self._making[window_ns]
