"""One agent's stream: hello and welcome, then batches in and acknowledgements out. Knows no transport."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf.message import Message
from plumbline.v1.columns import CONTRACT_VERSION
from plumbline.v1.flow_pb2 import Acknowledgement, Hello, ReportRequest, ReportResponse, Welcome

from aggregator.ingest.decoding import check_hello, decode
from aggregator.journal import JournalFailed
from aggregator.live import Live
from aggregator.outputs.refusals import CannotServe, Refusal
from aggregator.records import HostKey, Refused
from aggregator.settings import VERSION
from aggregator.store import ASKED_AGAIN
from aggregator.telemetry import Telemetry
from aggregator.topology.times import stamp

Send: TypeAlias = Callable[[Message], Awaitable[None]]

_HELLO_SECONDS: Final = 30.0
_MOST_STREAMS: Final = 10_000
# An agent that lives says something each interval, at least every two seconds: a host that lost its power, or hangs,
# holds its stream for more than a minute.
_SILENT_SECONDS, _SILENT_INTERVALS = 10.0, 3
_REFUSALS: Final = {
    "version": Refusal.VERSION,
    "taken": Refusal.TAKEN,
    "full": Refusal.FULL,
    "hosts_full": Refusal.FULL,
}


@dataclass(slots=True)
class _Reporter:
    """Who reports for a host now: its boot, its agent's epoch, and until when it may be silent. One a stream."""

    boot_id: str
    epoch: int
    due: float = 0.0

    def heard(self, hello: Hello) -> None:
        self.due = time.monotonic() + max(_SILENT_SECONDS, _SILENT_INTERVALS * hello.interval.seconds)


