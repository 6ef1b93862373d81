"""How much detail an agent gathers: less while it takes more CPU than it may, more again when there is room.

Pure; clocks are passed in. Counts are never given up, whatever the level.
"""

from dataclasses import dataclass, replace
from typing import Final

from agent.records import Limits

# In the order in which it is given up: how soon the graph knows, how fine latencies are and how long turns take, and
# the names of routes, hosts and DNS.
LEVELS: Final = ("interval", "latency", "names")
SHED_INTERVAL_FACTOR: Final = 4.0
LONGEST_INTERVAL_SECONDS: Final = 60.0

_SHORTEST_LOOK_SECONDS: Final = 2.0
_LOOKS_ABOVE: Final = 3
# Room enough: with the next detail back it must not be too much again.
_ROOM_SHARE: Final = 0.6
_LOOKS_WITH_ROOM, _MOST_LOOKS_WITH_ROOM = 5, 160
# Too much again so soon after detail came back: the next return waits for twice as long.
_RELAPSE_SECONDS: Final = 300.0


@dataclass(slots=True)
class Throttle:
    """`budget_cores`: CPU seconds a second, of the whole process; None: no bound."""

    budget_cores: float | None
    level: int = 0
    used_cores: float = 0.0
    _looked_seconds: float | None = None
    _cpu_seconds: float = 0.0
    _above: int = 0
    _with_room: int = 0
    _wanted_with_room: int = _LOOKS_WITH_ROOM
    _returned_seconds: float | None = None

    @property
    def shed(self) -> tuple[str, ...]:
        return LEVELS[: self.level]

    def look(self, now_seconds: float, cpu_seconds: float) -> bool:
        """`cpu_seconds`: what the process has taken since its start. Whether the level is another one now."""
        if self._looked_seconds is None:
            self._looked_seconds, self._cpu_seconds = now_seconds, cpu_seconds
            return False
        passed_seconds = now_seconds - self._looked_seconds
        if self.budget_cores is None or passed_seconds < _SHORTEST_LOOK_SECONDS:
            return False
        self.used_cores = (cpu_seconds - self._cpu_seconds) / passed_seconds
        self._looked_seconds, self._cpu_seconds = now_seconds, cpu_seconds
        self._above = self._above + 1 if self.used_cores > self.budget_cores else 0
        self._with_room = self._with_room + 1 if self.used_cores < _ROOM_SHARE * self.budget_cores else 0
        return self._sheds(now_seconds) or self._returns(now_seconds)

    def interval_seconds(self, wanted_seconds: float, tables_fill: bool) -> float:
        """`tables_fill`: a longer interval might bring more than fits; then it stays as short as is wanted."""
        if not self.level or tables_fill:
            return wanted_seconds
        return max(wanted_seconds, min(wanted_seconds * SHED_INTERVAL_FACTOR, LONGEST_INTERVAL_SECONDS))

    def limits(self, whole: Limits) -> Limits:
        return replace(whole, without_fine_latency=self.level >= 2, without_names=self.level >= 3)

    def _sheds(self, now_seconds: float) -> bool:
        if self._above < _LOOKS_ABOVE or self.level == len(LEVELS):
            return False
        if self._returned_seconds is not None and now_seconds - self._returned_seconds < _RELAPSE_SECONDS:
            self._wanted_with_room = min(2 * self._wanted_with_room, _MOST_LOOKS_WITH_ROOM)
        elif not self.level:
            self._wanted_with_room = _LOOKS_WITH_ROOM
        self.level += 1
        self._above = 0
        return True

    def _returns(self, now_seconds: float) -> bool:
        if not self.level or self._with_room < self._wanted_with_room:
            return False
        self.level -= 1
        self._with_room = 0
        self._returned_seconds = now_seconds
        return True
