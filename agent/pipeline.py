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
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

from agent import rights
from agent.identity.cgroup import find_cgroup_root
from agent.identity.host import open_host
from agent.metrics import serve
from agent.outbox import Outbox
from agent.reachability import Reachability
from agent.records import Announcement, Kernel, KernelRefused
from agent.report import Introduction, Reporter
from agent.settings import VERSION, Settings
from agent.telemetry import Telemetry
from agent.watch import Watch
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
OpenKernel: TypeAlias = Callable[[Path], Kernel]


async def run(settings: Settings, stop: asyncio.Event | None = None, open_kernel: OpenKernel | None = None) -> int:
    """Watches and reports until `stop` is set, or a signal comes when there is none. Returns the exit status."""
    log = Log(settings.host)
    stop = stop or stopped_by_signals(log, "agent_stopping")
    try:
        return await Agent(settings, log, stop, open_kernel or _open_real_kernel).run()
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
        self._telemetry = Telemetry(log, self._outbox, self._reachability, settings.interval_seconds)

    async def run(self) -> int:
        """Raises KernelRefused."""
        settings, started = self._settings, time.monotonic()
        mount, root = _cgroup_places(settings)
        self._log.write(
            "agent_starting",
            version=VERSION,
            kernel=platform.release(),
            cgroup_root=str(root),
            aggregator=settings.aggregator,
            interval_seconds=settings.interval_seconds,
        )
        if settings.metrics is not None and not self._serve_metrics(settings.metrics):
            return REFUSED
        kernel = await self._in_thread(self._open_kernel, root)
        try:
            self._tell_attached(kernel, time.monotonic() - started)
            await self._observe(kernel, root, mount)
        finally:
            await self._in_thread(kernel.close)
            self._thread.shutdown()
        self._log.write(
            "agent_stopped",
            unacknowledged_batches=self._outbox.unacknowledged,
            waiting_rows=self._outbox.waiting.rows,
            seconds=round(time.monotonic() - started, 3),
        )
        return DONE

    async def _observe(self, kernel: Kernel, root: Path, mount: Path) -> None:
        watch = await self._begin(kernel, root, mount)
        who = Introduction(_boot_id(), time.time_ns(), watch.everything)
        reporter = Reporter(self._settings, who, self._outbox, self._reachability)
        background = [asyncio.create_task(one) for one in (reporter.run(), self._summarise())]
        try:
            await self._go_round(watch, reporter, background)
            await reporter.flush(_FLUSH_SECONDS if self._reachability.connected else _LAST_ATTEMPT_SECONDS)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _begin(self, kernel: Kernel, root: Path, mount: Path) -> Watch:
        """Attached already; so announcements are kept while the host is read, and nothing falls between."""
        started, now_ns = time.monotonic(), time.time_ns()
        host = open_host(root, mount, now_ns)
        reading = asyncio.create_task(asyncio.to_thread(host.read, now_ns))
        buffered: list[Announcement] = []
        while not reading.done():
            buffered += await self._in_thread(kernel.poll, 0.05)
        found, watch = await reading, Watch(kernel, host, os.getpid())
        await self._in_thread(watch.merge, found, buffered, now_ns)
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

    async def _go_round(self, watch: Watch, reporter: Reporter, background: list[asyncio.Task[None]]) -> None:
        interval = self._settings.interval_seconds
        due = drained = time.monotonic()
        while not self._stop.is_set():
            wait_seconds = min(_LONGEST_POLL_SECONDS, max(0.0, due - time.monotonic()))
            heard, new_flow = await self._in_thread(watch.listen, wait_seconds)
            now = time.monotonic()
            if new_flow:
                due = min(due, max(drained + _EARLY_DRAIN_SECONDS, now + _FIRST_PACKETS_SECONDS))
            if now >= due:
                early = await self._drain(watch, reporter)
                drained, due = now, now + (min(_EARLY_DRAIN_SECONDS, interval) if early else interval)
            elif heard:
                await asyncio.sleep(_BREATH_SECONDS)
            for task in background:
                if task.done():
                    task.result()
        await self._drain(watch, reporter)

    async def _drain(self, watch: Watch, reporter: Reporter) -> bool:
        """Whether a flow appeared meanwhile, so that the next drain should not wait for its time."""
        started = time.monotonic()
        observation = await self._in_thread(watch.drain, time.time_ns(), self._outbox.empty)
        self._telemetry.drained(observation.portion, observation.status, time.monotonic() - started)
        for field, notes in observation.notes.items():
            self._outbox.note(field, notes)
        self._outbox.add(observation.portion, observation.status, observation.only_own)
        reporter.wake()
        return observation.new_flow

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(self._settings.summary_seconds)
            self._telemetry.summarise()

    def _tell_attached(self, kernel: Kernel, seconds: float) -> None:
        self._log.write(
            "kernel_attached",
            attached=kernel.attached,
            seconds=round(seconds, 3),
            kernel_memory_bytes=kernel.kernel_memory_bytes(),
        )
        for one in kernel.missing:
            self._log.write("kernel_part_missing", part=one.part, reason=one.reason, remedy=one.remedy)

    def _serve_metrics(self, address: str) -> bool:
        try:
            serve(self._telemetry, address)
        except OSError as error:
            reason = error.strerror or str(error)
            self._log.write("metrics_refused", address=address, reason=reason, remedy="choose another --metrics")
            return False
        self._log.write("metrics_served", address=address)
        return True

    async def _in_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments, **named))


def _open_real_kernel(root: Path) -> Kernel:
    # Here, so that an agent without BPF on board can still say what is missing.
    from agent.kernel.source import open_kernel

    return open_kernel(root)


def _cgroup_places(settings: Settings) -> tuple[Path, Path]:
    """(where the hierarchy is mounted, the watched part of it). Raises KernelRefused."""
    mount = find_cgroup_root(Path("/proc/self/mounts").read_text())
    if mount is None:
        raise KernelRefused(
            "no cgroup v2 hierarchy is mounted",
            "mount one: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    root = settings.cgroup_root or mount
    if not root.resolve().is_relative_to(mount.resolve()) or not root.is_dir():
        raise KernelRefused(f"{root} is no cgroup below {mount}", "name an existing one with --cgroup-root")
    return mount, root


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
