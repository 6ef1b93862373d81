"""Messages over a real gRPC stream: what an aggregator's core has to do for one, whatever is in it.

The client is a process of its own, so that its CPU is not counted: python -m bench.wire PORT FILE
"""

import asyncio
import pickle
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

_METHOD = "/bench.Wire/Send"
_OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]


def cpu_seconds_of_stream(payloads: Sequence[bytes], take: Callable[[bytes], object]) -> float:
    """CPU of this process while it receives them on one stream and takes each."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(list(payloads)))
        file.flush()
        return asyncio.run(_served(Path(file.name), len(payloads), take))


async def _served(file: Path, count: int, take: Callable[[bytes], object]) -> float:
    taken = 0

    async def send(requests: AsyncIterator[bytes], context: Any) -> bytes:
        nonlocal taken
        async for payload in requests:
            take(payload)
            taken += 1
        return b""

    server = grpc.aio.server(options=_OPTIONS)
    handler = grpc.stream_unary_rpc_method_handler(send)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Wire", {"Send": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.wire", str(port), str(file))
    begin = time.process_time()
    status = await client.wait()
    used = time.process_time() - begin
    await server.stop(None)
    if status or taken != count:
        raise RuntimeError(f"the client ended with {status}; {taken} of {count} messages came")
    return used


def _client(port: str, file: str) -> None:
    payloads: list[bytes] = pickle.loads(Path(file).read_bytes())  # noqa: S301 - of the process that started this one

    def each() -> Iterator[bytes]:
        yield from payloads

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.stream_unary(_METHOD)(each())


if __name__ == "__main__":
    _client(*sys.argv[1:])
