"""The aggregator's door to gRPC: reports on one port, the graph and questions about it on another.

Messages come as bytes and are parsed here, so that what cannot be read is refused with a sentence.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

# The C core writes to stderr by itself; what went wrong is logged once, here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from plumbline.v1 import insight_pb2, topology_pb2

from aggregator.outputs.reading import Reading
from aggregator.outputs.refusals import CannotServe, NotBound, Refusal
from aggregator.outputs.reporting import Reporting
from aggregator.outputs.security import NO_TOKEN, Guard
from aggregator.telemetry import Telemetry
from telemetry.log import fault

M = TypeVar("M", bound=Message)
Context = Any

STOP_SECONDS: Final = 2.0
_CODES: Final = {
    Refusal.WRONG: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Refusal.NOTHING_YET: grpc.StatusCode.FAILED_PRECONDITION,
    Refusal.VERSION: grpc.StatusCode.FAILED_PRECONDITION,
    Refusal.TAKEN: grpc.StatusCode.ALREADY_EXISTS,
    Refusal.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.AWAY: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A running server, and the port that it got."""

    server: Any
    port: int
    health: Any

    async def stop(self) -> None:
        await self.health.enter_graceful_shutdown()
        await self.server.stop(STOP_SECONDS)


async def serve_agents(
    address: str, guard: Guard, reporting: Reporting, max_bytes: int, telemetry: Telemetry
) -> Listener:
    """Raises NotBound."""
    door = _Door("--agents", guard, telemetry)
    report = grpc.stream_stream_rpc_method_handler(
        door.stream(reporting.report), None, lambda message: message.SerializeToString()
    )
    services = {"plumbline.v1.ReportService": {"Report": report}}
    return await _serve(address, "--agents", guard, max_bytes, services)


async def serve_readers(address: str, guard: Guard, reading: Reading, max_bytes: int, telemetry: Telemetry) -> Listener:
    """Raises NotBound."""
    door = _Door("--grpc", guard, telemetry)
    services = {
        "plumbline.v1.TopologyService": {
            "GetTopology": door.unary(topology_pb2.GetTopologyRequest, reading.topology),
            "WatchTopology": door.unary_stream(topology_pb2.WatchTopologyRequest, reading.watch),
        },
        "plumbline.v1.InsightService": {
            "Ask": door.unary(insight_pb2.AskRequest, reading.ask),
            "Export": door.unary(insight_pb2.ExportRequest, reading.export),
        },
    }
    return await _serve(address, "--grpc", guard, max_bytes, services)


class _Door:
    """Between gRPC's calls and ours: who may come in, what can be read, and what a failure is called."""

    def __init__(self, flag: str, guard: Guard, telemetry: Telemetry) -> None:
        self._flag = flag
        self._guard = guard
        self._telemetry = telemetry

    def unary(self, kind: type[M], answer: Callable[[M], Awaitable[Message]]) -> Any:
        async def handle(raw: bytes, context: Context) -> Any:
            return await self._guarded(context, lambda: self._answered(kind, raw, answer))

        return grpc.unary_unary_rpc_method_handler(handle, None, None)

    def unary_stream(self, kind: type[M], answers: Callable[[M], AsyncIterator[Message]]) -> Any:
        async def handle(raw: bytes, context: Context) -> None:
            async def send() -> None:
                async for message in answers(_parsed(kind, raw)):
                    await context.write(message.SerializeToString())

            await self._guarded(context, send)

        return grpc.unary_stream_rpc_method_handler(handle, None, None)

    def stream(self, converse: Callable[[AsyncIterator[bytes], Callable[[Message], Awaitable[None]]], Any]) -> Any:
        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            await self._guarded(context, lambda: converse(requests, context.write))

        return handle

    async def _answered(self, kind: type[M], raw: bytes, answer: Callable[[M], Awaitable[Message]]) -> bytes:
        return (await answer(_parsed(kind, raw))).SerializeToString()

    async def _guarded(self, context: Context, call: Callable[[], Awaitable[Any]]) -> Any:
        if not self._guard.allows(dict(context.invocation_metadata() or ()).get("authorization")):
            # ipv4:ADDRESS:PORT, ipv6:[ADDRESS]:PORT
            caller = context.peer().partition(":")[2].rpartition(":")[0]
            self._telemetry.caller_refused(self._flag, caller, NO_TOKEN)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
        try:
            return await call()
        except CannotServe as refused:
            await context.abort(_CODES[refused.refusal], str(refused))
        except (asyncio.CancelledError, grpc.aio.AbortError, grpc.RpcError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the process goes on and says so
            self._telemetry.request_failed(fault(error))
            await context.abort(grpc.StatusCode.INTERNAL, "The aggregator failed at this; its log says more.")


def _parsed(kind: type[M], raw: bytes) -> M:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise CannotServe(Refusal.WRONG, f"This is no {kind.DESCRIPTOR.name} of plumbline.v1.") from error


async def _serve(
    address: str, flag: str, guard: Guard, max_bytes: int, services: dict[str, dict[str, Any]]
) -> Listener:
    server = grpc.aio.server(options=_options(max_bytes))
    for name, methods in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", *services):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return Listener(server, await _bind(server, address, flag, guard), servicer)


async def _bind(server: Any, address: str, flag: str, guard: Guard) -> int:
    try:
        port = server.add_secure_port(address, _credentials(guard)) if guard.tls else server.add_insecure_port(address)
    except RuntimeError as error:
        raise NotBound(address, flag, "another program listens there, or it is no address of this machine") from error
    await server.start()
    return int(port)


def _options(max_bytes: int) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 16 * 1024),
        # A peer that has silently gone is noticed in a minute and a half; agents may ping without data.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 0),
    )


def _credentials(guard: Guard) -> Any:
    def configuration() -> Any:
        tls = guard.tls
        assert tls
        return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.authority)

    def newer() -> Any:
        return configuration() if guard.tls_changed() else None

    wants_certificate = bool(guard.tls and guard.tls.authority)
    return grpc.dynamic_ssl_server_credentials(configuration(), newer, require_client_authentication=wants_certificate)
