"""The whole aggregator: from agents' batches to the graph, and to those who read it.

agents --batches--> reporting --> store (journal, estate) --snapshots--> live --> reading --> gRPC, HTTP
    the cluster's API --pods, Services--> clusterwatch --/            catalog --declarations--/
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from aggregator.catalog.vendors import WrongVendors, open_vendors
from aggregator.catalog.watching import Catalog
from aggregator.clusterwatch import ClusterWatch
from aggregator.garbage import search_seldom
from aggregator.health import Health
from aggregator.journal import JournalFailed
from aggregator.live import Live
from aggregator.outputs.forms import Export, ExportOptions
from aggregator.outputs.grpc import serve_agents, serve_readers
from aggregator.outputs.http import serve_http
from aggregator.outputs.reading import Reading
from aggregator.outputs.refusals import NotBound
from aggregator.outputs.registry import open_exports
from aggregator.outputs.reporting import Reporting
from aggregator.outputs.security import Guard, Unusable
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.vendors import Vendors
from aggregator.settings import VERSION, ListenerSecurity, Settings
from aggregator.store import Store
from aggregator.telemetry import Telemetry
from aggregator.turns import take_short_turns
from telemetry.log import Log, fault
from telemetry.process import stopped_by_signals

DONE, WRONG_USE, REFUSED = 0, 2, 4
_CATALOG_SECONDS: Final = 2.0
_CHECKPOINT_LOOK_SECONDS: Final = 5.0


async def run(settings: Settings, stop: asyncio.Event | None = None) -> int:
    """Gathers and serves until `stop` is set, or a signal comes when there is none. Returns the exit status."""
    log = Log(socket.gethostname())
    stop = stop or stopped_by_signals(log, "aggregator_stopping")
    try:
        await Aggregator(settings, log, stop).run()
    except NotBound as error:
        remedy = f"end the program that has it, or choose another {error.flag}; `plumb doctor` names it"
        log.write("aggregator_failed", reason=str(error), remedy=remedy)
        return REFUSED
    except JournalFailed as error:
        log.write("aggregator_failed", reason=str(error), remedy="mend the place of --data, and start it again")
        return REFUSED
    except Unusable as error:
        log.write("aggregator_failed", reason=str(error), remedy="see `plumb aggregator --help`")
        return WRONG_USE
    except OSError as error:
        log.write("aggregator_failed", reason=str(error), remedy="see `plumb doctor`, and start it again")
        return REFUSED
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator gets a line of the log
        log.write("aggregator_failed", reason=fault(error), remedy="a fault of ours: please report it with this line")
        return REFUSED
    return DONE


class Aggregator:
    """One start of an aggregator."""

    def __init__(self, settings: Settings, log: Log, stop: asyncio.Event) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._telemetry = Telemetry(log)
        self._catalog = Catalog(settings.catalog)
        self._reading: Reading | None = None
        self._health: Health | None = None

    async def run(self) -> None:
        """Raises NotBound, JournalFailed, Unusable or OSError."""
        settings, telemetry = self._settings, self._telemetry
        self._log.write("aggregator_starting", version=VERSION, data=str(settings.data), catalog=list(settings.catalog))
        guards = [self._guard(security) for _, _, security in settings.listeners()]
        exports, vendors = _exports(settings), _vendors(settings)
        async with AsyncExitStack() as opened:
            http = await self._serve_http(guards[2])
            opened.push_async_callback(http.stop)
            live = await self._open(vendors)
            opened.push_async_callback(self._close, live)
            reading, reporting = Reading(live, exports, telemetry), Reporting(live, telemetry)
            readers = await serve_readers(
                settings.grpc, guards[1], reading, settings.max_reader_message_bytes, telemetry
            )
            opened.push_async_callback(readers.stop)
            agents = await serve_agents(
                settings.agents, guards[0], reporting, settings.max_agent_message_bytes, telemetry
            )
            opened.push_async_callback(agents.stop)
            self._reading, telemetry.live = reading, live
            self._health = telemetry.health = Health(live, telemetry.health_fault)
            live.standings = self._health.standings
            await self._connect(live, opened)
            self._log.write("aggregator_ready", agents_port=agents.port, grpc_port=readers.port, http_port=http.port)
            await self._go_on(live)
            live.closing.set()

    async def _serve_http(self, guard: Guard) -> Any:
        security = self._settings.http_security
        return await serve_http(self._settings.http, guard, security, self._telemetry, lambda: self._reading)

    async def _open(self, vendors: Vendors) -> Live:
        await self._read_catalog()
        store = Store(self._settings, self._telemetry)
        telemetry = self._telemetry
        live = Live(
            self._settings,
            store,
            lambda: self._catalog.declarations,
            telemetry.snapshot,
            telemetry.snapshots_made,
            vendors,
            telemetry.given_back,
        )
        restored = await live.open()
        search_seldom()
        take_short_turns()
        self._log.write(
            "journal_restored",
            checkpoint_position=restored.checkpoint_position,
            records=restored.records,
            refused=restored.refused,
            seconds=round(restored.seconds, 3),
        )
        return live

    async def _connect(self, live: Live, opened: AsyncExitStack) -> None:
        """To the cluster's API, where it is to be asked. Raises Unusable."""
        if not self._settings.kubernetes:
            return
        # Its client takes 40 MB, which nobody needs who has no such cluster.
        from aggregator.resolve.kubernetes import Kubernetes, NoCluster

        try:
            api = await Kubernetes.connect(f"plumbline/{VERSION}")
        except NoCluster as error:
            raise Unusable(str(error)) from error
        opened.push_async_callback(api.close)
        self._telemetry.cluster = cluster = ClusterWatch(
            api,
            live,
            self._telemetry.kubernetes_state,
            Deployers(self._settings.deployed_by),
            self._telemetry.kubernetes_fault,
        )
        aside = live.aside
        aside.stale = cluster.stale
        aside.workloads, aside.pressures = cluster.learning.workloads, cluster.learning.pressures

    async def _go_on(self, live: Live) -> None:
        """Until it is stopped, or something that must not fail does."""
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(live.run()),
            asyncio.create_task(live.run_news()),
            *(asyncio.create_task(one) for one in self._chores(live)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _chores(self, live: Live) -> list[Coroutine[Any, Any, None]]:
        async def summarise() -> None:
            self._telemetry.summarise()

        cluster = self._telemetry.cluster
        return [
            *([cluster.run()] if cluster else []),
            *([self._health.run()] if self._health else []),
            _every(_CATALOG_SECONDS, self._read_catalog),
            _every(self._settings.summary_seconds, summarise),
            self._checkpoint_when_due(live),
        ]

    async def _checkpoint_when_due(self, live: Live) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        saved_at = loop.time()
        while True:
            await asyncio.sleep(_CHECKPOINT_LOOK_SECONDS)
            grown = live.store.position - live.store.saved_position
            is_old = loop.time() - saved_at >= settings.checkpoint_seconds or live.store.is_smaller
            if grown >= settings.checkpoint_bytes or (grown and is_old):
                saved_at = loop.time()
                await self._checkpoint(live)

    async def _checkpoint(self, live: Live) -> None:
        """Without one the journal is longer, and nothing else: a full disk ends nobody."""
        try:
            self._telemetry.checkpointed(await live.checkpoint())
        except (OSError, JournalFailed) as error:
            self._telemetry.checkpoint_failed(str(error))

    async def _read_catalog(self) -> None:
        refreshed = await asyncio.to_thread(self._catalog.refresh)
        self._telemetry.catalog_read(refreshed, self._catalog.declarations.problems)

    async def _close(self, live: Live) -> None:
        if live.store.position > live.store.saved_position:
            await self._checkpoint(live)
        await live.close()
        self._log.write("aggregator_stopped", journal_position=live.store.position)

    def _guard(self, security: ListenerSecurity) -> Guard:
        return Guard(security, self._telemetry.certificate_unreadable)


def _exports(settings: Settings) -> dict[str, Export]:
    try:
        return open_exports(ExportOptions(settings.catalog_default_owner))
    except ValueError as error:
        raise Unusable(str(error)) from error


def _vendors(settings: Settings) -> Vendors:
    try:
        return open_vendors(settings.vendors, settings.allowed_vendors)
    except WrongVendors as error:
        raise Unusable(str(error)) from error


async def _every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await chore()
