"""The store in a running process: one thread touches it, disk syncs are shared, snapshots follow the data.

Everything here is called from the event loop's thread.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, ParamSpec, TypeVar

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, Hello

from aggregator.asked import Asked
from aggregator.catalog.model import Declarations
from aggregator.durability import Durability
from aggregator.insight.case import Case
from aggregator.settings import Settings
from aggregator.store import Restored, Store, Taken
from aggregator.topology.versions import Versions
from aggregator.views import View, Views
from aggregator.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

SECOND_NS: Final = 1_000_000_000
# Without data a snapshot still grows old: windows move on, hosts go stale.
_IDLE_SECONDS: Final = 1.0
# A snapshot that is costly to make is made less often: at most this share of a core goes into it.
_MOST_SHARE: Final = 0.33
_AGE_SECONDS: Final = 5.0
_KEPT_ANSWERS: Final = 8
_FRESH_SECONDS: Final = 1.0


class Live:
    """`declarations` is asked for what the catalog says now. `on_snapshot` hears each new one of the usual window.
    `on_round` hears after each round whether all snapshots could be made, or what kept one from it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        declarations: Callable[[], Declarations] = Declarations,
        on_snapshot: Callable[[pb.Topology, list[pb.Change]], None] = lambda _topology, _changes: None,
        on_round: Callable[[Exception | None], None] = lambda _error: None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.epoch = secrets.token_hex(8)
        self.closing = asyncio.Event()
        self.snapshot_seconds = 0.0
        self.snapshots = 0
        self.failing = False  # the last round met a fault of our own, and the snapshots before it stay
        self.worked_at = time.monotonic()
        self._declarations = declarations
        self._on_snapshot = on_snapshot
        self._on_round = on_round
        self._window_ns = int(settings.window_seconds * SECOND_NS)
        self._thread = Worker("store")
        self._disk = Durability(store.sync)
        self._changed = asyncio.Event()
        self._views = Views(self._window_ns)
        self._asked = Asked(self._made)
        self._cases: OrderedDict[tuple[int, int], Case] = OrderedDict()

    # --- what agents bring ---

    async def hello(self, hello: Hello, payload: bytes) -> int:
        """Raises Refused or JournalFailed."""
        acknowledged = await self._in_store(self.store.hello, hello, payload)
        self._changed.set()
        await self.durable(self.store.position)
        return acknowledged

    async def batch(self, hello: Hello, batch: Batch, payload: bytes) -> Taken:
        """Raises JournalFailed. To be acknowledged when `durable(taken.position)` has returned."""
        taken = await self._in_store(self.store.batch, hello, batch, payload)
        self._changed.set()
        return taken

    async def durable(self, position: int) -> None:
        """Returns when the journal is on disk up to there; waits of many streams share a sync. Raises JournalFailed."""
        await self._disk.up_to(position)

    # --- what readers get ---

    @property
    def usual(self) -> Versions:
        """Snapshots of the usual window, background edges included."""
        return self._views.usual.versions

    async def topology(self, window_ns: int = 0) -> pb.Topology:
        """The newest snapshot of a window, 0 for the usual one; at most a second old, with its position.

        Raises TooManyWindows.
        """
        view = self._views.get(window_ns or self._window_ns)
        if view is not None and self._views.is_current(view):
            return view.versions.newest.topology
        return await self._asked.of(window_ns, max(_FRESH_SECONDS, 2 * self.snapshot_seconds))

    async def case(self, window_ns: int = 0) -> Case:
        """Everything that a question may look at; the same one as long as nothing changed, with its indexes.

        Raises TooManyWindows.
        """
        topology, declarations = await self.topology(window_ns), self._declarations()
        key = (id(topology), id(declarations))
        case = self._cases.get(key)
        if case is None or case.topology is not topology or case.declarations is not declarations:
            case = Case(topology, declarations)
        _keep(self._cases, key, case)
        return case

    @asynccontextmanager
    async def watching(self, window_ns: int = 0) -> AsyncIterator[Versions]:
        """The snapshots of a window, kept current while this is open. Raises TooManyWindows."""
        view = await self._view(window_ns or self._window_ns)
        view.watchers += 1
        try:
            yield view.versions
        finally:
            view.watchers -= 1
            view.left_at = time.monotonic()

    @property
    def watchers(self) -> int:
        return self._views.watchers

    # --- its own life ---

    async def open(self) -> Restored:
        """What is on disk, and the first snapshot of it. Raises JournalFailed."""
        restored = await self._in_store(self.store.restore)
        self._disk.position = self.store.position
        try:
            await self._view(self._window_ns)
        except Exception as error:  # noqa: BLE001 - what was reported is safe, and more can be
            empty = pb.Topology(cluster=self.settings.cluster)
            self._views.add(View(self._window_ns, Versions(self._epoch_of(self._window_ns), empty)))
            self._end_round(error)
        self.worked_at = time.monotonic()
        return restored

    async def run(self) -> None:
        """Makes snapshots until cancelled: soon after data came, seldom without."""
        aged_at = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            started, spent_seconds = time.monotonic(), 0.0
            try:
                if started - aged_at > _AGE_SECONDS:
                    aged_at = started
                    await self._in_store(self.store.age)
                spent_seconds = await self._make_snapshots()
            except Exception as error:  # noqa: BLE001 - agents are heard and readers answered all the same
                self._end_round(error)
            else:
                self._end_round(None)
            took = self.worked_at - started
            pause = max(self.settings.snapshot_interval_seconds - took, spent_seconds * (1 / _MOST_SHARE - 1))
            await asyncio.sleep(max(pause, 0.01))

    async def checkpoint(self) -> int:
        """Saves everything that is known; returns how many bytes. Raises OSError or JournalFailed."""
        position, content = await self._in_store(self.store.checkpoint)
        await self.durable(position)
        await asyncio.to_thread(self.store.save, position, content)
        return len(content)

    async def close(self) -> None:
        self._thread.close()
        await self._disk.close()
        self.store.close()

    def _end_round(self, error: Exception | None) -> None:
        self.worked_at = time.monotonic()
        self.failing = error is not None
        self._on_round(error)

    async def _make_snapshots(self) -> float:
        """Returns the CPU seconds that they took: on a busy machine they wait for the CPU, and cost no more."""
        spent_seconds = 0.0
        for view in self._views.current():
            started = time.monotonic()
            topology, used_seconds = await self._snapshot(view.window_ns)
            spent_seconds += used_seconds
            self.worked_at = time.monotonic()
            changes = view.versions.publish(topology)
            if view.window_ns == self._window_ns:
                self.snapshots += 1
                self.snapshot_seconds = self.worked_at - started
                self._on_snapshot(topology, changes)
        return spent_seconds

    async def _view(self, window_ns: int) -> View:
        known = self._views.get(window_ns)
        if known is not None:
            return known
        self._views.make_room()
        if window_ns == self._window_ns:
            first = await self._made(window_ns)
        else:
            first = pb.Topology()
            # Others may have it, and versions write their position into theirs.
            first.CopyFrom(await self._asked.new(window_ns))
        return self._views.add(View(window_ns, Versions(self._epoch_of(window_ns), first)))

    def _epoch_of(self, window_ns: int) -> str:
        return self.epoch if window_ns == self._window_ns else f"{self.epoch}-{window_ns // SECOND_NS}"

    async def _made(self, window_ns: int) -> pb.Topology:
        topology, _ = await self._snapshot(window_ns)
        topology.position.epoch = self._epoch_of(window_ns)
        return topology

    async def _snapshot(self, window_ns: int) -> tuple[pb.Topology, float]:
        """With the CPU seconds that it took. Agents do not wait for it: it waits for them."""
        make = partial(_timed, partial(self.store.topology, window_ns))
        return await asyncio.wrap_future(self._thread.submit(make, waits=True))

    async def _in_store(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.wrap_future(self._thread.submit(lambda: function(*arguments, **named)))


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > _KEPT_ANSWERS:
        kept.popitem(last=False)


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and the CPU seconds of this thread that it took."""
    begin = time.thread_time()
    return function(), time.thread_time() - begin
