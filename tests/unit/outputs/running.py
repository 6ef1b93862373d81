"""A whole aggregator in this process on free ports of loopback, and clients of its three listeners."""

import asyncio
import io
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
from plumbline.v1 import insight_pb2_grpc, topology_pb2_grpc
from plumbline.v1.flow_pb2 import Batch, Hello, ReportRequest, ReportResponse

from aggregator.pipeline import Aggregator
from aggregator.settings import Settings
from telemetry.log import Form, Log
from tests.unit.aggregator.agents import Agent, World

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Running:
    """One start. Times out rather than waits for ever."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.text = io.StringIO()
        self.stop = asyncio.Event()
        log = Log("test", self.text, Form.JSON)
        self.task = asyncio.create_task(Aggregator(settings, log, self.stop).run())
        self._channels: list[Any] = []

    async def ready(self) -> None:
        await until(lambda: self.task.done() or self.events("aggregator_ready"))
        if self.task.done():
            self.task.result()

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def port(self, listener: str) -> int:
        return int(self.events("aggregator_ready")[0][f"{listener}_port"])

    def channel(self, listener: str, credentials: Any = None) -> Any:
        address = f"127.0.0.1:{self.port(listener)}"
        opened = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
        self._channels.append(opened)
        return opened

    @property
    def topology(self) -> Any:
        return topology_pb2_grpc.TopologyServiceStub(self.channel("grpc"))

    @property
    def insight(self) -> Any:
        return insight_pb2_grpc.InsightServiceStub(self.channel("grpc"))

    async def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        """(status, headers, body) of an HTTP request."""
        url = f"http://127.0.0.1:{self.port('http')}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def metrics(self) -> Counter[str]:
        """By name with labels, without the prefix that all have."""
        _, _, body = await self.get("/metrics")
        lines = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]
        return Counter({name.removeprefix("plumbline_aggregator_"): float(value) for name, _, value in lines})

    async def end(self) -> None:
        self.stop.set()
        await self.task
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def running(data: Path, **settings: Any) -> AsyncIterator[Running]:
    free = dict.fromkeys(("agents", "grpc", "http"), "127.0.0.1:0")
    started = Running(Settings(data=data, **free | {"snapshot_interval_seconds": 0.01} | settings))
    await started.ready()
    try:
        yield started
    finally:
        await started.end()


class Stream:
    """An agent's end of the report stream, in bytes as they go over the wire."""

    def __init__(self, channel: Any, *metadata: tuple[str, str]) -> None:
        self.call = channel.stream_stream("/plumbline.v1.ReportService/Report")(metadata=metadata)

    async def say(self, raw: bytes) -> None:
        await self.call.write(raw)

    async def hear(self) -> ReportResponse:
        async with asyncio.timeout(10):
            raw = await self.call.read()
        assert raw is not grpc.aio.EOF, "the stream has ended"
        return ReportResponse.FromString(raw)

    async def greet(self, hello: Hello) -> int:
        await self.say(ReportRequest(hello=hello).SerializeToString())
        return (await self.hear()).welcome.acknowledged_sequence

    async def bring(self, batch: Batch) -> int:
        """The sequence that is acknowledged next."""
        await self.say(ReportRequest(batch=batch).SerializeToString())
        return (await self.hear()).acknowledgement.sequence

    async def refusal(self) -> tuple[Any, str]:
        """(status, sentence) by which the stream ends, after what else it says."""
        async with asyncio.timeout(10):
            with suppress(grpc.aio.AioRpcError):
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            return await self.call.code(), await self.call.details()


def agent(host: str = "alpha") -> Agent:
    """One that calls a third party, and begins at this moment."""
    one = World().agent(host, "10.0.0.1")
    one.told(one.unit("web"), "api.pay.test", "192.0.2.7")
    return one


def batch_now(one: Agent, requests: int = 1) -> Batch:
    """It made so many requests in second 0, which is now by the clock of its hello."""
    one.calls(one.unit("web"), "192.0.2.7", 443, requests)
    return one.batch(0, 1)


def run(test: Callable[[], Awaitable[None]], seconds: float = 30.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await test()

    asyncio.run(bounded())


async def until(holds: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A new self-signed certificate for 127.0.0.1, and its key."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj".split()
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt)]
    subprocess.run([*new, f"/CN={name}", *names], check=True, capture_output=True)
    return crt, key
