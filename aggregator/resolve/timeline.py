"""Who had one thing at which time, of claims to it that may overlap: looked up by bisection. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from aggregator.records import FOREVER_NS, Owned

# A claim may be known a little later than its first packet: nobody else can have had the address meanwhile.
_LATE_CLAIM_NS: Final = 15_000_000_000


class Timeline:
    """Of claims that began at one time, the one that was given last counts as the later one."""

    __slots__ = ("_begins", "_claims", "_owners", "_times", "moved")

    def __init__(self, claims: Iterable[Owned]) -> None:
        self._claims = sorted(claims, key=lambda one: one.from_ns)
        self._begins = [one.from_ns for one in self._claims]
        self._times: list[int] = []
        self._owners: list[int | None] = []  # from each of the times on
        self._walk()
        self.moved = len({one.endpoint for one in self._claims}) > 1

    def at(self, time_ns: int) -> int | None:
        """The endpoint of the newest claim that held at the time; else of the one that began soon after it."""
        at = bisect_right(self._times, time_ns) - 1
        owner = self._owners[at] if at >= 0 else None
        if owner is not None:
            return owner
        at = bisect_right(self._begins, time_ns)
        is_late = at < len(self._begins) and self._begins[at] - time_ns <= _LATE_CLAIM_NS
        return self._claims[at].endpoint if is_late else None

    def _walk(self) -> None:
        held: list[Owned] = []  # in order of their beginning
        for claim in self._claims:
            self._end(held, claim.from_ns)
            if claim.to_ns > claim.from_ns:
                held.append(claim)
                self._times.append(claim.from_ns)
                self._owners.append(claim.endpoint)
        self._end(held, FOREVER_NS)

    def _end(self, held: list[Owned], until_ns: int) -> None:
        while held and held[-1].to_ns <= until_ns:
            end_ns = held.pop().to_ns
            while held and held[-1].to_ns <= end_ns:
                held.pop()
            self._times.append(end_ns)
            self._owners.append(held[-1].endpoint if held else None)


NOBODY: Final = Timeline(())