class Reporting:
    """All streams of agents."""

    def __init__(self, live: Live, telemetry: Telemetry) -> None:
        self._live = live
        self._telemetry = telemetry
        self._hosts: dict[HostKey, _Reporter] = {}

    async def report(self, requests: AsyncIterator[bytes], send: Send) -> None:
        """Until the agent ends it. Raises CannotServe."""
        hello = await self._hello(requests)
        with self._refusing(hello), self._admitted(hello) as is_newest:
            try:
                await self._converse(hello, is_newest, requests, send)
            except JournalFailed as error:
                self._telemetry.journal_failed(str(error))
                raise CannotServe(Refusal.AWAY, str(error)) from error

    async def _converse(
        self, hello: Hello, is_newest: Callable[[], bool], requests: AsyncIterator[bytes], send: Send
    ) -> None:
        acknowledged = await self._welcome(hello, send)
        stream = _Stream(self._live, self._telemetry, hello, is_newest, acknowledged)
        tasks = [
            asyncio.create_task(stream.receive(requests)),
            asyncio.create_task(stream.acknowledge(send)),
            asyncio.create_task(self._live.closing.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._live.closing.is_set():
            raise CannotServe(Refusal.AWAY, "The aggregator is stopping; connect again.")

    async def _hello(self, requests: AsyncIterator[bytes]) -> Hello:
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                payload = await anext(aiter(requests), b"")
        except TimeoutError as error:
            raise CannotServe(Refusal.WRONG, f"No hello came within {_HELLO_SECONDS:g} seconds.") from error
        request = _decoded(payload)
        if not request.HasField("hello"):
            raise CannotServe(Refusal.WRONG, "A stream begins with a hello.")
        return request.hello

    async def _welcome(self, hello: Hello, send: Send) -> int:
        known = await self._live.hello(hello, ReportRequest(hello=hello).SerializeToString())
        welcome = Welcome(
            contract_version=CONTRACT_VERSION,
            aggregator_version=VERSION,
            acknowledged_sequence=known.sequence,
            clock=stamp(time.time_ns()),
            definitions_lost=known.definitions_lost,
        )
        await send(ReportResponse(welcome=welcome))
        return known.sequence

    @contextmanager
    def _refusing(self, hello: Hello) -> Iterator[None]:
        """What is wrong with this agent is counted and told before it is sent away."""
        try:
            check_hello(hello)
            yield
        except Refused as refused:
            self._telemetry.agent_refused(hello, refused)
            raise CannotServe(_REFUSALS.get(refused.reason, Refusal.WRONG), str(refused)) from refused

    @contextmanager
    def _admitted(self, hello: Hello) -> Iterator[Callable[[], bool]]:
        """Two agents of one name would spoil each other's numbers; one that connects anew goes on. Gives a function
        that tells whether this stream is still the newest of its agent."""
        key = HostKey(hello.cluster or self._live.settings.cluster, hello.host)
        present = self._hosts.get(key)
        if present is not None and present.due > time.monotonic() and not _goes_on(hello, present):
            who = "Another agent of this machine" if present.boot_id == hello.boot_id else "Another machine"
            sentence = f"{who} reports as host {hello.host!r}; give this one another name with --host."
            raise Refused("taken", sentence)
        if len(self._hosts) >= _MOST_STREAMS and key not in self._hosts:
            raise Refused("full", f"{_MOST_STREAMS} hosts report already; start another aggregator.")
        reporter = self._hosts[key] = _Reporter(hello.boot_id, hello.epoch)
        reporter.heard(hello)
        self._telemetry.agent_connected(hello)

        def is_newest() -> bool:
            reporter.heard(hello)
            return self._hosts.get(key) is reporter

        try:
            yield is_newest
        finally:
            self._telemetry.agent_left(hello)
            if self._hosts.get(key) is reporter:
                del self._hosts[key]


def _goes_on(hello: Hello, present: _Reporter) -> bool:
    """Who goes on from another has been handed everything: what that one's stream says now is of no use any more."""
    return (present.boot_id, present.epoch) in ((hello.boot_id, hello.epoch), (hello.boot_id, hello.continues_epoch))


class _Stream:
    """Batches are taken in order; acknowledgements follow the disk, and one may stand for many."""

    def __init__(
        self, live: Live, telemetry: Telemetry, hello: Hello, is_newest: Callable[[], bool], acknowledged: int
    ) -> None:
        self._live = live
        self._is_newest = is_newest
        self._telemetry = telemetry
        self._hello = hello
        self._sequence = acknowledged
        self._position = 0
        self._came = asyncio.Event()
        self._ended = False

    async def receive(self, requests: AsyncIterator[bytes]) -> None:
        async for payload in requests:
            request = _decoded(payload)
            if not request.HasField("batch"):
                raise CannotServe(Refusal.WRONG, "After its hello, a stream has batches only.")
            if not self._is_newest():
                # What is still in its pipe was said, or will be said, on the newer one; perhaps by other numbers.
                raise CannotServe(Refusal.AWAY, "A newer stream of this agent is open; it goes on there.")
            taken = await self._live.batch(self._hello, request.batch, payload)
            if taken.refused is not None and taken.refused.reason == ASKED_AGAIN:
                self._telemetry.agent_asked_again(self._hello)
                raise CannotServe(
                    Refusal.AWAY, "Some of what this agent defined was given back; connect, and say it again."
                )
            self._telemetry.batch_taken(self._hello, request.batch, len(payload), taken)
            if taken.refused is not None and taken.refused.reason == "epoch_unknown":
                # Acknowledged it would be gone; a stream that begins anew says hello, or is told who is in its place.
                raise CannotServe(Refusal.TAKEN, f"Another agent reports as host {self._hello.host!r}; connect again.")
            self._sequence = max(self._sequence, request.batch.sequence)
            self._position = taken.position
            self._came.set()
        self._ended = True
        self._came.set()
        # What came last is acknowledged before the stream ends.
        await asyncio.Event().wait()

    async def acknowledge(self, send: Send) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            sequence, position, ended = self._sequence, self._position, self._ended
            await self._live.durable(position)
            if position:
                await send(ReportResponse(acknowledgement=Acknowledgement(sequence=sequence)))
            if ended:
                return


def _decoded(payload: bytes) -> ReportRequest:
    try:
        return decode(payload)
    except Refused as refused:
        raise CannotServe(Refusal.WRONG, str(refused)) from refused
