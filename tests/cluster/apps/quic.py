"""A server and clients of QUIC, by aioquic.

    quic.py server DIRECTORY ADDRESS...  answers to any name, port 443; TCP port 4433 tells that it is ready
    quic.py client JOB...                a job: NAME,ADDRESS,PORT,BYTES; odd numbers of bytes follow a long hello

A client sends so many bytes to each server, one after the other, has as many back, and says as JSON what went over its
socket: [[NAME, bytes sent, bytes received], ...].
"""

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived

LONG_WORDS = [f"{at:03}".ljust(100, "x") for at in range(9)]  # a hello of two datagrams


class Echo(QuicConnectionProtocol):
    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, event.end_stream)
            self.transmit()


class Counting(QuicConnectionProtocol):
    """Counts what its socket sends and receives."""

    def connection_made(self, transport: Any) -> None:
        self.sent = self.received = 0
        send = transport.sendto

        def counted(data: bytes, address: Any = None) -> None:
            self.sent += len(data)
            send(data, address)

        transport.sendto = counted
        super().connection_made(transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.received += len(data)
        super().datagram_received(data, address)


async def serve_all(directory: Path, addresses: list[str]) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    for address in addresses:
        await serve(address, 443, configuration=configuration, create_protocol=Echo)
    async with await asyncio.start_server(lambda *_: None, "0.0.0.0", 4433):
        await asyncio.Event().wait()


async def call(name: str, address: str, port: int, size: int) -> list[Any]:
    words = LONG_WORDS if size % 2 else []
    configuration = QuicConfiguration(
        is_client=True, server_name=name, verify_mode=ssl.CERT_NONE, alpn_protocols=["h3", *words]
    )
    async with connect(address, port, configuration=configuration, create_protocol=Counting) as client:
        reader, writer = await client.create_stream()
        writer.write(bytes(size))
        writer.write_eof()
        assert len(await reader.read()) == size
    await client.wait_closed()
    return [name, client.sent, client.received]


async def call_all(jobs: list[str]) -> list[list[Any]]:
    rows = [job.split(",") for job in jobs]
    return [await call(name, address, int(port), int(size)) for name, address, port, size in rows]


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve_all(Path(sys.argv[2]), sys.argv[3:]))
    sys.stdout.write(json.dumps(asyncio.run(call_all(sys.argv[2:]))) + "\n")
