"""One client of one third party: whether its calls fail, or take longer than they usually do. Pure.

States are entered and left by different numbers, and after a least number of attempts, so that nothing flaps.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from typing import Final

from aggregator.records import SECOND_NS

# Attempts are looked at as far back as this, and further where they are few; but no further than the last.
RECENT_NS: Final = 15 * SECOND_NS
OLDEST_NS: Final = 900 * SECOND_NS
_SPAN_NS: Final = 3 * SECOND_NS
ENOUGH: Final = 5
FAILED: Final = 3
FAILING, NOT_FAILING = 0.2, 0.05
# Looks with an answer: until it is known how long it usually takes, and how many of the last say how it is now.
USUAL_AFTER: Final = 10
NOW: Final = 5
SLOW, NOT_SLOW = 2.0, 1.3
# Of what takes a moment only, twice as long is nothing.
SLOWER_MS, NOT_SLOWER_MS = 20.0, 10.0
_FOLLOWS: Final = 0.02
# What is slow for an hour or so of looks is how it is now.
_FOLLOWS_SLOW: Final = 0.0005


class Doing(Enum):
    WELL = 0
    SLOW = 1
    FAILING = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What came in (since_ns, now_ns] was looked at."""

    since_ns: int
    now_ns: int


@dataclass(slots=True)
class Span:
    """Some seconds of attempts. `since_ns`: when the first look of it began, `failed_ns`: the first with a failure."""

    since_ns: int
    failed_ns: int = 0
    attempts: int = 0
    failures: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Pair:
    """`last_ns`: when it was seen to call; `since_ns`: since when it does so."""

    last_ns: int
    doing: Doing = Doing.WELL
    since_ns: int = 0
    usual_ms: float | None = None
    hosts: set[str] = field(default_factory=set)
    _spans: deque[Span] = field(default_factory=lambda: deque(maxlen=8))
    _times: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=USUAL_AFTER))

    def saw(self, attempts: int, failures: int, reasons: Mapping[str, int], took_ms: float | None, look: Look) -> None:
        self.last_ns = look.now_ns
        if attempts or failures:
            if not self._spans or look.now_ns - self._spans[-1].since_ns > _SPAN_NS:
                self._spans.append(Span(look.since_ns))
            last = self._spans[-1]
            last.failed_ns = last.failed_ns if last.failures or not failures else look.since_ns
            last.attempts, last.failures = last.attempts + attempts, last.failures + failures
            last.reasons.update(reasons)
        if took_ms is not None:
            self._times.append((look.since_ns, took_ms))
            self._learn(took_ms)

    def judge(self, now_ns: int) -> bool:
        """Whether it does otherwise by now."""
        doing, since_ns = self._judged(now_ns)
        if doing is self.doing:
            return False
        self.doing, self.since_ns = doing, since_ns
        return True

    def recent(self, now_ns: int) -> Span:
        """As far back as it is looked at, together."""
        found = Span(now_ns)
        for one in reversed(self._spans):
            age_ns = now_ns - one.since_ns
            if age_ns > OLDEST_NS or (age_ns > RECENT_NS and found.attempts >= ENOUGH):
                break
            found.since_ns = one.since_ns
            found.attempts, found.failures = found.attempts + one.attempts, found.failures + one.failures
            found.reasons += one.reasons
        return found

    @property
    def now_ms(self) -> float | None:
        times = [took for _, took in self._times]
        return median(times[-NOW:]) if len(times) >= NOW else None

    def _judged(self, now_ns: int) -> tuple[Doing, int]:
        if self._fails(self.recent(now_ns)):
            return Doing.FAILING, self._failing_since_ns(now_ns)
        if self._is_slow():
            return Doing.SLOW, self._slow_since_ns()
        return Doing.WELL, now_ns

    def _fails(self, recent: Span) -> bool:
        if recent.attempts < ENOUGH:
            return self.doing is Doing.FAILING
        share = recent.failures / recent.attempts
        if self.doing is Doing.FAILING:
            return share > NOT_FAILING
        return recent.failures >= FAILED and share >= FAILING

    def _failing_since_ns(self, now_ns: int) -> int:
        """The begin of the row of spans with failures that it ends with."""
        since_ns = now_ns
        for one in reversed(self._spans):
            if not one.failures:
                break
            since_ns = one.failed_ns
        return since_ns

    def _is_slow(self) -> bool:
        now_ms, usual_ms = self.now_ms, self.usual_ms
        if now_ms is None or usual_ms is None:
            return self.doing is Doing.SLOW
        if self.doing is Doing.SLOW:
            return now_ms > max(NOT_SLOW * usual_ms, usual_ms + NOT_SLOWER_MS)
        return now_ms > self._slow_above_ms(usual_ms)

    @staticmethod
    def _slow_above_ms(usual_ms: float) -> float:
        return max(SLOW * usual_ms, usual_ms + SLOWER_MS)

    def _slow_since_ns(self) -> int:
        if not self._times:
            return self.since_ns
        limit_ms = self._slow_above_ms(self.usual_ms or 0.0)
        since_ns = self._times[-1][0]
        for at_ns, took in reversed(self._times):
            if took <= limit_ms:
                break
            since_ns = at_ns
        return since_ns

    def _learn(self, took_ms: float) -> None:
        """What is too long moves it hardly: else slowness would be usual before it is told."""
        if self.usual_ms is None:
            if len(self._times) == USUAL_AFTER:
                self.usual_ms = median(took for _, took in self._times)
            return
        is_long = took_ms > self._slow_above_ms(self.usual_ms)
        self.usual_ms += (took_ms - self.usual_ms) * (_FOLLOWS_SLOW if is_long else _FOLLOWS)
