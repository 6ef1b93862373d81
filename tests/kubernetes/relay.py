"""What stands between a client and the API server and does it harm: on the wire, or to what the server says.

Both run in the event loop of whoever uses them, where the API server answers, and count what they were asked.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.kubernetes.lab import network

SERVER = f"https://{network.CONTROL}:6443"
_CHUNK_BYTES = 65536


def kubeconfig(given: str, path: Path, server: str) -> str:
    """The same account at another address."""
    path.write_text(Path(given).read_text().replace(SERVER, server))
    return str(path)


class Wire:
    """Passes bytes on. `delay_seconds`: each piece waits so long in each direction; `open` cleared: nothing passes, and
    nobody is told; `cut`: all connections end."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(network.CONTROL, 6443)
            self._writers.add(far_writer)
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
            self._writers.discard(far_writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._writers.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(_CHUNK_BYTES):
                await asyncio.sleep(self.delay_seconds)
                await self.open.wait()
                writer.write(piece)
                await writer.drain()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def wire(given: str, folder: Path) -> AsyncIterator[tuple[Wire, str]]:
    """And a kubeconfig that leads through it."""
    one = Wire()
    server = await asyncio.start_server(one.serve, network.CONTROL, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield one, kubeconfig(given, folder / "wire.conf", f"https://{network.CONTROL}:{port}")
    finally:
        server.close()
        one.open.set()
        one.cut()
        await asyncio.sleep(0.1)


class Liar:
    """Asks the real server, and tells what `lie` makes of its answer: of a whole list, or of each event of a watch.

    `lie` gets the path and the object; bytes that it gives back are the last that is said before the connection ends,
    a status is answered instead of everything else.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.lie: Callable[[str, Any], Any] = _truth
        self.status = 0
        self.asked: Counter[str] = Counter()
        self._session = session
        self._open: set[asyncio.Transport] = set()

    def cut(self) -> None:
        """All watches end."""
        for transport in self._open:
            transport.abort()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_watch = "watch" in request.query
        self.asked["watch" if is_watch else "list" if "limit" in request.query else "kinds"] += 1
        if self.status:
            return web.json_response({"kind": "Status", "message": "a lie"}, status=self.status)
        headers = {name: request.headers[name] for name in ("Accept", "User-Agent")}
        async with self._session.get(f"{SERVER}{request.raw_path}", headers=headers) as real:
            if real.status != 200:
                return web.Response(status=real.status, body=await real.read())
            response = web.StreamResponse()
            await response.prepare(request)
            transport = request.transport
            if is_watch and transport is not None:
                self._open.add(transport)
                while line := await real.content.readline(max_line_length=1 << 24):
                    await self._tell(request, response, json.loads(line))
                self._open.discard(transport)
            else:
                await self._tell(request, response, await real.json(content_type=None))
            return response

    async def _tell(self, request: web.Request, response: web.StreamResponse, true: Any) -> None:
        said = self.lie(request.path, true)
        is_half = isinstance(said, bytes)
        await response.write(said if is_half else json.dumps(said).encode() + b"\n")
        if is_half and request.transport is not None:
            await asyncio.sleep(0.05)
            request.transport.abort()


@asynccontextmanager
async def liar(given: str, keys: Path, folder: Path) -> AsyncIterator[tuple[Liar, str]]:
    """And a kubeconfig that leads to it; whoever asks it is the administrator of `keys`."""
    trust = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    trust.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0)) as session:
        one = Liar(session)
        app = web.Application()
        app.router.add_get("/{path:.*}", one.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, network.CONTROL, 0).start()
        try:
            yield one, kubeconfig(given, folder / "liar.conf", f"http://{network.CONTROL}:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


def _truth(_path: str, answer: Any) -> Any:
    return answer
