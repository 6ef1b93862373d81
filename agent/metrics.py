"""Metrics and health over HTTP, for who looks after the agent. Serves what the telemetry says; says nothing itself."""

import asyncio
import errno
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from agent.settings import split_address
from agent.telemetry import Telemetry
from telemetry.log import Log

_PATIENT_TRIES, _PAUSE_SECONDS, _LONG_PAUSE_SECONDS = 50, 0.2, 2.0


class Metrics:
    """Where they are asked for. After a hand-over the address may be the old agent's for a moment more."""

    def __init__(self, telemetry: Telemetry, address: str | None, log: Log) -> None:
        self._telemetry = telemetry
        self._address = address
        self._log = log
        self._waits = False

    def serve(self, waits: bool) -> bool:
        """False where the address cannot be had, which is told. `waits`: somebody who has it will leave it."""
        if self._address is None:
            return True
        try:
            serve(self._telemetry, self._address)
        except OSError as error:
            self._waits = waits and error.errno == errno.EADDRINUSE
            if not self._waits:
                self._refused(error.strerror or str(error))
            return self._waits
        self._waits = False
        self._log.write("metrics_served", address=self._address)
        return True

    async def serve_at_last(self) -> None:
        """Told once if the other one keeps it for long; it is tried until it can be had."""
        tries = 0
        while self._waits:
            tries += 1
            if tries == _PATIENT_TRIES:
                self._refused(os.strerror(errno.EADDRINUSE))
            await asyncio.sleep(_PAUSE_SECONDS if tries < _PATIENT_TRIES else _LONG_PAUSE_SECONDS)
            self.serve(waits=True)

    def _refused(self, reason: str) -> None:
        self._log.write("metrics_refused", address=self._address, reason=reason, remedy="choose another --metrics")


def serve(telemetry: Telemetry, address: str) -> ThreadingHTTPServer:
    """Serves /metrics, /livez and /readyz until `shutdown`. Raises OSError when the address is taken."""
    server = _Server(split_address(address, "--metrics"), telemetry)
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.registry = CollectorRegistry()
        self.registry.register(telemetry)
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event, and a traceback of it would be noise in the log."""
        if isinstance(sys.exception(), OSError):
            self.telemetry.clients_gone += 1
        else:
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server: _Server

    def do_GET(self) -> None:
        telemetry = self.server.telemetry
        if self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif self.path in ("/livez", "/readyz"):
            good = telemetry.alive if self.path == "/livez" else telemetry.alive and telemetry.ready
            self._answer(200 if good else 503, "text/plain", b"ok\n" if good else b"not yet\n")
        else:
            self._answer(404, "text/plain", b"there are /metrics, /livez and /readyz\n")

    def log_message(self, *_: object) -> None:
        """Requests for metrics are no events."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
