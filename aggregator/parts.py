"""One of those who learn what the cluster's API tells. One that meets a fault of our own begins anew with all that is
known, and all others go on. Used from the event loop's thread.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from plumbline.v1 import topology_pb2 as pb

from aggregator.journal import JournalFailed
from aggregator.resolve.resources import Object
from telemetry.log import fault

T = TypeVar("T")
R = TypeVar("R")
O = TypeVar("O", bound=Object)  # noqa: E741 - an object of the API

# What meets the same fault again and again shall not be made anew all the time.
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 300.0
_FORGIVEN_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class News:
    """What came or changed, and uids of what is gone, by the class of the objects."""

    came: Mapping[type, Sequence[Object]] = field(default_factory=dict)
    gone: Mapping[type, Sequence[str]] = field(default_factory=dict)
    now_ns: int = 0

    def of(self, kind: type[O]) -> list[O]:
        return [one for one in self.came.get(kind, ()) if isinstance(one, kind)]

    def without(self, *kinds: type[Object]) -> list[str]:
        return [uid for kind in kinds for uid in self.gone.get(kind, ())]


class Part(Generic[T]):
    """`it` is what learns. `make` makes it with nothing in it, from the one before where there is one; `everything` is
    what it is fed then; `on_fault` hears its name and what happened."""

    def __init__(
        self,
        name: str,
        make: Callable[[T | None], T],
        everything: Callable[[], News],
        on_fault: Callable[[str, Exception], None],
    ) -> None:
        self.name = name
        self.it = make(None)
        self.faults = 0
        self._make, self._everything, self._on_fault = make, everything, on_fault
        self._in_a_row = 0
        self._last = 0.0
        self._again_at: float | None = None  # it stands still until then
        self._stands_since_ns = 0
        self._reason = ""

    async def learn(self, feed: Callable[[T, News], Awaitable[None]], news: News) -> None:
        """The news, or everything where it begins anew; nothing while it stands still. Raises JournalFailed."""
        if self._again_at is not None:
            if time.monotonic() < self._again_at:
                return
            self.it, news = self._make(self.it), self._everything()
        if await self._guarded(feed(self.it, news)):
            self._again_at, self._stands_since_ns = None, 0

    async def use(self, what: Callable[[T], Awaitable[None]]) -> None:
        """Nothing while it stands still. Raises JournalFailed."""
        if self._again_at is None:
            await self._guarded(what(self.it))

    def ask(self, question: Callable[[T], R], otherwise: R) -> R:
        """While it stands still, what it can tell of before."""
        try:
            return question(self.it)
        except Exception as error:  # noqa: BLE001 - it is counted and told; who asked draws the graph without it
            self._failed(error)
            if self._again_at is None:
                self._pause(error)
            return otherwise

    def stale(self) -> pb.StaleSource | None:
        """What it knows is of then, while it stands still."""
        if self._again_at is None:
            return None
        source = pb.StaleSource(name=self.name, reason=self._reason)
        source.since.FromNanoseconds(self._stands_since_ns)
        return source

    async def _guarded(self, work: Awaitable[None]) -> bool:
        """Whether it went well."""
        try:
            await work
        except JournalFailed:
            raise  # no fault of ours: it is told where agents report
        except Exception as error:  # noqa: BLE001 - whatever it is, all other parts go on; it is counted and told
            self._failed(error)
            self._pause(error)
            return False
        return True

    def _failed(self, error: Exception) -> None:
        self.faults += 1
        self._on_fault(self.name, error)

    def _pause(self, error: Exception) -> None:
        now = time.monotonic()
        self._in_a_row = 1 if now - self._last > _FORGIVEN_SECONDS else self._in_a_row + 1
        self._last = now
        self._again_at = now + min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self._in_a_row - 1, 10))
        self._stands_since_ns = self._stands_since_ns or time.time_ns()
        self._reason = f"a fault of ours: {fault(error)}"
