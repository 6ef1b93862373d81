"""What the files of a cgroup say, from their texts. Pure; None for what is not there, or is no number that can be.

Version 1 counts throttled time in nanoseconds and says a limit as two files, version 2 in microseconds and as one.
"""

from typing import Final, NamedTuple

# Beyond these it is no number of a machine: 4 EiB, and 18 years of CPU time. A limit beyond is none.
_MOST_BYTES: Final = 1 << 62
_MOST_NS: Final = 1 << 59
_LONGEST_NUMBER: Final = 20
NO_LIMIT: Final = 0


class Held(NamedTuple):
    """How a CPU limit held a cgroup back: periods in which it ran, those in which it had to wait, for how long."""

    periods: int
    throttled_periods: int
    throttled_ns: int


def cpu_ns(cpu_stat: str) -> int | None:
    """CPU time used, of version 2."""
    used = _value(cpu_stat, "usage_usec")
    return None if used is None or used * 1000 > _MOST_NS else used * 1000


def held_back(cpu_stat: str) -> Held | None:
    periods, throttled = _value(cpu_stat, "nr_periods"), _value(cpu_stat, "nr_throttled")
    of_v2, of_v1 = _value(cpu_stat, "throttled_usec"), _value(cpu_stat, "throttled_time")
    waited_ns = of_v2 * 1000 if of_v2 is not None else of_v1
    if periods is None or throttled is None or waited_ns is None or waited_ns > _MOST_NS:
        return None
    return Held(periods, throttled, waited_ns)


def cpu_limit_millicores(quota: str, period: str) -> int | None:
    """NO_LIMIT where there is none: of version 1 that is a quota below zero, of version 2 the word "max"."""
    if quota.strip() == "max" or quota.strip().startswith("-"):
        return NO_LIMIT
    quota_us, period_us = number(quota), number(period)
    return None if quota_us is None or not period_us else quota_us * 1000 // period_us


def working_set_bytes(usage: str, memory_stat: str, is_v2: bool) -> int | None:
    """Without file pages that nobody has used lately, as the kubelet has it."""
    used = number(usage)
    idle = _value(memory_stat, "inactive_file" if is_v2 else "total_inactive_file")
    return None if used is None or idle is None else max(0, used - idle)


def memory_limit_bytes(text: str) -> int | None:
    """Of version 2."""
    return NO_LIMIT if text.strip() == "max" else _limit(number(text))


def lowest_limit_bytes(memory_stat: str) -> int | None:
    """Of version 1, which says what holds for a cgroup, whoever of those above it has the limit."""
    return _limit(_value(memory_stat, "hierarchical_memory_limit"))


def oom_kills(text: str) -> int | None:
    """Of memory.events or memory.oom_control."""
    return _value(text, "oom_kill")


def number(text: str) -> int | None:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > _LONGEST_NUMBER:
        return None
    return min(int(digits), _MOST_BYTES)


def _limit(limit: int | None) -> int | None:
    # What version 1 says where there is none is the largest number of whole pages.
    return NO_LIMIT if limit is not None and limit >= 1 << 60 else limit


def _value(text: str, key: str) -> int | None:
    """Of the line "key value"; found without cutting all lines, of which a hundred containers have six thousand."""
    at = 0 if text.startswith(f"{key} ") else text.find(f"\n{key} ") + 1
    if not at and not text.startswith(f"{key} "):
        return None
    return number(text[at + len(key) + 1 :].partition("\n")[0])
