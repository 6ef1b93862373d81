"""The agent's clock: the wall's time when it began, and what has passed since.

All that a report says is timed by it, so setting the wall's clock moves no count; the aggregator learns how far this
clock is from its own, and is told how far the wall's was set meanwhile.
"""

import time


def _passed_ns() -> int:
    # Goes on while the machine sleeps.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


_BEGAN_NS = time.time_ns() - _passed_ns()


def began_ns() -> int:
    """What an agent that takes over goes on with: one host has one clock, whoever reads it."""
    return _BEGAN_NS


def go_on_from(began_ns: int) -> None:
    """Before anything was timed."""
    global _BEGAN_NS
    _BEGAN_NS = began_ns


def now_ns() -> int:
    return _BEGAN_NS + _passed_ns()


def kernel_offset_ns() -> int:
    """Add it to a time of the kernel's programs, which count on the monotonic clock."""
    return now_ns() - time.monotonic_ns()


def set_by_ns() -> int:
    """How far the wall's clock was set since the agent began."""
    return time.time_ns() - now_ns()
