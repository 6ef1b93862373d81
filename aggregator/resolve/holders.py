"""Whose an address was that changed hands, for each row by itself: what its holders say themselves decides. Pure.

A holder's own end is certain: its rows say that it had the address then. So where holders tell of a time, their rows
are taken and those of the other end, which may be about several of them, are left out. A claim on the address is asked
where they cannot tell, and where it gives no one answer either, the address stands for itself.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

from aggregator.records import NOBODY_KNOWN, SECOND_NS, SERVER, TOLD_ELSEWHERE
from aggregator.resolve.contested import Contested, ContestedFlows, Holder
from aggregator.resolve.presence import Presence
from aggregator.topology.coverage import HostCoverage

_TCP: Final = 6
_FRESH_INTERVALS: Final = 3
# Whose agent is silent is taken for who still has an address that had been his for so long.
_STEADY_NS: Final = 60 * SECOND_NS


class Said(NamedTuple):
    """What one row says: `exchanged` anything, only `failed` connects, or neither, but that something ended."""

    from_ns: int
    to_ns: int
    exchanged: bool
    failed: bool


class Verdict(NamedTuple):
    """An endpoint, TOLD_ELSEWHERE or NOBODY_KNOWN; `final`: nothing that is still to come can change it."""

    holder: int
    final: bool


class Holders:
    """`retention_ns`: for so long rows are kept."""

    def __init__(
        self,
        contested: ContestedFlows,
        coverage: Mapping[int, HostCoverage],
        presence: Presence,
        node_of: Callable[[int], int],
        retention_ns: int,
    ) -> None:
        self._contested = contested
        self._coverage = coverage
        self._presence = presence
        self._node_of = node_of
        self._retention_ns = retention_ns

    def whose(self, flow: int, said: Said, now_ns: int) -> Verdict:
        way = self._contested[flow]
        certain = all(self._has_spoken(one, said) and self._has_told_end(one, said) for one in way.holders)
        there = [one for one in way.holders if self._is_there(way, one, said)]
        kept_ns = now_ns - self._retention_ns
        if there and not said.failed:
            return self._of_those(way, there, said, certain, kept_ns)
        if not said.exchanged and not said.failed:
            return Verdict(TOLD_ELSEWHERE, certain)
        left = [one for one in way.holders if self._may_be(way, one, said, kept_ns)]
        if any(self._will_speak(one, said, now_ns) for one in way.holders):
            return Verdict(TOLD_ELSEWHERE, False)
        if len(left) == 1 and self._is_steady(way, left[0], said):
            return Verdict(left[0].endpoint, certain)
        return Verdict(TOLD_ELSEWHERE if self._is_fresh(way, said, now_ns) else NOBODY_KNOWN, False)

    def _of_those(self, way: Contested, there: list[Holder], said: Said, certain: bool, kept_ns: int) -> Verdict:
        if way.server_tells:
            return Verdict(there[0].endpoint if len(there) == 1 else NOBODY_KNOWN, certain)
        if way.flow.role == SERVER:
            return Verdict(TOLD_ELSEWHERE, True)
        if not way.caller_moved:
            # Servers say who called. What its client alone knows goes with the one that answered.
            return Verdict(there[0].endpoint, certain) if len(there) == 1 else Verdict(TOLD_ELSEWHERE, True)
        others = (one for one in way.holders if one not in there and not self._has_spoken(one, said))
        is_one = len(there) == 1 and not any(self._may_be(way, one, said, kept_ns) for one in others)
        return Verdict(there[0].endpoint if is_one else NOBODY_KNOWN, certain)

    def _may_be(self, way: Contested, holder: Holder, said: Said, kept_ns: int) -> bool:
        """By the claims; but not who was there, has told of that time, and says nothing of it. `kept_ns`: since when
        rows are kept."""
        claimed = [
            line.begin_of(one.endpoint)
            for line in (way.of_port, way.whole)
            for one in line.during(said.from_ns, said.to_ns)
            if self._node_of(one.endpoint) == holder.node
        ]
        if not claimed or (not said.failed and self._denies(holder, said)):
            return False
        if said.failed or way.flow.transport != _TCP:
            return True
        # A connection that is older than this holder was somebody else's; but no row tells of one that is that old.
        return min(claimed) < kept_ns or self._presence.opened(way.key, min(claimed), said.to_ns)

    def _denies(self, holder: Holder, said: Said) -> bool:
        known = self._coverage.get(holder.host)
        told = known is not None and bool(known.told(_middle(said))[0])
        return told and not self._presence.seen(holder.any_, said.from_ns, said.to_ns)

    def _is_there(self, way: Contested, holder: Holder, said: Said) -> bool:
        known = self._coverage.get(holder.host)
        if known is None:
            return False
        if known.missed(_middle(said))[0]:
            return self._saw_begin(way, holder, said, known)
        return any(self._presence.seen(one, said.from_ns, said.to_ns) for one in holder.pair)

    def _saw_begin(self, way: Contested, holder: Holder, said: Said, known: HostCoverage) -> bool:
        """Whether all that is in a flow's first row happened before the eyes of an agent that began late in its time:
        the holder's end opened its connections itself, and none was open already."""
        begin_ns = known.began_in(said.from_ns, said.to_ns)
        if begin_ns is None or not self._presence.is_new(way.key, said.from_ns):
            return False
        return any(self._presence.began_anew(one, begin_ns, said.to_ns) for one in holder.pair)

    def _has_told_end(self, holder: Holder, said: Said) -> bool:
        """Of an agent that began in the row's time: whether it has told of the rest of it."""
        known = self._coverage.get(holder.host)
        begin_ns = known.began_in(said.from_ns, said.to_ns) if known is not None else None
        return known is None or begin_ns is None or known.covered[-1][1] >= said.to_ns

    def _has_spoken(self, holder: Holder, said: Said) -> bool:
        known = self._coverage.get(holder.host)
        return known is None or bool((known.told(_middle(said)) | known.missed(_middle(said)))[0])

    def _will_speak(self, holder: Holder, said: Said, now_ns: int) -> bool:
        known = self._coverage.get(holder.host)
        return known is not None and not self._has_spoken(holder, said) and bool(known.covers(_middle(said), now_ns)[0])

    def _is_steady(self, way: Contested, holder: Holder, said: Said) -> bool:
        """Whether the claims may be believed while its agent is silent: they had not changed for a while."""
        if self._has_spoken(holder, said):
            return True
        known, changed_ns = self._coverage.get(holder.host), max(way.of_port.changed_ns(), way.whole.changed_ns())
        return known is not None and bool(known.covered) and known.covered[-1][1] - changed_ns > _STEADY_NS

    def _is_fresh(self, way: Contested, said: Said, now_ns: int) -> bool:
        """Who had the address for the first time may not have told yet."""
        intervals = (self._coverage[one.host].interval_ns for one in way.holders if one.host in self._coverage)
        longest_ns = max(intervals, default=0)
        return now_ns - said.to_ns < _FRESH_INTERVALS * longest_ns


def _middle(said: Said) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([said.from_ns + (said.to_ns - said.from_ns) // 2], np.int64)
