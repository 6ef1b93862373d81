"""The whole agent: from the kernel's counts to the aggregator's disk.

kernel --announcements--> host, dictionary --notes--> outbox --batches--> report
   \\------counts---------------------------rows-----/
"""

import asyncio
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from agent import clock, rights
from agent.budgets import Budgets
from agent.identity.cgroup import cgroup_places
from agent.identity.host import Host, open_host
from agent.metrics import Metrics
from agent.outbox import Outbox
from agent.quic.hellos import Hellos
from agent.reachability import Reachability
from agent.records import OOM_KILLS, Announcement, Kernel, KernelRefused, Limits, Offer
from agent.report import Introduction, Reporter
from agent.resources.reading import Reader, places_of
from agent.resources.usage import Usage
from agent.settings import VERSION, Settings
from agent.succession.legacy import Legacy
from agent.succession.successors import Heir, Wish
from agent.telemetry import Telemetry
from agent.upgrade import After, Before, OpenKernel
from agent.watch import Observation, Watch
from telemetry.log import Log, fault
from telemetry.process import stopped_by_signals

DONE, REFUSED = 0, 4
_LONGEST_POLL_SECONDS = 0.5
# A new flow is reported this soon after the last drain, and when its first packets may have come.
_EARLY_DRAIN_SECONDS, _FIRST_PACKETS_SECONDS = 0.15, 0.05
# Announcements come in bursts; the ring holds more than comes in this time.
_BREATH_SECONDS = 0.01
_FLUSH_SECONDS, _LAST_ATTEMPT_SECONDS = 5.0, 2.0

P = ParamSpec("P")
T = TypeVar("T")


async def run(settings: Settings, stop: asyncio.Event | None = None, open_kernel: OpenKernel | None = None) -> int:
    """Watches and reports until `stop` is set, or a signal comes when there is none. Returns the exit status."""
    log = Log(settings.host)
    stop = stop or stopped_by_signals(log, "agent_stopping")
    try:
        return await Agent(
            settings, log, stop, open_kernel or partial(_open_real_kernel, settings.cache_directory)
        ).run()
    except KernelRefused as refused:
        log.write("kernel_refused", reason=refused.reason, remedy=refused.remedy)
        return REFUSED
    except OSError as error:
        log.write("agent_failed", reason=str(error), remedy="see `plumb doctor`, and start it again")
        return REFUSED
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator gets a line of the log
        log.write("agent_failed", reason=fault(error), remedy="a fault of ours: please report it with this line")
        return REFUSED


