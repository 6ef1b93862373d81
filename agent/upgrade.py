"""An upgrade without a gap: what this agent takes from the one before it, and leaves to the one after it.

before us  --offer: maps, links--> our programs in the place of its own --legacy: what its ids mean--> we read the maps
           --rests: what it could not deliver--> delivered in its name, and only then we report
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from plumbline.v1.flow_pb2 import Batch

from agent import clock
from agent.outbox import Outbox
from agent.reachability import Reachability
from agent.records import Kernel, Offer
from agent.report import Introduction, Reporter
from agent.settings import Settings
from agent.succession.legacy import Legacy, Rest
from agent.succession.place import Door, NoPlace, Place, place_for
from agent.succession.predecessor import Predecessor, Stranger, find
from agent.succession.successors import Heir, Successors
from telemetry.log import Log

OpenKernel: TypeAlias = Callable[[Path, Offer | None, Callable[[], None]], Kernel]

# How long the one before us may take to deliver its last counts.
_FAREWELL_SECONDS = 30.0
DEFINITIONS = ("endpoints", "flow_definitions", "names", "ownerships")
OTHER_LAYOUT = "upgraded; the maps of the new agent have another layout"
DIED = "the old agent died while it handed over"
_REMEDY = "make that directory one of root's alone, or name another one with --runtime-dir"


class Before:
    """The agent before us. `find`, `open_kernel` and `take` block: they are called from the kernel's thread."""

    def __init__(self, settings: Settings, log: Log, reachability: Reachability, boot_id: str) -> None:
        self._settings = settings
        self._log = log
        self._reachability = reachability
        self._boot_id = boot_id
        self._predecessor: Predecessor | None = None
        self._started = 0.0
        self.gap_reason = ""
        # What was left to us and is not delivered yet.
        self.carried: list[Rest] = []

    def find(self, root: Path) -> bool:
        """Whether there is one. Raises KernelRefused where it does not hand over."""
        place = place_of(self._settings, root)
        try:
            found = self._predecessor = find(place) if place else None
        except Stranger as stranger:
            self._log.write("handover_refused", caller_process_id=0, reason=str(stranger))
            return False
        if found is None:
            return False
        clock.go_on_from(found.clock_began_ns)
        self._started = time.monotonic()
        self._log.write(
            "takeover_begun", predecessor_process_id=found.peer.process_id, predecessor_version=found.version
        )
        return True

    def open_kernel(self, root: Path, open_kernel: OpenKernel) -> Kernel:
        """On the maps of the agent before us, where there is one. Raises KernelRefused."""
        found = self._predecessor
        if found is None:
            return open_kernel(root, None, lambda: None)
        try:
            kernel = open_kernel(root, found.offer, self._end)
        except BaseException:
            found.close()
            raise
        found.close_offer()
        if not kernel.taken_over:
            gap_seconds = round((clock.now_ns() - found.ended_ns) / 1e9, 3) if found.ended_ns else None
            self._log.write("takeover_not_possible", reason=self.gap_reason, gap_seconds=gap_seconds)
        return kernel

    def take(self, kernel: Kernel) -> Legacy | None:
        """From now on we read the maps. None: what their ids mean is not known. Raises KernelRefused."""
        assert self._predecessor is not None, "maps were taken over from somebody"
        asked = time.monotonic()
        legacy = self._predecessor.take()
        kernel.go_on(legacy.stand if legacy else None)
        if legacy is None:
            self.gap_reason = DIED
            self._log.write("takeover_incomplete", reason=DIED)
            return None
        self._log.write(
            "taken_over",
            flows=len(legacy.meanings.flows),
            names=len(legacy.meanings.names),
            unread_seconds=round(time.monotonic() - asked, 3),
            seconds=round(time.monotonic() - self._started, 3),
        )
        return legacy

    async def farewell(self) -> int:
        """Returns when nothing of the agent before us is under way: the epoch that ours goes on from, or 0."""
        before = self._predecessor
        if before is None:
            return 0
        farewell = await asyncio.to_thread(before.farewell, _FAREWELL_SECONDS)
        self.carried += farewell.rests
        while self.carried:
            await self._deliver(self.carried[0])
            del self.carried[0]
        if not farewell.in_order and not self.gap_reason:
            self.gap_reason = DIED
        return 0 if self.gap_reason else before.epoch

    async def _deliver(self, rest: Rest) -> None:
        everything = {field: [*getattr(rest.everything, field)] for field in DEFINITIONS}
        who = Introduction(self._boot_id, rest.epoch, lambda: everything, rest.continues_epoch, rest.gap_reason)
        outbox = Outbox.of(rest.acknowledged, rest.batches, clock.now_ns())
        reporter = Reporter(self._settings, who, outbox, self._reachability)
        running, flushing = asyncio.create_task(reporter.run()), asyncio.create_task(reporter.flush(None))
        try:
            # One that has ended by a fault would let the other wait for ever: the fault is ours to tell.
            done, _ = await asyncio.wait((running, flushing), return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            running.cancel()
            flushing.cancel()
            await asyncio.gather(running, flushing, return_exceptions=True)

    def _end(self) -> None:
        assert self._predecessor is not None, "only an offer can have another layout"
        self.gap_reason = OTHER_LAYOUT
        self._predecessor.end()


class After:
    """The agent after us. `heir`: the one that has taken over."""

    def __init__(self, settings: Settings, log: Log, epoch: int) -> None:
        self._settings = settings
        self._log = log
        self._epoch = epoch
        self._successors: Successors | None = None
        self._began = 0.0
        self.heir: Heir | None = None

    @property
    def ready(self) -> Heir | None:
        """One that can take over now."""
        return self._successors.heir if self._successors else None

    async def serve(self, root: Path, offer: Callable[[], Offer]) -> None:
        """Until cancelled; returns where nobody could find us."""
        place = place_of(self._settings, root)
        if place is None:
            return
        try:
            door = Door(place)
        except NoPlace as error:
            self._log.write("handover_unavailable", reason=str(error), remedy=_REMEDY)
            return
        try:
            door.publish()
            self._successors = Successors(self._log, offer, self._epoch)
            await self._successors.run(door.listener)
        except NoPlace as error:
            self._log.write("handover_unavailable", reason=str(error), remedy=_REMEDY)
        finally:
            door.close()

    async def give(self, heir: Heir, legacy: Legacy) -> bool:
        """Whether the maps are the successor's from now on; else we go on."""
        reason = await heir.give(legacy)
        if reason:
            assert self._successors is not None, "an heir has come to somebody"
            self._successors.went_on(reason)
            return False
        self._handed(heir)
        return True

    def end(self, heir: Heir, drained_ns: int) -> None:
        """We count no more; the successor begins anew."""
        heir.tell_ended(drained_ns)
        self._handed(heir)

    def leave(
        self, own: Outbox, everything: Mapping[str, Sequence[object]], carried: Sequence[Rest], who: Introduction
    ) -> None:
        """Our last word to the successor. `who`: as we would have introduced ourselves."""
        if self.heir is None:
            return
        rests = [*carried]
        if not own.delivered:
            batches = own.cut_all(clock.now_ns())
            notes = Batch(**{field: everything[field] for field in DEFINITIONS})  # type: ignore[arg-type]
            words = (who.continues_epoch, who.gap_reason)
            rests.append(Rest(self._epoch, own.acknowledged, batches, notes, *words))
        told = self.heir.leave(rests)
        self._log.write(
            "handed_over",
            successor_process_id=self.heir.peer.process_id,
            undelivered_batches=sum(len(rest.batches) for rest in rests),
            told=told,
            seconds=round(time.monotonic() - self._began, 3),
        )

    async def successor_gone(self) -> None:
        """Returns when the one that has taken over has ended, however that came."""
        assert self.heir is not None, "somebody has taken over"
        await self.heir.gone()

    def _handed(self, heir: Heir) -> None:
        self.heir, self._began = heir, time.monotonic()
        heir.settled.set()


def place_of(settings: Settings, root: Path) -> Place | None:
    if settings.runtime_directory is None:
        return None
    return place_for(settings.runtime_directory, settings.host, settings.cluster, settings.aggregator, root)
