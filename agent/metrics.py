"""Metrics and health over HTTP, for who looks after the agent. Serves what the telemetry says; says nothing itself."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from agent.settings import split_address
from agent.telemetry import Telemetry


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
