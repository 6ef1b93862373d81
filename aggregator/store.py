"""What agents said, on disk and in memory, together: a record is in the journal before it is in the estate.

Used from one thread, but `sync` and `save`, which wait for the disk, from any.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.flow_pb2 import Batch, Hello

from aggregator.checkpoints import Checkpoints
from aggregator.compacting import MANY_DEFINITIONS, GivenBack, Room
from aggregator.estate import Estate
from aggregator.ingest.decoding import check_hello
from aggregator.journal import FileJournal
from aggregator.kept import Write
from aggregator.outside import Steps as OutsideSteps
from aggregator.records import HostKey, JournalRecord, RecordKind, Refused
from aggregator.resolve.objects import Service, Slice
from aggregator.resolve.podnames import payload_of
from aggregator.resolve.workloads import PodName
from aggregator.settings import Settings
from aggregator.snapshots import Made, Steps
from aggregator.steps import Step
from aggregator.topology.events import payload_of as payload_of_events
from telemetry.log import fault

# Why a batch is not taken whose agent must say again what it refers to.
ASKED_AGAIN: Final = "definitions_lost"


class Observer(Protocol):
    """Hears what an operator wants to know."""

    def damaged(self, file: Path, at_byte: int, cut_bytes: int, reason: str) -> None:
        """A file was not as it was written; what is behind `at_byte` is left out."""

    def unusable(self, what: str, error: Exception) -> None:
        """Something that was kept, or came, met a fault of our own, and is left out."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a start found."""

    checkpoint_position: int
    records: int
    refused: int
    seconds: float
    given_back: GivenBack | None


@dataclass(frozen=True, slots=True)
class Taken:
    """`position` must be on disk before the batch is acknowledged. `refused`: counted nowhere, and why."""

    position: int
    is_new: bool
    refused: Refused | None = None


class Known(NamedTuple):
    """What is known of an agent that says hello: the highest number of its batches; whether a damaged disk lost some,
    so that it must say again what its batches refer to."""

    sequence: int
    definitions_lost: bool


