"""What the agent takes against what it may take, and what it leaves out therefore. Used from the kernel's thread."""

import time
from collections.abc import Iterable

from agent.coalescing import Portion
from agent.memory import Memory, MemoryCgroup, within
from agent.records import Kernel, Limits
from agent.throttle import LEVELS, Throttle
from telemetry.log import Log

PARSERS = "parsers"
DETAIL = (*LEVELS, PARSERS)
# Rows that the kernel's tables have room for in an interval (bpf/maps.c), and the share beyond which a longer interval
# could bring more: of rows of a usual interval, and of one that is longer already.
MAX_FLOW_COUNTS, MAX_REQUEST_ROWS = 32_768, 65_536
_FULL_AFTER_SHORT, _FULL_AFTER_LONG = 1 / 8, 1 / 2


class Budgets:
    """`whole`: what is gathered while there is room."""

    def __init__(self, cpu_cores: float | None, whole: Limits, log: Log, memory: MemoryCgroup | None = None) -> None:
        self.throttle = Throttle(cpu_cores)
        self.memory: Memory | None = None
        self.parsers = 0
        self.limits = whole
        self.shed: tuple[str, ...] = ()
        self._whole = whole
        self._log = log
        self._memory_cgroup = memory or MemoryCgroup()
        self._told: Limits | None = None
        self._tables_fill = False

    def interval_seconds(self, wanted_seconds: float) -> float:
        return self.throttle.interval_seconds(wanted_seconds, self._tables_fill)

    def look(self, kernel: Kernel, drained: Portion | None = None) -> None:
        """After each drain: the kernel's side is told what has changed, and so is whoever reads the log."""
        if drained is not None:
            full = max(len(drained.flows["flow"]) / MAX_FLOW_COUNTS, len(drained.requests["flow"]) / MAX_REQUEST_ROWS)
            self._tables_fill = full > (_FULL_AFTER_LONG if self.throttle.level else _FULL_AFTER_SHORT)
        self.throttle.look(time.monotonic(), time.process_time())
        self.memory = self._memory_cgroup.read()
        self.parsers = kernel.parsers()
        self.limits = within(self.throttle.limits(self._whole), self.memory, self.parsers)
        if self._told is None and self.memory is not None:
            self._log.write("memory_limited", limit_bytes=self.memory.limit_bytes, parsers=self.limits.parsers)
        if self.limits != self._told:
            kernel.limit(self.limits)
            self._told = self.limits
        self._tell(tuple(one for one in DETAIL if one in set(self._given_up())))

    def _given_up(self) -> Iterable[str]:
        if self.throttle.level >= 1:
            yield "interval"
        if self.limits.without_fine_latency:
            yield "latency"
        if self.limits.without_names:
            yield "names"
        if self.limits.parsers < self._whole.parsers and self.parsers >= self.limits.parsers:
            yield PARSERS

    def _tell(self, shed: tuple[str, ...]) -> None:
        before, self.shed = self.shed, shed
        if shed == before:
            return
        event = "shedding" if len(shed) > len(before) else "shedding_less"
        self._log.write(event, shed=list(shed), reason=self._reason())

    def _reason(self) -> str:
        budget = self.throttle.budget_cores
        reason = f"{self.throttle.used_cores:.2f} cores are used"
        reason += f" of {budget:g}" if budget is not None else ""
        if self.memory is not None:
            reason += f", and {self.memory.used_bytes:,} bytes of memory of {self.memory.limit_bytes:,}"
        return reason
