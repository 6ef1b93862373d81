"""What can go wrong between an agent and an aggregator's disk: a wire that breaks, and a disk that is full.

with Wire() as wire: ...              agents connect to wire.port, which leads to wire.target_port
"""

import asyncio
import contextlib
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

_CHUNK_BYTES = 65536
_FOR_EVER = 2**62
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one connection: how many bytes it carries each way; after that it is cut, at once or after some seconds in
    which what comes that way is swallowed."""

    up_bytes: int = _FOR_EVER
    down_bytes: int = _FOR_EVER
    swallow_seconds: float = 0.0


def whole() -> Fate:
    return Fate()


def any_byte(chance: random.Random) -> Callable[[], Fate]:
    """Cut after any number of bytes, in either direction; half of them first lose what is on its way: so a batch, or
    its acknowledgement, or half of one, was sent and never comes."""

    def fate() -> Fate:
        carried = int(2 ** chance.uniform(0, 18))
        swallow = chance.choice([0.0, chance.uniform(0.1, 1.0)])
        return Fate(up_bytes=carried, swallow_seconds=swallow) if chance.random() < 0.5 else Fate(
            down_bytes=int(carried**0.6), swallow_seconds=swallow
        )  # fmt: skip

    return fate


class Wire:
    """A relay of TCP connections in a thread of its own; `fate` says what becomes of each new one."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.target_port = 0
        self.fate: Callable[[], Fate] = whole
        self.connections = self.cuts = 0
        self._open: set[_Relayed] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Wire":
        self._thread.start()
        self._in_loop(self._serve())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Every connection that is open."""
        self._loop.call_soon_threadsafe(self._cut_all)

    def _in_loop(self, call: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result(10)

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._relay, sock=self._listener)

    async def _end(self) -> None:
        self._server.close()
        self._cut_all()
        await asyncio.gather(*(one.ended.wait() for one in list(self._open)))

    def _cut_all(self) -> None:
        for one in list(self._open):
            self.cuts += 1
            one.cut()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        one = _Relayed(writer)
        self._open.add(one)
        try:
            with contextlib.suppress(OSError):
                far_reader, one.far = await asyncio.open_connection("127.0.0.1", self.target_port)
                fate = self.fate()
                ways = [
                    one.carry(reader, one.far, fate.up_bytes, fate.swallow_seconds),
                    one.carry(far_reader, writer, fate.down_bytes, fate.swallow_seconds),
                ]
                tasks = [asyncio.ensure_future(way) for way in ways]
                done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                self.cuts += any(task.exception() is None and task.result() for task in done)
                for task in rest:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            one.cut()
            self._open.discard(one)
            one.ended.set()


class _Relayed:
    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.ended = asyncio.Event()

    async def carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, most_bytes: int, swallow_seconds: float
    ) -> bool:
        """Whether it ended since it had carried all that it may."""
        while most_bytes > 0:
            data = await source.read(_CHUNK_BYTES)
            if not data:
                return False
            sink.write(data[:most_bytes])
            most_bytes -= len(data)
            await sink.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(swallow_seconds):
                while await source.read(_CHUNK_BYTES):
                    pass
        return True

    def cut(self) -> None:
        """With a reset, as a machine does that has forgotten the connection."""
        for end in (self.near, self.far):
            if end is not None and not end.transport.is_closing():
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.transport.abort()


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[None]:
    """A file system of that size, mounted there."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def full_disk(place: Path) -> Iterator[None]:
    """Not a byte is left in it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b".")
    try:
        yield
    finally:
        filler.unlink()
