"""The stream to the aggregator: hello and welcome, batches out, acknowledgements back, and again after it broke.

The agent's only door to gRPC. What is sent and kept is the outbox's matter.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

# The C core writes connection failures to stderr by itself; they are logged once, here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from plumbline.v1.columns import CONTRACT_VERSION
from plumbline.v1.flow_pb2 import Batch, Hello, ReportRequest, Welcome
from plumbline.v1.flow_pb2_grpc import ReportServiceStub

from agent import clock
from agent.outbox import Note, Outbox
from agent.packing import timestamp
from agent.reachability import Reachability
from agent.settings import VERSION, Settings

_WELCOME_SECONDS = 10.0
_ACKNOWLEDGEMENT_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
# What the library says when a write met the end of the stream before it had read why.
_UNCLEAR, _MOST_UNCLEAR = "Internal error from Core", 3
_CHANNEL_OPTIONS = (
    # Each attempt is a channel of its own; a shared one would sit out the library's own pauses.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED: "name the file with the aggregator's token with --token-file",
    grpc.StatusCode.PERMISSION_DENIED: "use a token or certificate that may report",
    grpc.StatusCode.FAILED_PRECONDITION: "use an agent and an aggregator of neighbouring versions",
    grpc.StatusCode.INVALID_ARGUMENT: "use an agent and an aggregator of neighbouring versions",
    grpc.StatusCode.ALREADY_EXISTS: "give each agent a name of its own with --host, or end the other one",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "name another aggregator with --aggregator: this one is full",
    grpc.StatusCode.UNIMPLEMENTED: "name the aggregator's port for agents (7170) with --aggregator",
}


class Unreachable(Exception):
    """The stream is broken or was never there. `refused`: the aggregator is there and does not want us."""

    def __init__(self, reason: str, remedy: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who reports, for as long as this agent lives."""

    boot_id: str
    epoch: int
    # Everything that batches refer to, by field of a batch: for an aggregator that lost its memory.
    restate: Callable[[], Mapping[str, Iterable[Note]]]
    # The epoch that this one goes on from without a gap, or why there is one.
    continues_epoch: int = 0
    gap_reason: str = ""


