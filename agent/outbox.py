"""What is on its way to the aggregator: numbered batches in flight, and what will be put into the next.

Pure; used from one thread. A batch stays as it was until it is acknowledged; everything later coalesces.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plumbline.v1.flow_pb2 import Batch, DnsAnswer, FlowDefinition, LocalEndpoint, NameDefinition, Ownership

from agent.coalescing import Portion, Waiting
from agent.packing import Status, host_status, put_rows

MOST_IN_FLIGHT = 4
# Together below gRPC's usual limit of 4 MB for a message.
_MOST_BATCH_ROWS = 16_000
_MOST_NOTE_BYTES = 1_000_000
# Of each kind, while nobody takes them: ranges of owned addresses, and answers of DNS.
MOST_NOTES = 20_000
# Batches that an aggregator had acknowledged, and knew nothing of when it came back.
FORGOTTEN = "forgotten_batches"

Note: TypeAlias = LocalEndpoint | FlowDefinition | NameDefinition | Ownership | DnsAnswer

# By the field of a batch, in the order in which they must arrive; what tells one from another.
_NOTE_KEYS: Mapping[str, Callable[..., object]] = {
    "endpoints": lambda note: note.id,
    "flow_definitions": lambda note: note.id,
    "names": lambda note: note.id,
    "ownerships": lambda note: (
        *(note.realm, note.network_namespace, note.address, note.port, note.transport, note.endpoint),
        getattr(note, "from").ToNanoseconds(),
    ),
    "dns_answers": lambda note: (note.endpoint, note.name),
}
_DEFINITIONS = ("endpoints", "flow_definitions", "names")


@dataclass(frozen=True, slots=True)
class InFlight:
    batch: Batch
    oldest_ns: int
    is_restated: bool = False


class Outbox:
    """One epoch's batches, from the first to the last."""

    def __init__(self, heartbeat_ns: int = 2_000_000_000, waiting: Waiting | None = None) -> None:
        self.waiting = waiting or Waiting()
        self.acknowledged = 0
        self._heartbeat_ns = heartbeat_ns
        self._next_sequence = 1
        self._in_flight: deque[InFlight] = deque()
        self._notes: dict[str, dict[object, Note]] = {name: {} for name in _NOTE_KEYS}
        self._given_up: Counter[str] = Counter()
        self._forgotten = 0
        self._status: Status | None = None
        self._pressing = False
        self._last_cut_ns = 0

    @classmethod
    def of(cls, acknowledged: int, batches: Sequence[Batch], now_ns: int) -> "Outbox":
        """What somebody else could not deliver, under its numbers."""
        outbox = cls()
        outbox.acknowledged = acknowledged
        outbox._in_flight.extend(InFlight(batch, now_ns) for batch in batches)
        outbox._next_sequence = max([acknowledged, *(batch.sequence for batch in batches)]) + 1
        return outbox

    @property
    def in_flight(self) -> list[Batch]:
        """Unacknowledged batches, oldest first."""
        return [flying.batch for flying in self._in_flight]

    @property
    def unacknowledged(self) -> int:
        return len(self._in_flight)

    @property
    def empty(self) -> bool:
        return not (self._in_flight or self.waiting.rows or any(self._notes.values()))

    @property
    def delivered(self) -> bool:
        """Empty, and what the host said about itself is delivered too."""
        return self.empty and self._status is None

    def press(self) -> None:
        """What the host says about itself does not wait for a heartbeat."""
        self._pressing |= self._status is not None

    def oldest_ns(self) -> int | None:
        """Time of the oldest count that is not acknowledged."""
        if self._in_flight:
            return self._in_flight[0].oldest_ns
        return self.waiting.oldest_ns

    def note(self, field_name: str, notes: Iterable[Note]) -> None:
        """Definitions, ranges or answers for the next batch; the latest about one thing holds."""
        key, kept = _NOTE_KEYS[field_name], self._notes[field_name]
        for note in notes:
            kept[key(note)] = note
        if field_name not in _DEFINITIONS:
            while len(kept) > MOST_NOTES:
                del kept[next(iter(kept))]
                self._given_up[f"{field_name}_undelivered"] += 1

    def add(self, portion: Portion, status: Status, quiet: bool = False, usage: Iterable[Portion] = ()) -> None:
        """The counts of one interval, and what the host says about it. `quiet`: they can wait for a heartbeat, as
        `usage` always can."""
        self.waiting.add(portion)
        for one in usage:
            self.waiting.add(one)
        self._pressing |= bool(portion.rows) and not quiet
        status.dropped.update(self._given_up)
        self._given_up.clear()
        if self._forgotten:
            status.lost[FORGOTTEN] += self._forgotten
            self._forgotten = 0
        if self._status is None:
            self._status = status
        else:
            self._status.add(status)
        # Whether or not there is a stream: what waits while the aggregator is away must not grow with time.
        self.waiting.widen(status.time_ns)

    def cut(self, now_ns: int) -> Batch | None:
        """The next batch, in flight from now on; None while enough are, or when there is nothing to say."""
        if len(self._in_flight) >= MOST_IN_FLIGHT or not self._something_to_say(now_ns):
            return None
        return self._cut(now_ns, with_rows=True)

    def acknowledge(self, sequence: int) -> None:
        """Everything up to this number is on the aggregator's disk."""
        self.acknowledged = max(self.acknowledged, min(sequence, self._next_sequence - 1))
        while self._in_flight and self._in_flight[0].batch.sequence <= sequence:
            self._in_flight.popleft()

    def resume(self, remembered: int) -> bool:
        """After a new stream was opened; False when the aggregator lost what it had acknowledged: see `restate`."""
        if remembered < self.acknowledged:
            return False
        self.acknowledge(remembered)
        return True

    def restate(self, remembered: int, everything: Mapping[str, Iterable[Note]], now_ns: int) -> None:
        """Says everything again that batches refer to, in front of what is in flight, under new numbers.

        The aggregator has none of what is in flight: `resume` came before this.
        """
        self._forgotten += max(0, self.acknowledged - remembered)
        again = [flight.batch for flight in self._in_flight if flight.is_restated]
        flying = [flight for flight in self._in_flight if not flight.is_restated]
        later = self._notes
        self._in_flight.clear()
        self._notes = {name: {} for name in _NOTE_KEYS}
        for name in _NOTE_KEYS:
            # What was said again before and did not arrive is said once, not once an attempt.
            self.note(name, (note for batch in again for note in getattr(batch, name)))
            self.note(name, everything.get(name, ()))
            self._notes[name].update(later[name])
        while any(self._notes.values()):
            self._cut(now_ns, with_rows=False)
        for flight in flying:
            flight.batch.sequence = self._number()
            self._in_flight.append(flight)
        self.acknowledged = remembered

    def cut_all(self, now_ns: int) -> list[Batch]:
        """Everything that is on no disk yet, in batches, for somebody else to deliver."""
        while self.waiting.rows or any(self._notes.values()) or self._status is not None:
            self._cut(now_ns, with_rows=True)
        return self.in_flight

    def _something_to_say(self, now_ns: int) -> bool:
        if self._pressing or any(self._notes.values()):
            return True
        status = self._status
        # Drains drift; a heartbeat that is nearly due does not wait for another one.
        due = now_ns - self._last_cut_ns >= self._heartbeat_ns * 9 // 10
        return status is not None and (status.urgent or due)

    def _number(self) -> int:
        self._next_sequence += 1
        return self._next_sequence - 1

    def _cut(self, now_ns: int, with_rows: bool) -> Batch:
        batch = Batch(sequence=self._number())
        room = self._put_notes(batch)
        portions = self.waiting.take(_MOST_BATCH_ROWS) if with_rows and room else []
        put_rows(batch, portions)
        oldest_ns = min((portion.span.from_ns for portion in portions), default=now_ns)
        # A status says that everything until its time is delivered, so it waits for the last row.
        if self._status is not None and with_rows and not self.waiting.rows and room:
            batch.host_status.CopyFrom(host_status(self._status))
            self._status = None
        self._pressing = bool(self.waiting.rows) and self._pressing
        self._last_cut_ns = now_ns
        self._in_flight.append(InFlight(batch, oldest_ns, is_restated=not with_rows))
        return batch

    def _put_notes(self, batch: Batch) -> bool:
        """False when not all fitted: then rows would come before what they refer to."""
        room = _MOST_NOTE_BYTES
        for name, notes in self._notes.items():
            target = getattr(batch, name)
            while notes:
                if room <= 0:
                    return False
                note = notes.pop(next(iter(notes)))
                room -= note.ByteSize() + 4
                target.append(note)
        return True
