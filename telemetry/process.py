"""What every daemon does as a process: it is ended by a signal, and it knows how much memory it takes."""

import asyncio
import signal
from functools import partial
from pathlib import Path

from telemetry.log import Log

_PAGE_BYTES = 4096


def stopped_by_signals(log: Log, event: str) -> asyncio.Event:
    """Set by SIGTERM or SIGINT, of which the first is told as `event`. Called in the running loop."""
    stop = asyncio.Event()

    def leave(name: str) -> None:
        if not stop.is_set():
            log.write(event, reason=name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, partial(leave, number.name))
    return stop


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
