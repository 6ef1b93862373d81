"""Which spans of a host's time its agents have covered, and which are blind."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.records import FOREVER_NS, Blind, Status
from aggregator.topology.tallies import MOST

Ints = npt.NDArray[np.int64]
KEPT_BLIND = 100
KEPT_REASONS = 64
OTHER_REASON = "(other)"
DISK_REASON = "aggregator's disk damaged"
MISSING_BATCHES = "missing_batches"
RESTARTED = "agent restarted"
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
    shed: tuple[str, ...] = ()
    clock_ahead_ns: int = 0
    # From when on its agent, which is there now, will tell in time; what was before it owes, or never saw.
    live_from_ns: int = 0
    # Why what lies between the last span and the next bucket is blind; "": it is not.
    _gap: str = ""

    def new_epoch(self, interval_ns: int, now_ns: int, gap_reason: str = RESTARTED) -> None:
        """An agent has started: what lies between the last one's end and its first bucket is blind. Empty: it goes on
        from the last one, and nothing does."""
        self.interval_ns = interval_ns
        if gap_reason:
            self.live_from_ns = now_ns
            self._gap = gap_reason[:_LONGEST_REASON]
        self.heard(now_ns)

    def interrupted(self, missing: int) -> None:
        """Batches were lost that had been on disk: `missing` of them, as far as nobody else tells of them."""
        self._gap = DISK_REASON
        if missing:
            _count(self.lost, MISSING_BATCHES, missing)

    def heard(self, now_ns: int) -> None:
        if self.is_stale(now_ns):
            self.live_from_ns = now_ns
        self.heard_ns = max(self.heard_ns, now_ns)

    def saw(self, from_ns: int, to_ns: int) -> None:
        """The agent has told all of [from_ns, to_ns)."""
        if self._gap or not self.covered:
            reason, self._gap = self._gap, ""
            if self.covered and from_ns > self.covered[-1][1]:
                self._add_blind(Blind(self.covered[-1][1], from_ns, reason))
            self.covered.append([from_ns, to_ns])
            del self.covered[:-KEPT_BLIND]
        else:
            self.covered[-1][1] = max(self.covered[-1][1], to_ns)

    def status(self, status: Status) -> None:
        for mine, told in ((self.lost, status.lost), (self.dropped, status.dropped)):
            for reason, count in told.items():
                _count(mine, reason, count)
        self.addresses, self.shed = frozenset(status.addresses), status.shed
        self.clock_ahead_ns = status.clock_ahead_ns
        for blind in status.blind:
            known = replace(blind, reason=blind.reason[:_LONGEST_REASON])
            if known not in self.blind:
                self._add_blind(known)

    def gave_up(self, reason: str, count: int) -> None:
        if count:
            _count(self.dropped, reason, count)

    def as_of_now(self) -> "HostCoverage":
        """For one who looks while more is heard: `covers`, `told` and `missed` of it stay as they are."""
        return replace(self, covered=[list(span) for span in self.covered])

    def is_stale(self, now_ns: int) -> bool:
        return now_ns - self.heard_ns > max(_STALE_INTERVALS * self.interval_ns, _FLOOR_STALE_NS)

    def is_gone(self, now_ns: int, retention_ns: int) -> bool:
        """Silent for so long that nothing of it can be in any window: it is in no graph until it speaks again."""
        return now_ns - self.heard_ns > retention_ns

    @property
    def covered_until_ns(self) -> int | None:
        """None: nothing was told yet."""
        return self.covered[-1][1] if self.covered else None

    def covers(self, times_ns: Ints, now_ns: int) -> npt.NDArray[np.bool_]:
        """For each time whether this host's own side tells of it. A live host will still tell of the last moments.

        One that was silent counts for what it owes when it has told it: a total that the other end's numbers had
        made would step back until then.
        """
        if not self.covered:
            return np.zeros(len(times_ns), np.bool_)
        return _within(self._spans(now_ns), times_ns)

    def tells_of(self, from_ns: Ints, to_ns: Ints, now_ns: int) -> Ints:
        """Of each span the ns that `covers` is true for."""
        return _shared(self._spans(now_ns), from_ns, to_ns)

    def told_of(self, from_ns: Ints, to_ns: Ints) -> Ints:
        """Of each span the ns that `told` is true for."""
        return _shared(self._spans(), from_ns, to_ns)

    def told(self, times_ns: Ints) -> npt.NDArray[np.bool_]:
        """For each time whether this host's agent has told of it, or will: it was there. That never changes."""
        return _within(self._spans(), times_ns)

    def missed(self, times_ns: Ints) -> npt.NDArray[np.bool_]:
        """For each time whether no agent was there. That never changes: a later one has begun since."""
        if not self.covered:
            return np.zeros(len(times_ns), np.bool_)
        return (times_ns < self.covered[-1][0]) & ~self.told(times_ns)

    def began_in(self, from_ns: int, to_ns: int) -> int | None:
        """When an agent began between these."""
        return next((span[0] for span in self.covered if from_ns < span[0] < to_ns), None)

    def _spans(self, now_ns: int | None = None) -> Ints:
        """What was told, and what a live host of now will still tell: in order, and apart from each other."""
        spans = [*self.covered]
        if now_ns is not None and spans and not self.is_stale(now_ns):
            spans.append([max(self.live_from_ns, spans[-1][0]), FOREVER_NS])
        found = np.array(spans, np.int64).reshape(-1, 2)
        found[1:, 0] = np.maximum(found[1:, 0], np.maximum.accumulate(found[:-1, 1]))
        return found[found[:, 0] < found[:, 1]]

    def _add_blind(self, blind: Blind) -> None:
        self.blind.append(blind)
        del self.blind[:-KEPT_BLIND]


