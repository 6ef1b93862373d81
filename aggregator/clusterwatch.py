"""The one watch of the cluster's API: resources are kept as the server has them, and what follows is learned.

What comes is gathered for a moment, so that a thousand pods are one step for those who learn of them. Used from the
event loop's thread.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.journal import JournalFailed
from aggregator.learning import Learner, Learning
from aggregator.parts import News
from aggregator.reflector import Reflector, State
from aggregator.resolve.api import Api, Failed, NotAllowed
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.resources import OWNERS, RESOURCES, Object, Resource, custom
from aggregator.resolve.workloads import Kind

_GATHER_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 1.0
_MOST_CUSTOM_KINDS: Final = 64
_ASK_AGAIN_SECONDS: Final = 300.0


class ClusterWatch:
    """`on_state` hears when a resource becomes stale, current, or refused; `on_fault`, which part of what is learned
    met a fault of ours."""

    def __init__(
        self,
        api: Api,
        learner: Learner,
        on_state: Callable[[Resource, State], None],
        deployers: Deployers | None = None,
        on_fault: Callable[[str, Exception], None] = lambda _part, _error: None,
    ) -> None:
        self._api = api
        self._on_state = on_state
        self._on_fault = on_fault
        self._reflectors: dict[str, Reflector] = {}
        self._tasks = asyncio.TaskGroup()
        self.learning = Learning(self._reflectors, learner, deployers or Deployers(), on_fault)
        self._came: defaultdict[type, list[Object]] = defaultdict(list)
        self._gone: defaultdict[type, list[str]] = defaultdict(list)
        self._news = asyncio.Event()
        self._asked: dict[Kind, float] = {}  # custom kinds that nobody watches, since when
        self._kind_faults = 0

    def states(self) -> Iterator[tuple[str, State, int]]:
        """Each resource's name, state, and how many there are."""
        for name, one in self._reflectors.items():
            yield name, one.state, len(one.known)

    def stale(self) -> list[pb.StaleSource]:
        """Those of which what is known is not of now, and what of it is not learned."""
        found = []
        for name, state, _ in self.states():
            if state.stale_since_ns is not None and state.failures:
                source = pb.StaleSource(name=name, reason=state.reason)
                source.since.FromNanoseconds(state.stale_since_ns)
                found.append(source)
        return found + self.learning.stale()

    def faults(self) -> Iterator[tuple[str, int]]:
        """Of ours, by the part that met them."""
        yield from self.learning.faults()
        yield "kinds", self._kind_faults

    async def run(self) -> None:
        """Until cancelled."""
        async with self._tasks:
            for resource in RESOURCES:
                self._begin(resource)
            while True:
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    pass
                await asyncio.sleep(_GATHER_SECONDS)
                self._news.clear()
                try:
                    await self._learn()
                except JournalFailed:
                    continue  # it is told where agents report; what was not saved is kept for the next time

    def _begin(self, resource: Resource) -> None:
        reflector = Reflector(resource, self._api, self._heard, self._state_changed)
        self._reflectors[resource.name] = reflector
        self._tasks.create_task(reflector.run())

    def _heard(self, resource: Resource, came: Sequence[Object], gone: Collection[str]) -> None:
        kind = resource.kind_of_objects
        self._came[kind].extend(came)
        self._gone[kind].extend(gone)
        self._news.set()

    def _state_changed(self, resource: Resource, state: State) -> None:
        kind = resource.owner_kind
        if state.refused and not state.listed:
            self.learning.give_up(kind)
        elif state.stale_since_ns is None:
            self.learning.take_up(kind)
            for other in self._reflectors.values():
                other.hurry()
        self._news.set()
        self._on_state(resource, state)

    async def _learn(self) -> None:
        came, self._came = self._came, defaultdict(list)
        gone, self._gone = self._gone, defaultdict(list)
        try:
            await self.learning.learn(News(came, gone, time.time_ns()))
        finally:
            for kind in self.learning.take_wanted():
                self._watch_kind(kind)

    def _watch_kind(self, kind: Kind) -> None:
        """A custom kind that owns pods, or owns what does."""
        last = self._asked.get(kind)
        if kind in OWNERS or (last is not None and time.monotonic() - last < _ASK_AGAIN_SECONDS):
            return
        if last is None and len(self._asked) >= _MOST_CUSTOM_KINDS:
            self.learning.give_up(kind)
            return
        self._asked[kind] = time.monotonic()
        self._tasks.create_task(self._begin_custom(kind))

    async def _begin_custom(self, kind: Kind) -> None:
        try:
            resource = custom(*kind, await self._api.plural_of(*kind))
        except NotAllowed:
            self.learning.give_up(kind)
            self._news.set()
        except Failed:
            del self._asked[kind]  # the next pod asks again
        except Exception as error:  # noqa: BLE001 - an answer that nobody foresaw; what it owns is called by its name
            self._kind_faults += 1
            self._on_fault("kinds", error)
            self.learning.give_up(kind)
            self._news.set()
        else:
            if resource.name not in self._reflectors:
                self._begin(resource)
