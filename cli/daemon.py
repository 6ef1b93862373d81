"""What `plumb agent` and `plumb aggregator` share: they are the pipelines' callers and nothing more."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any


def run(pipeline: Coroutine[Any, Any, int]) -> int:
    """Runs the pipeline to its end, as a process that the kernel's side knows by the name `plumb`."""
    # Started as `python -m cli` it would be a python among others; threads take the name that holds at their start.
    Path("/proc/self/comm").write_text("plumb", encoding="ascii")
    return asyncio.run(pipeline)