@dataclass(frozen=True, slots=True)
class Together:
    """Several hosts, any of which may be a far end: it is told of what all of them tell. None: nobody knows one."""

    hosts: tuple[HostCoverage | None, ...]

    @property
    def covered_until_ns(self) -> int | None:
        ends = [one.covered_until_ns if one is not None else None for one in self.hosts]
        known = [end_ns for end_ns in ends if end_ns is not None]
        return min(known) if len(known) == len(ends) else None

    def tells_of(self, from_ns: Ints, to_ns: Ints, now_ns: int) -> Ints:
        return self._least(from_ns, lambda one: one.tells_of(from_ns, to_ns, now_ns))

    def told_of(self, from_ns: Ints, to_ns: Ints) -> Ints:
        return self._least(from_ns, lambda one: one.told_of(from_ns, to_ns))

    def _least(self, spans: Ints, of: Callable[[HostCoverage], Ints]) -> Ints:
        """Of the one that tells the least."""
        nothing = np.zeros(len(spans), np.int64)
        least: Ints = np.minimum.reduce([nothing if one is None else of(one) for one in self.hosts])
        return least


Covered: TypeAlias = HostCoverage | Together


def _count(counts: dict[str, int], reason: str, count: int) -> None:
    """Agents choose reasons: those beyond what anybody could read become one that keeps the sum."""
    if reason not in counts and (len(counts) >= KEPT_REASONS or len(reason) > _LONGEST_REASON):
        reason = OTHER_REASON
    counts[reason] = min(counts.get(reason, 0) + count, MOST)


def _within(spans: Ints, times_ns: Ints) -> npt.NDArray[np.bool_]:
    if not len(spans):
        return np.zeros(len(times_ns), np.bool_)
    at = np.searchsorted(spans[:, 0], times_ns, side="right") - 1
    within: npt.NDArray[np.bool_] = (at >= 0) & (times_ns < spans[np.maximum(at, 0), 1])
    return within


def _shared(spans: Ints, from_ns: Ints, to_ns: Ints) -> Ints:
    """How much of each [from, to) lies in the spans."""
    return _before(spans, to_ns) - _before(spans, from_ns)


def _before(spans: Ints, times_ns: Ints) -> Ints:
    """How much of the spans lies before each time."""
    if not len(spans):
        return np.zeros(len(times_ns), np.int64)
    lengths = spans[:, 1] - spans[:, 0]
    whole = np.concatenate([[0], np.cumsum(lengths[:-1])])
    at = np.maximum(np.searchsorted(spans[:, 0], times_ns, side="right") - 1, 0)
    found: Ints = whole[at] + np.clip(times_ns - spans[at, 0], 0, lengths[at])
    return found
