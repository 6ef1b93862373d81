"""Waiting for the disk: many streams share one sync, and it has a thread that nothing else keeps busy.

Used from the event loop's thread alone.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Durability:
    """`sync` blocks until all that was written is on disk, and returns the position up to which that is."""

    def __init__(self, sync: Callable[[], int]) -> None:
        self._sync = sync
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._syncing: asyncio.Future[int] | None = None
        self.position = 0

    async def up_to(self, position: int) -> None:
        """Returns when everything is on disk up to there. Raises what `sync` raises."""
        while self.position < position:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.get_running_loop().run_in_executor(self._thread, self._sync)
            self.position = max(self.position, await asyncio.shield(self._syncing))

    async def close(self) -> None:
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)
        self._thread.shutdown(wait=True)