class Store:
    """Raises JournalFailed where the disk fails; then nothing of a record is kept."""

    def __init__(self, settings: Settings, observer: Observer, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._clock_ns = clock_ns
        self._observer = observer
        self.estate = Estate(settings)
        # Two checkpoints and what came since: the smaller the segments, the sooner one can be cut.
        segment_bytes = max(settings.checkpoint_bytes // 2, 1)
        self._journal = FileJournal(settings.data, self._damaged, segment_bytes)
        self._checkpoints = Checkpoints(settings.data, lambda path, why: observer.damaged(path, 0, 0, why))
        self.saved_position = 0
        self._saved_after = 0
        self._room = Room(
            {"flows": settings.max_flows, "names": settings.max_names, "endpoints": settings.max_endpoints},
            {"hosts": 4 * settings.max_hosts, "definitions": MANY_DEFINITIONS},
        )

    @property
    def position(self) -> int:
        """The journal's end."""
        return self._journal.position

    @property
    def is_smaller(self) -> bool:
        """Than the newest checkpoint, since something was given back: a replay from there would need the room again."""
        return self.saved_position < self._saved_after

    def restore(self) -> Restored:
        """What is on disk becomes the estate."""
        started = time.monotonic()
        self.saved_position = self._restore_checkpoint()
        self._journal.skip_to(self.saved_position)
        records = refused = 0
        # A journal whose beginning was cut is whole only together with the checkpoint that it was cut at.
        is_whole = self.saved_position > 0 or self._journal.oldest_position == 0
        for _, record in self._journal.replay(self.saved_position):
            records += 1
            try:
                self.estate.replay(record, is_whole)
            except Refused:
                refused += 1
            except Exception as error:  # noqa: BLE001 - one record must not keep all others from being known again
                refused += 1
                self._observer.unusable("a record of the journal", error)
        given_back = self._give_back_restored()
        return Restored(self.saved_position, records, refused, time.monotonic() - started, given_back)

    def _give_back_restored(self) -> GivenBack | None:
        try:
            return self.give_back()
        except Exception as error:  # noqa: BLE001 - all of it is known, with less room
            self._observer.unusable("what nothing refers to", error)
            return None

    def hello(self, hello: Hello, payload: bytes) -> Known:
        """Raises Refused; then nothing is kept."""
        check_hello(hello)
        now_ns = self._clock_ns()
        self.estate.check_room(hello, now_ns)
        self._journal.append(JournalRecord(RecordKind.HELLO, self._place(hello), hello.epoch, now_ns, payload))
        return Known(self.estate.hello(hello, now_ns), self.estate.has_lost_definitions(hello))

    def batch(self, hello: Hello, batch: Batch, payload: bytes) -> Taken:
        """`payload` is the request that `batch` came in, `hello` the one of its stream.

        What meets a fault of our own is refused too: its agent would bring it for ever, and nothing behind it.
        """
        now_ns = self._clock_ns()
        key = HostKey(hello.cluster or self._settings.cluster, hello.host)
        record = JournalRecord(RecordKind.BATCH, self._place(hello), hello.epoch, now_ns, payload)
        if self.estate.lacks(key, hello.epoch, batch):
            return Taken(self._journal.position, False, Refused(ASKED_AGAIN, "It refers to what was given back."))
        position = self._journal.append(record)
        try:
            return Taken(position, self.estate.batch(key, hello.epoch, batch, now_ns))
        except Refused as refused:
            return Taken(position, False, refused)
        except Exception as error:  # noqa: BLE001 - whatever it is, this batch alone is lost
            self.estate.refuse(key, hello.epoch, batch.sequence)
            return Taken(position, False, Refused("fault", fault(error)))

    def learn_pods(self, names: Sequence[PodName], living: Sequence[str], gone: Sequence[str]) -> None:
        """What pods are part of; uids of those that are there, and of those that are gone. Raises JournalFailed."""
        now_ns, pods = self._clock_ns(), self.estate.pods
        if news := pods.news(names):
            place = f"{self._settings.cluster}/"
            self._journal.append(JournalRecord(RecordKind.PODS, place, 0, now_ns, payload_of(news)))
            pods.learn(news)
        pods.live(living)
        pods.end(gone, now_ns)

    def known_of_cluster(self) -> tuple[list[str], set[str]]:
        """Uids of pods that live as far as is known, and of Services and slices that are there."""
        return self.estate.pods.living(), self.estate.services.known()

    def learn_services(self, came: Sequence[Service | Slice], gone: Sequence[str]) -> None:
        """`gone`: uids of Services and slices."""
        self.estate.services.learn(came, gone, self._clock_ns())

    def learn_events(self, events: Sequence[pb.Event]) -> Mapping[str, pb.Event]:
        """What happened to workloads; returns all that is known of it. Raises JournalFailed."""
        known = self.estate.events
        if news := known.news(events):
            place = f"{self._settings.cluster}/"
            self._journal.append(JournalRecord(RecordKind.EVENTS, place, 0, self._clock_ns(), payload_of_events(news)))
            known.add(news)
        return known.as_of_now()

    def sync(self) -> int:
        """Waits for the disk; the position up to which everything is on it."""
        return self._journal.acknowledge()

    def topology(self, window_ns: int) -> pb.Topology:
        return self.estate.topology(window_ns, self._clock_ns())

    def snapshot(self, window_ns: int) -> Steps:
        """In steps: those that are ALONE from this thread, the others from any."""
        return self.estate.snapshot(window_ns, self._clock_ns())

    def outside(self) -> OutsideSteps:
        """What was called outside since this was asked last, in steps."""
        return self.estate.outside(self._clock_ns())

    def news(self, window_ns: int) -> Made | None:
        return self.estate.news(window_ns, self._clock_ns())

    def age(self) -> None:
        self.estate.age(self._clock_ns())

    def ageing(self) -> Generator[Step, None, None]:
        """The same in steps, as for a snapshot."""
        return self.estate.ageing(self._clock_ns())

    def give_back(self) -> GivenBack | None:
        """What nothing refers to any more, where a table runs out of room, else None. `warming` comes after it."""
        now_ns, started = self._clock_ns(), time.monotonic()
        if not self._room.is_short(self.estate.held(), now_ns):
            return None
        self.estate, given = self.estate.without_unused(now_ns)
        self._saved_after = self._journal.position + 1
        return given._replace(seconds=time.monotonic() - started)

    def warming(self) -> Generator[Step, None, None]:
        """In steps, as for a snapshot, all of them ALONE."""
        yield from self.estate.warming(self._clock_ns())

    def checkpoint(self) -> tuple[int, Write]:
        """The journal's end and everything that is known at it, for `save`."""
        return self._journal.position, self.estate.checkpoint().write

    def save(self, position: int, write: Write) -> int:
        """How many bytes it has. Raises OSError; then the last one holds."""
        self._journal.cut(self._checkpoints.save(position, write))
        self.saved_position = position
        return self._checkpoints.saved_bytes

    def close(self) -> None:
        self._journal.close()

    def _damaged(self, file: Path, at_byte: int, cut_bytes: int, reason: str) -> None:
        self._observer.damaged(file, at_byte, cut_bytes, reason)
        self.estate.replay_damaged()

    def _restore_checkpoint(self) -> int:
        for position, content in self._checkpoints.usable():
            try:
                self.estate = Estate.restore(self._settings, content)
            except ValueError:
                # Of another version: what it was made of is still in the journal, or was lost with it.
                continue
            except Exception as error:  # noqa: BLE001 - there is an older one, and the journal
                self._observer.unusable("a checkpoint", error)
                continue
            return position
        return 0

    def _place(self, hello: Hello) -> str:
        return f"{hello.cluster or self._settings.cluster}/{hello.host}"
