"""Who had one thing at which time, of claims to it that may overlap: looked up by bisection. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeAlias

from aggregator.records import FOREVER_NS, Owned

HolderOf: TypeAlias = Callable[[int], Hashable]

# A claim may be known a little later than its first packet: nobody else can have had the address meanwhile.
_LATE_CLAIM_NS: Final = 15_000_000_000


class Timeline:
    """Of claims that began at one time, the one that was given last counts as the later one. `holder_of`: who has
    what an endpoint claims: a pod has its addresses, whichever of its containers is met in it."""

    __slots__ = ("_begins", "_claims", "_holder_of", "_owners", "_times", "moved", "owners")

    def __init__(self, claims: Iterable[Owned], holder_of: HolderOf = lambda endpoint: endpoint) -> None:
        self._claims = sorted(claims, key=lambda one: one.from_ns)
        self._holder_of = holder_of
        self._begins = [one.from_ns for one in self._claims]
        self._times: list[int] = []
        self._owners: list[int | None] = []  # from each of the times on
        self._walk()
        self.owners = frozenset(one.endpoint for one in self._claims)
        self.moved = len({holder_of(one) for one in self.owners}) > 1

    def at(self, time_ns: int) -> int | None:
        """The endpoint of the newest claim that held at the time; else of the one that began soon after it."""
        at = bisect_right(self._times, time_ns) - 1
        owner = self._owners[at] if at >= 0 else None
        if owner is not None:
            return owner
        at = bisect_right(self._begins, time_ns)
        is_late = at < len(self._begins) and self._begins[at] - time_ns <= _LATE_CLAIM_NS
        return self._claims[at].endpoint if is_late else None

    def during(self, from_ns: int, to_ns: int) -> list[Owned]:
        """Every claim that held at some time of these; else the one that began soon after."""
        last = bisect_right(self._begins, to_ns)
        held = [one for one in self._claims[:last] if one.to_ns > from_ns]
        is_late = not held and last < len(self._begins) and self._begins[last] - to_ns <= _LATE_CLAIM_NS
        return [self._claims[last]] if is_late else held

    def begin_of(self, endpoint: int) -> int:
        """Of the first claim of an endpoint's holder."""
        holder = self._holder_of(endpoint)
        return next(one.from_ns for one in self._claims if self._holder_of(one.endpoint) == holder)

    def changed_ns(self) -> int:
        """When a claim began or ended for the last time."""
        return max((time for one in self._claims for time in (one.from_ns, one.to_ns) if time < FOREVER_NS), default=0)

    def steady_until(self, time_ns: int) -> int:
        """`at` may say something else from then on."""
        begins = self._begins
        return min(
            _first_after(self._times, time_ns),
            _first_after(begins, time_ns),
            _first_after(begins, time_ns + _LATE_CLAIM_NS) - _LATE_CLAIM_NS,
        )

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


def _first_after(times_ns: list[int], time_ns: int) -> int:
    at = bisect_right(times_ns, time_ns)
    return times_ns[at] if at < len(times_ns) else FOREVER_NS


NOBODY: Final = Timeline(())
