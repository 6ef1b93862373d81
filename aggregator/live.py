"""The store in a running process: one thread touches it, disk syncs are shared, snapshots follow the data.

Everything here is called from the event loop's thread.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, Hello

from aggregator.aside import Aside
from aggregator.asked import Asked
from aggregator.catalog.model import Declarations
from aggregator.compacting import GivenBack
from aggregator.durability import Durability
from aggregator.insight.case import Case
from aggregator.insight.standing import Standing
from aggregator.making import Making
from aggregator.resolve.objects import Service, Slice
from aggregator.resolve.vendors import Vendors
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings
from aggregator.store import Known, Restored, Store, Taken
from aggregator.topology.background import Surroundings
from aggregator.topology.changes import Compared
from aggregator.topology.snapshot import Graph
from aggregator.topology.versions import Versions
from aggregator.turns import Share
from aggregator.views import View, Views

SECOND_NS: Final = 1_000_000_000
# What is new in shape is told this soon after the last time, and takes at most this share of a core; what costs much
# once has a credit, or all that is new after it would wait for its sake.
_NEWS_SECONDS: Final = 0.02
_MOST_NEWS_SHARE: Final = 0.2
_NEWS_CREDIT_SECONDS: Final = 1.0
# Without data a snapshot still grows old: windows move on, hosts go stale.
_IDLE_SECONDS: Final = 1.0
# A snapshot that is costly to make is made less often: at most this share of a core goes into it.
_MOST_SHARE: Final = 0.33
_AGE_SECONDS: Final = 5.0
_KEPT_CASES: Final = 8
_FRESH_SECONDS: Final = 1.0


class Live:
    """`declarations` is asked for what the catalog says now. `on_snapshot` hears what changed with each new one of the
    usual window. `on_round` hears after each round whether all snapshots could be made, or what kept one from it.
    `on_given_back` hears what was."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        declarations: Callable[[], Declarations] = Declarations,
        on_snapshot: Callable[[list[pb.Change]], None] = lambda _changes: None,
        on_round: Callable[[Exception | None], None] = lambda _error: None,
        vendors: Vendors | None = None,
        on_given_back: Callable[[GivenBack], None] = lambda _given: None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.epoch = secrets.token_hex(8)
        self.closing = asyncio.Event()
        self.snapshot_seconds = 0.0
        self.snapshots = 0
        self.failing = False  # the last round met a fault of our own, and the snapshots before it stay
        self.worked_at = time.monotonic()
        self.aside = Aside()
        self.standings: Callable[[], Mapping[str, Standing]] = dict
        self.declarations = declarations
        self._on_snapshot = on_snapshot
        self._on_round = on_round
        self._vendors = vendors or Vendors()
        self._on_given_back = on_given_back
        self._window_ns = int(settings.window_seconds * SECOND_NS)
        self.making = Making(store)
        self._disk = Durability(store.sync)
        self._changed = asyncio.Event()
        self._news_came = asyncio.Event()
        self._views = Views(self._window_ns)
        self._asked = Asked(self._made)
        self._cases: dict[int, Case] = {}  # by window

    # --- what agents bring ---

    async def hello(self, hello: Hello, payload: bytes) -> Known:
        """Raises Refused or JournalFailed."""
        known = await self.making.in_store(self.store.hello, hello, payload)
        self._changed.set()
        await self.durable(self.store.position)
        return known

    async def batch(self, hello: Hello, batch: Batch, payload: bytes) -> Taken:
        """Raises JournalFailed. To be acknowledged when `durable(taken.position)` has returned."""
        taken = await self.making.in_store(self.store.batch, hello, batch, payload)
        self._changed.set()
        self._news_came.set()
        return taken

    # --- what the cluster's own API says ---

    async def learn_pods(self, names: Sequence[PodName], living: Sequence[str], gone: Sequence[str]) -> None:
        """As Store.learn_pods. What it names may be asked for on disk later: a name alone loses no count."""
        await self.making.in_store(self.store.learn_pods, names, living, gone)
        self.aside.name(names)
        self._changed.set()
        self._news_came.set()

    async def learn_services(self, came: Sequence[Service | Slice], gone: Sequence[str]) -> None:
        """As Store.learn_services."""
        await self.making.in_store(self.store.learn_services, came, gone)
        self._changed.set()
        self._news_came.set()

    async def learn_events(self, events: Sequence[pb.Event]) -> None:
        """As Store.learn_events. Who watches is told at once, whatever else there is."""
        self.aside.happened(await self.making.in_store(self.store.learn_events, events))
        for view in self._views.current():
            self._publish(view, view.versions.newest.graph)

    def learn_surroundings(self, around: Surroundings) -> None:
        """Who may come to nodes, as far as the cluster's API tells. The next snapshot has it."""
        self.store.estate.around.value = around

    async def known_of_cluster(self) -> tuple[list[str], set[str]]:
        """Uids of pods that live as far as is known, and of Services and slices that are there."""
        return await self.making.in_store(self.store.known_of_cluster)

    async def durable(self, position: int) -> None:
        """Returns when the journal is on disk up to there; waits of many streams share a sync. Raises JournalFailed."""
        await self._disk.up_to(position)

    # --- what readers get ---

    @property
    def usual(self) -> Versions:
        """Snapshots of the usual window, background edges included."""
        return self._views.usual.versions

    async def graph(self, window_ns: int = 0) -> Graph:
        """The newest snapshot of a window, 0: the usual one; at most a second old, with its position. Raises
        TooManyWindows."""
        view = self._views.get(window_ns or self._window_ns)
        if view is not None and self._views.is_current(view):
            return view.versions.newest.graph
        return await self._asked.of(window_ns, max(_FRESH_SECONDS, 2 * self.snapshot_seconds))

    async def case(self, window_ns: int = 0) -> Case:
        """Everything that a question may look at; the same one as long as nothing changed, with its indexes. Raises
        TooManyWindows."""
        topology, declarations = (await self.graph(window_ns)).message, self.declarations()
        # One a window: what was asked of an older graph is asked of that never again, and it has a copy of all.
        key = window_ns or self._window_ns
        case = self._cases.pop(key, None)
        if case is None or case.topology is not topology or case.declarations is not declarations:
            case = Case(topology, declarations, self._vendors, self.standings())
        self._cases[key] = case
        while len(self._cases) > _KEPT_CASES:
            del self._cases[next(iter(self._cases))]
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
        restored = await self.making.in_store(self.store.restore)
        self._disk.position = self.store.position
        if restored.given_back is not None:
            self._on_given_back(restored.given_back)
        self.aside.happened(self.store.estate.events.as_of_now())
        try:
            await self._view(self._window_ns)
        except Exception as error:  # noqa: BLE001 - what was reported is safe, and more can be
            empty = Graph.of(pb.Topology(cluster=self.settings.cluster))
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
                    await self.making.age()
                    if (given := await self.making.give_back()) is not None:
                        self._on_given_back(given)
                spent_seconds = await self._make_snapshots()
            except Exception as error:  # noqa: BLE001 - agents are heard and readers answered all the same
                self._end_round(error)
            else:
                self._end_round(None)
            took = self.worked_at - started
            pause = max(self.settings.snapshot_interval_seconds - took, spent_seconds * (1 / _MOST_SHARE - 1))
            await asyncio.sleep(max(pause, 0.01))

    async def run_news(self) -> None:
        """Draws what is new in shape into the newest snapshots, until cancelled: it does not wait for whole ones."""
        share = Share(_MOST_NEWS_SHARE, _NEWS_CREDIT_SECONDS)
        while True:
            await self._news_came.wait()
            self._news_came.clear()
            spent_seconds = 0.0
            for view in self._views.current():
                try:
                    spent_seconds += await self._draw_news(view)
                except Exception as error:  # noqa: BLE001 - the next whole snapshot has it
                    self._end_round(error)
            await asyncio.sleep(max(_NEWS_SECONDS, share.pause(spent_seconds, time.monotonic())))

    async def _draw_news(self, view: View) -> float:
        """Returns the CPU seconds that it took."""
        made, used_seconds = await self.making.news(view.window_ns)
        if made is not None:
            self._publish(view, made.graph, made.compared)
            self._news_came.set()  # there may be more of it
        return used_seconds

    def _publish(self, view: View, graph: Graph, compared: Compared | None = None) -> None:
        changes = view.versions.publish(graph.with_beside(self.aside.of(view.window_ns)), compared)
        if view.window_ns == self._window_ns:
            self.snapshots += 1
            self._on_snapshot(changes)

    async def checkpoint(self) -> int:
        """Saves everything that is known; returns how many bytes. Raises OSError or JournalFailed."""
        position, write = await self.making.in_store(self.store.checkpoint)
        await self.durable(position)
        return await asyncio.to_thread(self.store.save, position, write)

    async def close(self) -> None:
        self.making.close()
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
            made, used_seconds = await self.making.snapshot(view.window_ns)
            spent_seconds += used_seconds
            self.worked_at = time.monotonic()
            if view.window_ns == self._window_ns:
                self.snapshot_seconds = self.worked_at - started
            self._publish(view, made.graph, made.compared)
        return spent_seconds

    async def _view(self, window_ns: int) -> View:
        known = self._views.get(window_ns)
        if known is not None:
            return known
        self._views.make_room()
        if window_ns == self._window_ns:
            first = await self._made(window_ns)
        else:
            first = await self._asked.new(window_ns)
        return self._views.add(View(window_ns, Versions(self._epoch_of(window_ns), first)))

    def _epoch_of(self, window_ns: int) -> str:
        return self.epoch if window_ns == self._window_ns else f"{self.epoch}-{window_ns // SECOND_NS}"

    async def _made(self, window_ns: int) -> Graph:
        made, _ = await self.making.snapshot(window_ns)
        return made.graph.with_beside(self.aside.of(window_ns)).at(self._epoch_of(window_ns), 0)
