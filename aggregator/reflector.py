"""One resource of the Kubernetes API, kept as the server has it: list, then watch from there, for ever.

What is known stays while the server is gone. What it says after that it compares with what is known: nothing that came
or went meanwhile is missed. Used from the event loop's thread.
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias

from aggregator.resolve.api import Api, Expired, Failed, NoSuchKind, NotAllowed
from aggregator.resolve.raw import Json
from aggregator.resolve.resources import Object, Resource
from telemetry.log import fault

# What came or changed, and uids of what is gone.
Sink: TypeAlias = Callable[[Resource, Sequence[Object], Collection[str]], None]

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
# Where another resource is answered again, this one is asked so soon, unless that was only just tried.
_HURRY_SECONDS: Final = (0.1, 1.0)
_LEAST_HURRIED_SECONDS: Final = 5.0
# A right that somebody gives is noticed so soon.
_REFUSED_PAUSE_SECONDS: Final = 30.0
# Many watchers that began together shall not end together.
_WATCH_SECONDS: Final = (280, 560)
# A watch that ends sooner was no success.
_SHORTEST_WATCH_SECONDS: Final = 1.0
_GONE_CODE: Final = 410


@dataclass(slots=True)
class State:
    """`stale_since_ns`: what is known is of then; None while it is current. `reason`: why, or why it was last.
    `absent`: the cluster has no such objects, and need not."""

    stale_since_ns: int | None
    reason: str = "it was not listed yet"
    listed: bool = False
    refused: bool = False
    absent: bool = False
    lists: int = 0
    watches: int = 0
    failures: int = 0
    malformed: int = 0

    @property
    def settled(self) -> bool:
        """Whether it is known by now, or known not to be soon."""
        return self.listed or self.failures > 0


class Reflector:
    """`known` are all objects by uid. `sink` hears of each change once; `on_state` when it becomes stale, current, or
    refused."""

    def __init__(
        self,
        resource: Resource,
        api: Api,
        sink: Sink,
        on_state: Callable[[Resource, State], None] = lambda _r, _s: None,
    ) -> None:
        self.resource = resource
        self.known: dict[str, Object] = {}
        self.state = State(time.time_ns())
        self._api = api
        self._sink = sink
        self._on_state = on_state
        self._version = ""
        self._good_ns = time.time_ns()
        self._told = False
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """The server answers others: whoever waits out an error of it need not wait longer."""
        if not self.state.refused:
            self._hurried.set()

    async def run(self) -> None:
        """Until cancelled."""
        failed_in_a_row, expired = 0, False
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                if time.monotonic() - began < _SHORTEST_WATCH_SECONDS:
                    raise Failed("The API server ends watches at once.")
                failed_in_a_row, expired = 0, False
            except Exception as error:  # noqa: BLE001 - whatever it answered, all other resources go on
                failed = error if isinstance(error, Failed) else Failed(fault(error))
                was_good = time.monotonic() - began > _LONGEST_PAUSE_SECONDS
                # A server that came back may know nothing of before; one that never does shall not be asked for ever.
                expired_before, expired = expired, isinstance(failed, Expired)
                failed_in_a_row = 1 if was_good or (expired and not expired_before) else failed_in_a_row + 1
                if expired:
                    self._version = ""
                self._fail(failed)
                await self._wait(_pause(failed, failed_in_a_row), failed.wait_seconds)

    async def _wait(self, seconds: float, asked_seconds: float) -> None:
        """As long as the server asked for, also in a hurry."""
        self._hurried.clear()
        least = max(asked_seconds, min(seconds, _LEAST_HURRIED_SECONDS))
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await self._hurried.wait()
                await asyncio.sleep(random.uniform(*_HURRY_SECONDS))  # noqa: S311 - no secret
        except TimeoutError:
            pass

    async def _list(self) -> None:
        """All of it, then the difference to what is known. Raises Failed."""
        self.state.lists += 1
        found: dict[str, Object] = {}
        more, version = "", ""
        if self.resource.optional:
            # Who may not list a kind is not told whether there is one.
            await self._api.plural_of(*self.resource.owner_kind)
        while not version or more:
            page = await self._api.page(self.resource, more)
            version, more = version or page.version, page.more
            if not page.version:
                raise Failed(f"The list of {self.resource.name} has no version.")
            found.update((one.uid, one) for raw in page.items if (one := self._read(raw)) is not None)
        came = [one for uid, one in found.items() if self.known.get(uid) != one]
        gone = self.known.keys() - found.keys()
        self.known = found
        self._version = version
        self.state.listed = True
        self._sink(self.resource, came, gone)
        self._succeed()

    async def _watch(self) -> None:
        """Until the server ends it. Raises Failed."""
        self.state.watches += 1
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311 - no secret
        async with aclosing(self._api.watch(self.resource, self._version, seconds)) as events:
            async for event in events:
                if event:
                    self._take(event)
                self._succeed()

    def _take(self, event: Json) -> None:
        """Raises Failed for an event that is an error."""
        kind, raw = event.get("type"), event.get("object")
        if not isinstance(raw, dict):
            self.state.malformed += 1
            return
        if kind == "ERROR":
            raise _error_of(raw)
        if kind in ("ADDED", "MODIFIED", "DELETED") and (one := self._read(raw)) is not None:
            self._change(one, kind == "DELETED")
        meta = raw.get("metadata")
        version = meta.get("resourceVersion") if isinstance(meta, dict) else None
        if isinstance(version, str) and version:
            self._version = version

    def _change(self, one: Object, is_gone: bool) -> None:
        if is_gone:
            self.known.pop(one.uid, None)
            self._sink(self.resource, [one], [one.uid])
        elif self.known.get(one.uid) != one:
            self.known[one.uid] = one
            self._sink(self.resource, [one], ())

    def _read(self, raw: Json) -> Object | None:
        try:
            one = self.resource.object_of(raw) if isinstance(raw, dict) else None
        except Exception:  # noqa: BLE001 - one object must not keep all others from being known; it is counted
            one = None
        self.state.malformed += one is None
        return one

    def _succeed(self) -> None:
        self._good_ns = time.time_ns()
        self.state.absent = False
        if self.state.stale_since_ns is not None:
            self.state.stale_since_ns, self.state.refused = None, False
            if self._told:
                self._told = False
                self._on_state(self.resource, self.state)

    def _fail(self, error: Failed) -> None:
        state, is_refused = self.state, isinstance(error, NotAllowed)
        # A server that has just begun may not know all kinds yet.
        if self.resource.optional and isinstance(error, NoSuchKind) and (state.refused or not self.known):
            self._find_none()
            return
        state.failures += 1
        is_news = not self._told or state.refused != is_refused
        state.reason, state.refused = str(error), is_refused
        if state.stale_since_ns is None:
            state.stale_since_ns = self._good_ns
        if is_news and not isinstance(error, Expired):
            self._told = True
            self._on_state(self.resource, state)

    def _find_none(self) -> None:
        """Nothing of the kind is there, and that is known."""
        gone, self.known, self._version = set(self.known), {}, ""
        self.state.listed = True
        self._sink(self.resource, (), gone)
        self._succeed()
        self.state.absent = True


def _pause(error: Failed, failed_in_a_row: int) -> float:
    """Not all at once, and not long for the first one: it may be only that a server started anew."""
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failed_in_a_row - 1, 10))
    if isinstance(error, NotAllowed):
        longest = max(longest, _REFUSED_PAUSE_SECONDS)
    return max(error.wait_seconds, longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


def _error_of(status: Json) -> Failed:
    code, message = status.get("code"), str(status.get("message", ""))[:200]
    return (Expired if code == _GONE_CODE else Failed)(f"The watch ended with {code}: {message}.")
