"""Which spans of a host's time its agents have covered, and which are blind."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from aggregator.records import FOREVER_NS, Blind, Status
from aggregator.topology.tallies import MOST

KEPT_BLIND = 100
KEPT_REASONS = 64
OTHER_REASON = "(other)"
_LONGEST_REASON = 64
_FLOOR_STALE_NS = 5_000_000_000
_STALE_INTERVALS = 3


@dataclass(slots=True)
class HostCoverage:
    """One host. Times are the aggregator's; `covered` spans are in order, the last one growing."""

    interval_ns: int = 1_000_000_000
    heard_ns: int = 0  # when its agent last said anything
    covered: list[list[int]] = field(default_factory=list)
    blind: list[Blind] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    addresses: frozenset[bytes] = frozenset()
    _epoch_begins: bool = False

    def new_epoch(self, interval_ns: int, now_ns: int) -> None:
        """An agent has started: what lies between the last one's end and its first bucket is blind."""
        self.interval_ns = interval_ns
        self._epoch_begins = True
        self.heard(now_ns)

    def heard(self, now_ns: int) -> None:
        self.heard_ns = max(self.heard_ns, now_ns)

    def saw(self, from_ns: int, to_ns: int) -> None:
        """The agent has told all of [from_ns, to_ns)."""
        if self._epoch_begins or not self.covered:
            self._epoch_begins = False
            if self.covered and from_ns > self.covered[-1][1]:
                self._add_blind(Blind(self.covered[-1][1], from_ns, "agent restarted"))
            self.covered.append([from_ns, to_ns])
            del self.covered[:-KEPT_BLIND]
        else:
            self.covered[-1][1] = max(self.covered[-1][1], to_ns)

    def status(self, status: Status) -> None:
        for mine, told in ((self.lost, status.lost), (self.dropped, status.dropped)):
            for reason, count in told.items():
                _count(mine, reason, count)
        self.addresses = frozenset(status.addresses)
        for blind in status.blind:
            known = replace(blind, reason=blind.reason[:_LONGEST_REASON])
            if known not in self.blind:
                self._add_blind(known)

    def gave_up(self, reason: str, count: int) -> None:
        if count:
            _count(self.dropped, reason, count)

    def is_stale(self, now_ns: int) -> bool:
        return now_ns - self.heard_ns > max(_STALE_INTERVALS * self.interval_ns, _FLOOR_STALE_NS)

    def is_gone(self, now_ns: int, retention_ns: int) -> bool:
        """Silent for so long that nothing of it can be in any window: it is in no graph until it speaks again."""
        return now_ns - self.heard_ns > retention_ns

    def covers(self, times_ns: npt.NDArray[np.int64], now_ns: int) -> npt.NDArray[np.bool_]:
        """For each time whether this host's own side tells of it. A live host will still tell of the last moments."""
        if not self.covered:
            return np.zeros(len(times_ns), np.bool_)
        spans = np.array(self.covered, np.int64)
        if not self.is_stale(now_ns):
            spans[-1, 1] = FOREVER_NS
        return _within(spans, times_ns)

    def told(self, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each time whether this host's agent has told of it, or will: it was there. That never changes."""
        return _within(np.array(self.covered, np.int64).reshape(-1, 2), times_ns)

    def missed(self, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each time whether no agent was there. That never changes: a later one has begun since."""
        if not self.covered:
            return np.zeros(len(times_ns), np.bool_)
        return (times_ns < self.covered[-1][0]) & ~self.told(times_ns)

    def _add_blind(self, blind: Blind) -> None:
        self.blind.append(blind)
        del self.blind[:-KEPT_BLIND]


def _count(counts: dict[str, int], reason: str, count: int) -> None:
    """Agents choose reasons: those beyond what anybody could read become one that keeps the sum."""
    if reason not in counts and (len(counts) >= KEPT_REASONS or len(reason) > _LONGEST_REASON):
        reason = OTHER_REASON
    counts[reason] = min(counts.get(reason, 0) + count, MOST)


def _within(spans: npt.NDArray[np.int64], times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if not len(spans):
        return np.zeros(len(times_ns), np.bool_)
    at = np.searchsorted(spans[:, 0], times_ns, side="right") - 1
    within: npt.NDArray[np.bool_] = (at >= 0) & (times_ns < spans[np.maximum(at, 0), 1])
    return within
