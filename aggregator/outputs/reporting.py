"""One agent's stream: hello and welcome, then batches in and acknowledgements out. Knows no transport."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
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
from aggregator.telemetry import Telemetry
from aggregator.topology.graph import stamp

Send: TypeAlias = Callable[[Message], Awaitable[None]]

_HELLO_SECONDS: Final = 30.0
_MOST_STREAMS: Final = 10_000
_REFUSALS: Final = {
    "version": Refusal.VERSION,
    "taken": Refusal.TAKEN,
    "full": Refusal.FULL,
    "hosts_full": Refusal.FULL,
}


class Reporting:
    """All streams of agents."""

    def __init__(self, live: Live, telemetry: Telemetry) -> None:
        self._live = live
        self._telemetry = telemetry
        # Who reports for a host now: its boot, its agent's epoch, and which of its streams is the newest.
        self._hosts: dict[HostKey, tuple[str, int, object]] = {}

    async def report(self, requests: AsyncIterator[bytes], send: Send) -> None:
        """Until the agent ends it. Raises CannotServe."""
        hello = await self._hello(requests)
        with self._refusing(hello), self._admitted(hello):
            try:
                await self._converse(hello, requests, send)
            except JournalFailed as error:
                self._telemetry.journal_failed(str(error))
                raise CannotServe(Refusal.AWAY, str(error)) from error

    async def _converse(self, hello: Hello, requests: AsyncIterator[bytes], send: Send) -> None:
        acknowledged = await self._welcome(hello, send)
        stream = _Stream(self._live, self._telemetry, hello, acknowledged)
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
        acknowledged = await self._live.hello(hello, ReportRequest(hello=hello).SerializeToString())
        welcome = Welcome(
            contract_version=CONTRACT_VERSION,
            aggregator_version=VERSION,
            acknowledged_sequence=acknowledged,
            clock=stamp(time.time_ns()),
        )
        await send(ReportResponse(welcome=welcome))
        return acknowledged

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
    def _admitted(self, hello: Hello) -> Iterator[None]:
        """Two agents of one name would spoil each other's numbers; one that connects anew goes on."""
        key, stream = HostKey(hello.cluster or self._live.settings.cluster, hello.host), object()
        boot_id, epoch, _ = self._hosts.get(key, (hello.boot_id, hello.epoch, None))
        if (boot_id, epoch) != (hello.boot_id, hello.epoch):
            who = "Another agent of this machine" if boot_id == hello.boot_id else "Another machine"
            sentence = f"{who} reports as host {hello.host!r}; give this one another name with --host."
            raise Refused("taken", sentence)
        if len(self._hosts) >= _MOST_STREAMS and key not in self._hosts:
            raise Refused("full", f"{_MOST_STREAMS} hosts report already; start another aggregator.")
        self._hosts[key] = (hello.boot_id, hello.epoch, stream)
        self._telemetry.agent_connected(hello)
        try:
            yield
        finally:
            self._telemetry.agent_left(hello)
            if self._hosts.get(key, ("", 0, None))[2] is stream:
                del self._hosts[key]


class _Stream:
    """Batches are taken in order; acknowledgements follow the disk, and one may stand for many."""

    def __init__(self, live: Live, telemetry: Telemetry, hello: Hello, acknowledged: int) -> None:
        self._live = live
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
            taken = await self._live.batch(self._hello, request.batch, payload)
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
