"""The whole agent on the real kernel, its stream cut and its aggregator away: every request arrives once."""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from plumbline.v1.columns import unpack_flows, unpack_requests
from plumbline.v1.flow_pb2 import PROTOCOL_HTTP, ROLE_CLIENT, ROLE_SERVER

from agent import pipeline
from agent.settings import Settings
from tests.kernel.wire import own_cgroup
from tests.unit.agent.aggregators import FakeDisk, Reports, serve, until

pytestmark = pytest.mark.kernel
PORT, CLIENTS, REQUESTS = 18791, 3, 30_000
UNIT = "system.slice/shop.service"
SERVER = (
    "import asyncio\n"
    "async def answer(reader, writer):\n"
    "    try:\n"
    "        while await reader.readuntil(b'\\r\\n\\r\\n'):\n"
    "            writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n"
    "    except asyncio.IncompleteReadError:\n"
    "        writer.close()\n"
    "async def main():\n"
    f"    server = await asyncio.start_server(answer, '127.0.0.1', {PORT})\n"
    "    print('ready', flush=True)\n"
    "    await server.serve_forever()\n"
    "asyncio.run(main())\n"
)
CLIENT = (
    "import socket\n"
    f"connection = socket.create_connection(('127.0.0.1', {PORT}))\n"
    f"for one in range({REQUESTS}):\n"
    "    connection.sendall(b'GET /users/%d HTTP/1.1\\r\\nHost: shop.example\\r\\n\\r\\n' % one)\n"
    "    while b'ok' not in connection.recv(4096): pass\n"
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A cgroup without this process; programs are started into it."""
    with own_cgroup() as mine:
        inside = mine / "watched"
        inside.mkdir()
        yield inside
        for directory in (inside / UNIT, inside / "system.slice", inside):
            if directory.is_dir():
                directory.rmdir()


def start(cgroup: Path, code: str) -> "subprocess.Popen[str]":
    cgroup.mkdir(parents=True, exist_ok=True)
    shell = f'echo $$ > {cgroup}/cgroup.procs && exec "$@"'
    return subprocess.Popen(
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )


def test_an_outage_and_cut_streams_lose_and_double_nothing(root: Path) -> None:
    async def test(cleanup: ExitStack) -> FakeDisk:
        disk = FakeDisk()
        reports = Reports(disk)
        server, address = await serve(reports)
        shop = start(root / UNIT, SERVER)
        cleanup.callback(end, shop)
        assert shop.stdout is not None
        await asyncio.to_thread(shop.stdout.readline)
        stop = asyncio.Event()
        settings = Settings(host="alpha", cgroup_root=root, aggregator=address, interval_seconds=0.2)
        agent = asyncio.create_task(pipeline.run(settings, stop))
        await until(lambda: disk.batches, 30)
        clients = [start(root, CLIENT) for _ in range(CLIENTS)]
        for client in clients:
            cleanup.callback(end, client)
        await until(lambda: disk.requests > 1000)
        reports.cut_after = 2
        await asyncio.sleep(1)
        await server.stop(None)
        for client in clients:
            assert await asyncio.to_thread(client.wait, 60) == 0
        reports.cut_after = None
        server, _ = await serve(reports, address)
        stop.set()
        assert await agent == 0
        await server.stop(None)
        return disk

    with ExitStack() as cleanup:
        disk = asyncio.run(test(cleanup))
    assert requests(disk) == Counter(
        {
            (ROLE_CLIENT, "python", "/users/*"): CLIENTS * REQUESTS,
            (ROLE_SERVER, "shop.service", "/users/*"): CLIENTS * REQUESTS,
        }
    )
    assert connections(disk) == Counter({(ROLE_CLIENT, "python"): CLIENTS, (ROLE_SERVER, "shop.service"): CLIENTS})
    assert not disk.lost


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def called(disk: FakeDisk, flow: int) -> tuple[int, str]:
    endpoint = disk.endpoints[disk.flows[flow].endpoint]
    return disk.flows[flow].role, endpoint.unit or endpoint.command


def requests(disk: FakeDisk) -> Counter[Any]:
    counted: Counter[Any] = Counter()
    for batch in disk.batches:
        rows = unpack_requests(batch.requests)
        for flow, protocol, name, count in zip(
            *(rows[column].tolist() for column in ("flow", "protocol", "name", "count")), strict=True
        ):
            if protocol == PROTOCOL_HTTP:
                counted[(*called(disk, flow), disk.names[name].text)] += count
    return counted


def connections(disk: FakeDisk) -> Counter[Any]:
    counted: Counter[Any] = Counter()
    for batch in disk.batches:
        rows = unpack_flows(batch.flows)
        for flow, opened in zip(rows["flow"].tolist(), rows["connections"].tolist(), strict=True):
            counted[called(disk, flow)] += opened
    return counted