class Agent:
    """One start of an agent. The kernel is touched by one thread only."""

    def __init__(self, settings: Settings, log: Log, stop: asyncio.Event, open_kernel: OpenKernel) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._open_kernel = open_kernel
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kernel")
        self._outbox = Outbox(heartbeat_ns=int(max(settings.interval_seconds, 2.0) * 1e9))
        self._reachability = Reachability(settings.aggregator, log, time.monotonic)
        self._epoch = time.time_ns()
        self._before = Before(settings, log, self._reachability, _boot_id())
        self._after = After(settings, log, self._epoch)
        limits = Limits(names_each_endpoint=settings.names_each_endpoint)
        self._budgets = Budgets(settings.cpu_budget_cores, limits, log)
        self._telemetry = Telemetry(log, self._outbox, self._reachability, settings.interval_seconds)
        self._telemetry.budgets = self._budgets
        self._metrics = Metrics(self._telemetry, settings.metrics, log)

    async def run(self) -> int:
        """Raises KernelRefused."""
        settings, started = self._settings, time.monotonic()
        mount, root = cgroup_places(settings.cgroup_root)
        self._log.write(
            "agent_starting",
            version=VERSION,
            kernel=platform.release(),
            cgroup_root=str(root),
            aggregator=settings.aggregator,
            interval_seconds=settings.interval_seconds,
        )
        has_predecessor = await self._in_thread(self._before.find, root)
        if not self._metrics.serve(waits=has_predecessor):
            return REFUSED
        kernel = await self._in_thread(self._before.open_kernel, root, self._open_kernel)
        try:
            self._tell_attached(kernel, time.monotonic() - started)
            await self._observe(kernel, root, mount)
        finally:
            await self._in_thread(kernel.close)
            self._thread.shutdown()
        if self._after.heir and settings.stays:
            await self._wait_for_the_end()
        self._log.write(
            "agent_stopped",
            unacknowledged_batches=self._outbox.unacknowledged,
            waiting_rows=self._outbox.waiting.rows,
            seconds=round(time.monotonic() - started, 3),
        )
        return DONE

    async def _wait_for_the_end(self) -> None:
        """Or for our successor's: then whoever starts us again must have us end."""
        self._telemetry.retired = True
        self._log.write("agent_retired")
        waiting = [asyncio.create_task(one) for one in (self._stop.wait(), self._after.successor_gone())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _observe(self, kernel: Kernel, root: Path, mount: Path) -> None:
        watch = await self._begin(kernel, root, mount)
        who = Introduction(_boot_id(), self._epoch, watch.everything)
        reporter = Reporter(self._settings, who, self._outbox, self._reachability)
        jobs = (self._report(reporter), self._summarise(), self._after.serve(root, kernel.offer))
        background = [asyncio.create_task(one) for one in jobs]
        try:
            await self._go_round(kernel, watch, reporter, background)
            if self._after.heir:
                self._telemetry.kernel_memory = lambda: 0
                await self._in_thread(kernel.close)
            await reporter.flush(_FLUSH_SECONDS if self._reachability.connected else _LAST_ATTEMPT_SECONDS)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        self._after.leave(self._outbox, watch.everything(), self._before.carried, reporter.who)

    async def _report(self, reporter: Reporter) -> None:
        """What the agent before us counted is delivered first."""
        continues = await self._before.farewell()
        reporter.go_on_from(continues, self._before.gap_reason)
        await asyncio.gather(reporter.run(), self._metrics.serve_at_last())

    async def _begin(self, kernel: Kernel, root: Path, mount: Path) -> Watch:
        """Attached already; so announcements are kept while the host is read, and nothing falls between."""
        started, now_ns = time.monotonic(), clock.now_ns()
        host = open_host(root, mount, now_ns, inside=self._settings.inside)
        reading = asyncio.create_task(asyncio.to_thread(host.read, now_ns))
        buffered: list[Announcement] = []
        legacy: Legacy | None = None
        while not reading.done() and not kernel.taken_over:
            buffered += await self._in_thread(kernel.poll, 0.05)
        usage = _usage_of(host, kernel, root, mount, now_ns)
        hellos = Hellos(self._settings.names_each_endpoint)
        found, watch = await reading, Watch(kernel, host, os.getpid(), usage, hellos)
        if kernel.taken_over:
            # The old agent has read until now. It knew the connections that are open, or its maps still wait for them.
            found = replace(found, open_connections=[])
            legacy = await self._in_thread(self._before.take, kernel)
        await self._in_thread(self._budgets.look, kernel)
        await self._in_thread(watch.merge, found, buffered, now_ns)
        if legacy is not None:
            await self._in_thread(watch.inherit, legacy.meanings)
        self._telemetry.watch, self._telemetry.kernel_memory = watch, kernel.kernel_memory_bytes
        self._log.write(
            "host_read",
            cgroups=len(host.index.living()),
            named=watch.named_cgroups,
            network_namespaces=found.network_namespaces,
            listeners=found.listeners,
            open_connections=len(found.open_connections),
            seconds=round(time.monotonic() - started, 3),
        )
        self._telemetry.read(found.processes, host.proc.denied, rights.lacking(rights.READING))
        return watch

    async def _go_round(
        self, kernel: Kernel, watch: Watch, reporter: Reporter, background: list[asyncio.Task[None]]
    ) -> None:
        """Until we are stopped, or a successor has taken over."""
        due = drained = time.monotonic()
        while not self._stop.is_set():
            if (heir := self._after.ready) and await self._hand_over(heir, kernel, watch, reporter):
                return
            wait_seconds = min(_LONGEST_POLL_SECONDS, max(0.0, due - time.monotonic()))
            heard, new_flow = await self._in_thread(watch.listen, wait_seconds)
            now = time.monotonic()
            if new_flow and not self._budgets.throttle.level:
                due = min(due, max(drained + _EARLY_DRAIN_SECONDS, now + _FIRST_PACKETS_SECONDS))
            if now >= due:
                early = await self._drain(watch, reporter)
                interval = self._budgets.interval_seconds(self._settings.interval_seconds)
                drained, due = now, now + (min(_EARLY_DRAIN_SECONDS, interval) if early else interval)
            elif heard:
                await asyncio.sleep(_BREATH_SECONDS)
            for task in background:
                if task.done():
                    task.result()
        await self._drain(watch, reporter, last=True)

    async def _hand_over(self, heir: Heir, kernel: Kernel, watch: Watch, reporter: Reporter) -> bool:
        """Whether we have read the maps for the last time."""
        if heir.wish is Wish.END:
            await self._in_thread(kernel.detach)
        await self._drain(watch, reporter, last=True)
        if heir.wish is Wish.END:
            self._after.end(heir, kernel.stand().drained_ns)
            return True
        legacy = await self._in_thread(lambda: Legacy(kernel.stand(), watch.meanings()))
        return await self._after.give(heir, legacy)

    def _observed(self, watch: Watch, last: bool) -> Observation:
        observation = watch.drain(clock.now_ns(), self._outbox.empty, last)
        observation.status.clock_set_ns = clock.set_by_ns()
        self._budgets.look(watch.kernel, observation.portion)
        observation.status.shed = self._budgets.shed
        return observation

    async def _drain(self, watch: Watch, reporter: Reporter, last: bool = False) -> bool:
        """Whether a flow appeared meanwhile, so that the next drain should not wait for its time."""
        started = time.monotonic()
        observation = await self._in_thread(self._observed, watch, last)
        self._telemetry.drained(observation.portion, observation.status, time.monotonic() - started)
        for field, notes in observation.notes.items():
            self._outbox.note(field, notes)
        self._outbox.add(observation.portion, observation.status, observation.only_own, observation.usage)
        reporter.wake()
        return observation.new_flow and not self._budgets.throttle.level

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(self._settings.summary_seconds)
            self._telemetry.summarise()

    def _tell_attached(self, kernel: Kernel, seconds: float) -> None:
        self._log.write(
            "kernel_attached",
            attached=kernel.attached,
            seconds=round(seconds, 3),
            cache=kernel.cache,
            kernel_memory_bytes=kernel.kernel_memory_bytes(),
        )
        for one in kernel.missing:
            self._log.write("kernel_part_missing", part=one.part, reason=one.reason, remedy=one.remedy)

    async def _in_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments, **named))


def _open_real_kernel(cache: Path | None, root: Path, offer: Offer | None, let_go: Callable[[], None]) -> Kernel:
    # Here, so that an agent without BPF on board can still say what is missing.
    from agent.kernel.source import open_kernel

    return open_kernel(root, offer, let_go, cache)


def _usage_of(host: Host, kernel: Kernel, root: Path, mount: Path, now_ns: int) -> Usage:
    counts_kills = OOM_KILLS in kernel.attached
    reader = Reader(places_of(Path("/proc/self/mounts").read_text(), root, mount), polls_oom=not counts_kills)
    return Usage(host.naming, host.book, reader, counts_kills, now_ns)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
