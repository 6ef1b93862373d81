"""The store's calls, each in the thread that it may be made in, with the CPU that snapshots take.

Everything here is called from the event loop's thread.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from aggregator.compacting import GivenBack
from aggregator.garbage import search_all
from aggregator.outside import Came
from aggregator.snapshots import Made
from aggregator.steps import Step
from aggregator.store import Store
from aggregator.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


class Making:
    """One thread touches the store; beside it another one works on values alone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alone, self._beside = Worker("store"), Worker("snapshots")
        self._is_replaced = False

    async def in_store(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.wrap_future(self._alone.submit(lambda: function(*arguments, **named)))

    async def snapshot(self, window_ns: int) -> tuple[Made, float]:
        """With the CPU seconds that it took. Agents do not wait for it: it waits for them."""
        return await self._in_steps(await self.in_store(self._store.snapshot, window_ns))

    async def outside(self) -> tuple[Came, float]:
        """What was called outside since this was asked last. With the CPU seconds that it took."""
        return await self._in_steps(await self.in_store(self._store.outside))

    async def age(self) -> None:
        """Agents do not wait for it either. One at a time."""
        await self._in_steps(await self.in_store(self._store.ageing))

    async def give_back(self) -> GivenBack | None:
        """Agents wait for this one; not for what is found out anew after it."""
        if self._is_replaced:
            search_all()  # nobody looks at the estate of before any more
        given = await self.in_store(self._store.give_back)
        self._is_replaced = given is not None
        if given is not None:
            await self._in_steps(await self.in_store(self._store.warming))
        return given

    async def _in_steps(self, steps: Generator[Step, None, T]) -> tuple[T, float]:
        step, spent_seconds = Step.ALONE, 0.0
        while True:
            worker = self._alone if step is Step.ALONE else self._beside
            do = partial(_timed, partial(_next, steps))
            found, used_seconds = await asyncio.wrap_future(worker.submit(do, waits=True))
            spent_seconds += used_seconds
            if isinstance(found, _Done):
                return found.value, spent_seconds
            step = found

    async def news(self, window_ns: int) -> tuple[Made | None, float]:
        """What is new in shape, in the newest snapshot of the window; None where nothing is. With its CPU seconds."""
        return await self.in_store(_timed, partial(self._store.news, window_ns))

    def close(self) -> None:
        self._beside.close()
        self._alone.close()


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    value: T


def _next(steps: Generator[Step, None, T]) -> Step | _Done[T]:
    try:
        return next(steps)
    except StopIteration as done:
        return _Done(done.value)


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and the CPU seconds of this thread that it took."""
    begin = time.thread_time()
    return function(), time.thread_time() - begin
