"""What the kernel's side sees of a daemon: a process named plumb, however it was started."""

import asyncio
from pathlib import Path

from cli.daemon import run


def test_a_daemon_is_called_plumb() -> None:
    async def name() -> int:
        await asyncio.to_thread(lambda: names.append(Path("/proc/thread-self/comm").read_text()))
        names.append(Path("/proc/self/comm").read_text())
        return 3

    before, names = Path("/proc/self/comm").read_text(), list[str]()
    try:
        assert run(name()) == 3
    finally:
        Path("/proc/self/comm").write_text(before)
    assert names == ["plumb\n", "plumb\n"]
