"""What no agent sends, at the agents' door: refused with a word, in bounded memory, and honest agents go on."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from plumbline.v1.flow_pb2 import Batch, Hello, ReportRequest

from tests.unit.outputs.running import Stream, agent, batch_now
from tests.unit.outputs.test_fleet import aggregator, connections, free_ports, peak_megabytes

# What --agents takes at most in one message.
CAP_MEGABYTES = 16
HUGE = bytes(64 << 20)


def nested(depth: int) -> bytes:
    """Groups within groups, of a field that nobody knows."""
    begin, end = b"\xa3\x3e", b"\xa4\x3e"
    return begin * depth + end * depth


def hello_of_bad_text() -> bytes:
    said = agent("liar").hello(0)
    return ReportRequest(hello=said).SerializeToString().replace(b"liar", b"\xff\xfe\xfd\xfc")


def spoiled(spoil: Callable[[Batch], None]) -> bytes:
    one = agent("liar")
    batch = batch_now(one, 3)
    spoil(batch)
    return ReportRequest(batch=batch).SerializeToString()


def negative(batch: Batch) -> None:
    batch.requests.count = (2**64 - 5).to_bytes(8, "little")


def of_tomorrow(batch: Batch) -> None:
    batch.buckets[0].to.seconds = 1 << 40


def of_no_time(batch: Batch) -> None:
    batch.sent.nanos = -5


# (whether a hello comes before it, what is said, how the stream ends; None: it is acknowledged, and counts nowhere)
JUNK: dict[str, tuple[bool, bytes, Any]] = {
    "64 MB": (True, HUGE, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "64 MB as the first": (False, HUGE, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "nested": (True, nested(100_000), grpc.StatusCode.INVALID_ARGUMENT),
    "text that is none": (False, hello_of_bad_text(), grpc.StatusCode.INVALID_ARGUMENT),
    "negative": (True, spoiled(negative), None),
    "tomorrow": (True, spoiled(of_tomorrow), None),
    "no time": (True, spoiled(of_no_time), None),
}


async def throw(port: int, name: str, compression: grpc.Compression) -> None:
    greets, raw, ending = JUNK[name]
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options, compression) as channel:
        stream = Stream(channel)
        if greets:
            await stream.greet(Hello.FromString(agent("liar").hello(0).SerializeToString()))
        # It may be sent away while it is still talking: the status says why.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await stream.say(raw)
        if ending is None:
            assert (await stream.hear()).acknowledgement.sequence == 1
        else:
            assert (await stream.refusal())[0] == ending, name


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_junk_is_refused_in_bounded_memory(tmp_path: Path, compression: grpc.Compression) -> None:
    ports = free_ports(3)

    async def test() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            honest, stream = agent(), Stream(channel)
            await stream.greet(honest.hello(0))
            assert await stream.bring(batch_now(honest)) == 1
            before = peak_megabytes(process)
            for name in JUNK:
                await throw(ports[0], name, compression)
            assert peak_megabytes(process) - before <= 2 * CAP_MEGABYTES
            assert await stream.bring(batch_now(honest)) == 2
        while await connections(ports[1]) != 2:
            await asyncio.sleep(0.05)

    with aggregator(tmp_path / "data", ports) as process:
        asyncio.run(asyncio.wait_for(test(), 60))
        assert process.poll() is None
