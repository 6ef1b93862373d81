"""The aggregator's HTTP listener: its metrics and health, and the forms of the graph that other tools fetch."""

import asyncio
import contextlib
import errno
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aggregator.outputs.reading import Reading
from aggregator.outputs.refusals import CannotServe, NotBound, Refusal
from aggregator.outputs.registry import HTTP_ROUTES
from aggregator.outputs.security import NO_TOKEN, Guard, Unusable, renew, server_context
from aggregator.settings import ListenerSecurity, split_address
from aggregator.telemetry import Telemetry
from telemetry.log import fault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Final = {
    Refusal.WRONG: 400,
    Refusal.UNKNOWN: 404,
    Refusal.NOTHING_YET: 503,
    Refusal.VERSION: 400,
    Refusal.TAKEN: 409,
    Refusal.FULL: 429,
    Refusal.AWAY: 503,
}
# Who asks whether the daemon lives has no token.
_OPEN_PATHS: Final = ("/livez", "/readyz")
_STOP_SECONDS: Final = 2.0
_TLS_SECONDS: Final = 5.0


@dataclass(slots=True)
class HttpListener:
    """A running server, and the port that it got."""

    runner: web.AppRunner
    port: int
    following: asyncio.Task[None] | None

    async def stop(self) -> None:
        if self.following is not None:
            self.following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.following
        await self.runner.cleanup()


async def serve_http(
    address: str, guard: Guard, security: ListenerSecurity, telemetry: Telemetry, reading: Callable[[], Reading | None]
) -> HttpListener:
    """`reading` gives None until there is something to read. Raises NotBound or Unusable."""
    application = web.Application(middlewares=[_guarded(guard, telemetry)])
    application.add_routes([*_own_routes(telemetry), *_export_routes(reading)])
    context = server_context(security) if guard.tls else None
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_counting_logger(telemetry),
        shutdown_timeout=_STOP_SECONDS,
        keepalive_timeout=30.0,
    )
    await runner.setup()
    host, port = split_address(address, "--http")
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
    except OSError as error:
        await runner.cleanup()
        reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise NotBound(address, "--http", reason) from error
    following = asyncio.create_task(_follow(guard, security, context, telemetry)) if context else None
    return HttpListener(runner, runner.addresses[0][1], following)


def _counting_logger(telemetry: Telemetry) -> logging.Logger:
    """What comes as no HTTP is no event for an operator: it is counted."""

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            telemetry.malformed("http")

    logger = logging.Logger("http")
    logger.addHandler(Counting())
    return logger


def _own_routes(telemetry: Telemetry) -> list[web.RouteDef]:
    registry = CollectorRegistry()
    registry.register(telemetry)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(_: web.Request) -> web.Response:
        return _health(telemetry.alive)

    async def readyz(_: web.Request) -> web.Response:
        return _health(telemetry.ready)

    return [web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)]


def _health(good: bool) -> web.Response:
    return web.Response(status=200 if good else 503, text="ok\n" if good else "not yet\n")


def _export_routes(reading: Callable[[], Reading | None]) -> list[web.RouteDef]:
    return [web.get(path, _export(form, reading)) for path, form in HTTP_ROUTES.items()]


def _export(form: str, reading: Callable[[], Reading | None]) -> Handler:
    async def export(request: web.Request) -> web.Response:
        reader = reading()
        if reader is None:
            raise CannotServe(Refusal.AWAY, "The aggregator is reading its journal; ask again in a moment.")
        rendered = await reader.rendered(form)
        headers = {"ETag": f'"{rendered.etag}"', "Cache-Control": "no-cache", "Content-Type": rendered.media_type}
        known = {one.value for one in request.if_none_match or ()}
        if known & {rendered.etag, "*"}:
            return web.Response(status=304, headers=headers)
        if known and rendered.replaces is not None and not known & rendered.replaces:
            # What the caller has is of a life before this one, which may have known more. Its own tag stays good.
            return web.Response(status=304, headers={**headers, "ETag": f'"{min(known)}"'})
        return web.Response(body=rendered.content, headers=headers)

    return export


def _guarded(guard: Guard, telemetry: Telemetry) -> Any:
    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS and not guard.allows(request.headers.get("Authorization")):
            telemetry.caller_refused("--http", request.remote or "", NO_TOKEN)
            return web.Response(status=401, text=f"{NO_TOKEN}\n", headers={"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except CannotServe as refused:
            return web.Response(status=_STATUSES[refused.refusal], text=f"{refused}\n")
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the process goes on and says so
            telemetry.request_failed(fault(error))
            return web.Response(status=500, text="The aggregator failed at this; its log says more.\n")

    return handle


async def _follow(guard: Guard, security: ListenerSecurity, context: ssl.SSLContext, telemetry: Telemetry) -> None:
    """Certificates that changed hold for the next connection."""
    while True:
        await asyncio.sleep(_TLS_SECONDS)
        try:
            if guard.tls_changed():
                renew(context, security)
        except Unusable as trouble:
            telemetry.certificate_unreadable(str(trouble))
