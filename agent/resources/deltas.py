"""From counters as they stand to what was used since the last look. Pure.

A counter that was never seen before begins at zero where its cgroup came while we looked, else at what it is; one that
ran backwards begins anew. So what is told only ever adds up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from agent.resources.files import Held
from agent.resources.reading import Reading

_NOTHING = Reading(0, Held(0, 0, 0), oom_kills=0)


@dataclass(frozen=True, slots=True)
class Used:
    """Of one cgroup since the last look, with what it is now. `is_new`: it was not there at the last look."""

    reading: Reading
    is_new: bool
    cpu_ns: int
    held: Held
    oom_kills: int


class Deltas:
    """By cgroup id."""

    def __init__(self) -> None:
        self._before: dict[int, Reading] = {}
        self._there: frozenset[int] | None = None

    def take(self, readings: Mapping[int, Reading], there: Collection[int]) -> dict[int, Used]:
        """`there`: all cgroups, also those that were not read."""
        found = {one: self._used(one, reading) for one, reading in readings.items()}
        self._before, self._there = dict(readings), frozenset(there)
        return found

    def _used(self, cgroup: int, now: Reading) -> Used:
        is_new = self._there is not None and cgroup not in self._there
        before = self._before.get(cgroup, _NOTHING if is_new else now)
        held, held_before = now.held or Held(0, 0, 0), before.held or now.held or Held(0, 0, 0)
        since = (_since(a, b) for a, b in zip(held, held_before, strict=True))
        return Used(
            now, is_new, _since(now.cpu_ns, before.cpu_ns), Held(*since), _since(now.oom_kills, before.oom_kills)
        )


def _since(now: int | None, before: int | None) -> int:
    return 0 if now is None or before is None else max(0, now - before)


def without_inner(used: Mapping[int, Used], outer_of: Mapping[int, int]) -> dict[int, Used]:
    """A cgroup's numbers have those of the cgroups in it, which are told by themselves.

    By what was used since the last look, so that one that ends is nobody's twice.
    """
    own = dict(used)
    for cgroup, outer in outer_of.items():
        inner, around = used.get(cgroup), own.get(outer)
        if inner is None or around is None:
            continue
        memory, inside = around.reading.memory_bytes, inner.reading.memory_bytes or 0
        left = None if memory is None else max(0, memory - inside)
        own[outer] = replace(
            around, cpu_ns=max(0, around.cpu_ns - inner.cpu_ns), reading=replace(around.reading, memory_bytes=left)
        )
    return own