class Reporter:
    """Delivers an outbox for ever."""

    def __init__(self, settings: Settings, who: Introduction, outbox: Outbox, reachability: Reachability) -> None:
        self._settings = settings
        self.who = who
        self._outbox = outbox
        self._reachability = reachability
        self._changed = asyncio.Event()
        self._delivered = asyncio.Event()
        self._hurry = asyncio.Event()
        self._acknowledged_at = 0.0

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._changed.set()

    def go_on_from(self, epoch: int, gap_reason: str) -> None:
        """Before `run`: which epoch ours continues, or why there is a gap."""
        self.who = replace(self.who, continues_epoch=epoch, gap_reason=gap_reason)

    async def flush(self, timeout_seconds: float | None) -> None:
        """Returns when all is acknowledged, or after so long. Does not wait for the next attempt to connect."""
        self._hurry.set()
        outbox, connected = self._outbox, self._reachability.connected
        if connected:
            outbox.press()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not (outbox.delivered if connected else outbox.empty):
                    self._delivered.clear()
                    self._changed.set()
                    await self._delivered.wait()

    async def run(self) -> None:
        pause_seconds, unclear = _FIRST_PAUSE_SECONDS, 0
        while True:
            before = self._outbox.acknowledged
            try:
                await self._one_stream()
            except Unreachable as why:
                unclear = unclear + 1 if why.reason == _UNCLEAR else 0
                # The next attempt tells better; if it does not, there is nothing better to tell.
                if 0 < unclear < _MOST_UNCLEAR:
                    self._reachability.broken()
                else:
                    self._reachability.away(why.reason, why.remedy, why.refused)
            if self._outbox.acknowledged > before:
                pause_seconds = _FIRST_PAUSE_SECONDS
            await self._pause(pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 (spreads agents, hides nothing)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        # Not wait_for: before Python 3.12 it forgets that it was cancelled when the event is set meanwhile.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
                # Once more at once; after that not faster than usual.
                self._hurry.clear()

    async def _one_stream(self) -> None:
        """Raises Unreachable; there is no other end."""
        async with self._channel() as channel:
            call = ReportServiceStub(channel).Report(metadata=self._metadata())
            try:
                await self._greet(call)
                await self._converse(call)
            except grpc.aio.AioRpcError as error:
                raise _unreachable(error.code(), error.details()) from error
            except asyncio.InvalidStateError as error:
                # Written to a call that has just ended: its status says why.
                raise await _ended(call) from error
            finally:
                call.cancel()

    async def _converse(self, call: Any) -> None:
        tasks = [asyncio.create_task(one) for one in (self._receive(call), self._watch(), self._send(call))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self, call: Any) -> None:
        hello = Hello(
            contract_version=CONTRACT_VERSION,
            oldest_contract_version=CONTRACT_VERSION,
            agent_version=VERSION,
            host=self._settings.host,
            cluster=self._settings.cluster,
            boot_id=self.who.boot_id,
            epoch=self.who.epoch,
            clock=timestamp(clock.now_ns()),
            interval=Duration(nanos=0),
            continues_epoch=self.who.continues_epoch,
            gap_reason=self.who.gap_reason,
        )
        hello.interval.FromNanoseconds(int(self._settings.interval_seconds * 1e9))
        try:
            async with asyncio.timeout(_WELCOME_SECONDS):
                await call.write(ReportRequest(hello=hello))
                response = await call.read()
        except TimeoutError:
            raise Unreachable("it accepts connections and does not answer", "look at the aggregator's log") from None
        if response is grpc.aio.EOF or response.WhichOneof("message") != "welcome":
            raise await _ended(call)
        self._welcome(response.welcome)

    def _welcome(self, welcome: Welcome) -> None:
        if welcome.contract_version != CONTRACT_VERSION:
            raise Unreachable(
                f"it speaks version {welcome.contract_version} of the contract, and this agent {CONTRACT_VERSION}",
                _REFUSALS[grpc.StatusCode.FAILED_PRECONDITION],
                refused=True,
            )
        remembered, acknowledged = welcome.acknowledged_sequence, self._outbox.acknowledged
        is_remembered = self._outbox.resume(remembered)
        if welcome.definitions_lost or not is_remembered:
            self._outbox.restate(remembered, self.who.restate(), clock.now_ns())
        if not is_remembered:
            self._reachability.forgot(acknowledged, remembered)
        offset_seconds = welcome.clock.ToNanoseconds() / 1e9 - time.time()
        self._reachability.welcome(
            welcome.aggregator_version,
            welcome.contract_version,
            offset_seconds,
            self._outbox.unacknowledged,
            self._outbox.waiting.rows,
        )
        self._acknowledged_at = time.monotonic()

    async def _send(self, call: Any) -> None:
        for unacknowledged in self._outbox.in_flight:
            await self._write(call, unacknowledged)
        while True:
            self._changed.clear()
            while (batch := self._outbox.cut(clock.now_ns())) is not None:
                if self._outbox.unacknowledged == 1:
                    self._acknowledged_at = time.monotonic()
                await self._write(call, batch)
            await self._changed.wait()

    async def _write(self, call: Any, batch: Batch) -> None:
        batch.sent.CopyFrom(timestamp(clock.now_ns()))
        await call.write(ReportRequest(batch=batch))

    async def _receive(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            if response.WhichOneof("message") == "acknowledgement":
                self._outbox.acknowledge(response.acknowledgement.sequence)
                self._acknowledged_at = time.monotonic()
                self._changed.set()
                self._delivered.set()
        raise await _ended(call)

    async def _watch(self) -> None:
        """A connection may live while nobody works at its other end."""
        while True:
            await asyncio.sleep(_ACKNOWLEDGEMENT_SECONDS / 10)
            silent_seconds = time.monotonic() - self._acknowledged_at
            if self._outbox.unacknowledged and silent_seconds > _ACKNOWLEDGEMENT_SECONDS:
                raise Unreachable(
                    f"it has acknowledged nothing for {_ACKNOWLEDGEMENT_SECONDS:g} s", "look at the aggregator's log"
                )

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._settings.token_file is None:
            return ()
        token = _read(self._settings.token_file, "--token-file").decode("ascii", "replace").strip()
        return (("authorization", f"Bearer {token}"),)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[grpc.aio.Channel]:
        settings = self._settings
        if settings.tls_ca is None:
            channel = grpc.aio.insecure_channel(settings.aggregator, options=_CHANNEL_OPTIONS)
        else:
            # Read at each attempt: certificates are renewed while we run.
            credentials = grpc.ssl_channel_credentials(
                _read(settings.tls_ca, "--tls-ca"),
                _read(settings.tls_key, "--tls-key") if settings.tls_key else None,
                _read(settings.tls_cert, "--tls-cert") if settings.tls_cert else None,
            )
            channel = grpc.aio.secure_channel(settings.aggregator, credentials, options=_CHANNEL_OPTIONS)
        try:
            yield channel
        finally:
            await channel.close()


def _read(path: Any, flag: str) -> bytes:
    try:
        raw: bytes = path.read_bytes()
    except OSError as error:
        raise Unreachable(f"{path} cannot be read ({error.strerror})", f"see {flag}") from error
    return raw


async def _ended(call: Any) -> Unreachable:
    code, details = await call.code(), await call.details()
    if code == grpc.StatusCode.OK:
        return Unreachable("it closed the stream", "look at the aggregator's log")
    return _unreachable(code, details)


def _unreachable(code: grpc.StatusCode, details: str | None) -> Unreachable:
    reason = (details or code.name).rpartition("error: ")[2].strip().removeprefix("UNKNOWN: ")[:300]
    if code in _REFUSALS:
        return Unreachable(reason, _REFUSALS[code], refused=True)
    if "handshake" in reason.lower() or "certificate" in reason.lower() or "ssl" in reason.lower():
        return Unreachable(reason, "see --tls-ca, --tls-cert and --tls-key", refused=True)
    return Unreachable(reason, "start it, or name it with --aggregator HOST:PORT")
