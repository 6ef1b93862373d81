"""Who had an address, and which port of it, at a time: claims with time ranges, asked by time.

An address means something in its realm only: loopback in one network namespace, some in one host, the rest in
one cluster.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from aggregator.records import ANY_PORT, FOREVER_NS, Owned
from aggregator.resolve.places import (
    EVERY_NAMESPACE,
    LOOPBACK4,
    LOOPBACK4_MAIN,
    Place,
    Where,
    namespace_of,
    where_of,
    wheres,
)
from aggregator.resolve.timeline import NOBODY, HolderOf, Timeline

MOST_CLAIMS: Final = 1_000_000
_MOST_REMEMBERED: Final = 200_000
_KEPT_TIMELINES: Final = 200_000
# One port of an address, as one network namespace sees it.
Spot: TypeAlias = tuple[Where, int, int]
# Address, port, transport, and from where they are looked at.
Asked: TypeAlias = "tuple[bytes, int, int, Place]"
# What stays the same when a claim is told again with another end: all but its times, and when it began by its agent.
Identity: TypeAlias = tuple[int, int, int, int, bool, int]


@dataclass(slots=True)
class _Claims:
    """Of one spot. `version` is the one of the last change."""

    known: dict[Identity, Owned] = field(default_factory=dict)
    version: int = 0


class Ownership:
    """Claims by realm, address and port. `version` grows with every change, so that answers may be kept until then.
    `place_of`: where an endpoint is; `holder_of`: see Timeline."""

    def __init__(
        self,
        place_of: Callable[[int], Place],
        holder_of: HolderOf = lambda endpoint: endpoint,
        most_claims: int = MOST_CLAIMS,
    ) -> None:
        self._place_of = place_of
        self._holder_of = holder_of
        self._spots: dict[tuple[Where, int], dict[int, _Claims]] = {}  # by address and port, then by namespace
        self._open: dict[int, dict[tuple[Spot, Identity], Owned]] = {}  # by host, those without an end
        self._ends: list[tuple[int, Spot, Identity]] = []  # of the others, in order
        self._timelines: dict[Asked, tuple[tuple[int, ...], Timeline]] = {}
        self._found: dict[Asked, Timeline] = {}  # by `_found_version`: nothing needs to be compared
        self._found_version = 0
        self._most_claims = most_claims
        self._count = 0
        self._changed: set[bytes] = set()
        self.ours: set[Where] = set()
        self.version = 0
        self.dropped = 0  # claims that had no room
        self.forgotten = 0  # addresses that had no room among those that are ours

    def __len__(self) -> int:
        return self._count

    def add(self, claim: Owned) -> None:
        """A claim again, with another end, is the same claim."""
        where = where_of(claim, self._place_of(claim.endpoint))
        spot, identity = (where, claim.port, namespace_of(claim)), _identity(claim)
        claims = self._spots.get(spot[:2], {}).get(spot[2])
        known = claims.known.get(identity) if claims is not None else None
        if known is not None:
            if known.to_ns != claim.to_ns:
                self._take(spot, identity, known)
                self._put(spot, identity, replace(known, to_ns=claim.to_ns))
            return
        if self._count >= self._most_claims:
            self.dropped += 1
            return
        self.remember((where,))
        self._count += 1
        self._put(spot, identity, claim)

    def close(self, host: int, at_ns: int) -> None:
        """An agent has gone, or started anew and will claim again what still is so: nothing of before lasts beyond."""
        for (spot, identity), one in self._open.pop(host, {}).items():
            self._put(spot, identity, replace(one, to_ns=max(at_ns, one.from_ns)))
        self.version += 1

    def forget(self, before_ns: int) -> None:
        """Claims that had ended before then: no row of that time is left."""
        ended = bisect_left(self._ends, before_ns, key=lambda one: one[0])
        for _, (where, port, namespace), identity in self._ends[:ended]:
            here = self._spots[where, port]
            del here[namespace].known[identity]
            self._changed.add(where[2])
            here[namespace].version = self.version + 1
            if not here[namespace].known:
                del here[namespace]
                if not here:
                    del self._spots[where, port]
        if ended:
            del self._ends[:ended]
            self._count -= ended
            self.version += 1

    def remember(self, wheres: Iterable[Where]) -> None:
        """Addresses that are ours, whoever has them: as many as there is room for."""
        for where in wheres:
            if len(self.ours) < _MOST_REMEMBERED:
                self.ours.add(where)
            elif where not in self.ours:
                self.forgotten += 1

    def claims(self) -> list[Owned]:
        """All that is known, for a checkpoint; `ours` is the other half."""
        return [one for here in self._spots.values() for claims in here.values() for one in claims.known.values()]

    def knows(self, address: bytes, place: Place) -> bool:
        """Whether anybody there ever had it."""
        return any(where in self.ours for where in wheres(address, place))

    def timelines(self, address: bytes, port: int, transport: int, place: Place) -> tuple[Timeline, Timeline]:
        """Who listened on the port, and whose the address was."""
        return self._listening(address, port, transport, place), self._whole(address, place)

    def has_moved(self, address: bytes, port: int, transport: int, place: Place) -> bool:
        """Whether more than one holder has had this address as its own, or listened on this port of it."""
        return self._whole(address, place).moved or self._listening(address, port, transport, place).moved

    def owner(self, address: bytes, port: int, transport: int, time_ns: int, place: Place) -> int | None:
        """The endpoint that listened on the port then, else the one whose address it was."""
        of_port, whole = self._listening(address, port, transport, place), self._whole(address, place)
        if of_port is whole is NOBODY and address.startswith(LOOPBACK4) and address != LOOPBACK4_MAIN:
            return self.owner(LOOPBACK4_MAIN, port, transport, time_ns, place)
        listener = of_port.at(time_ns)
        return whole.at(time_ns) if listener is None else listener

    def steady_until(self, address: bytes, port: int, transport: int, time_ns: int, place: Place) -> int:
        """Until when `owner` says the same as for that time, or longer; as long as nothing else is claimed."""
        of_port, whole = self._listening(address, port, transport, place), self._whole(address, place)
        if of_port is whole is NOBODY and address.startswith(LOOPBACK4) and address != LOOPBACK4_MAIN:
            return self.steady_until(LOOPBACK4_MAIN, port, transport, time_ns, place)
        return min(of_port.steady_until(time_ns), whole.steady_until(time_ns))

    def take_changed(self) -> set[bytes]:
        """Addresses about which something was claimed, or forgotten, since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def owner_of_all_ports(self, address: bytes, time_ns: int, place: Place) -> int | None:
        return self._whole(address, place).at(time_ns)

    def listening(self, now_ns: int) -> dict[int, set[int]]:
        """Ports by endpoint, of those who listen now."""
        found: dict[int, set[int]] = {}
        for one in self._lasting(now_ns):
            if one.listening and one.from_ns <= now_ns:
                found.setdefault(one.endpoint, set()).add(one.port)
        return found

    def _lasting(self, now_ns: int) -> Iterator[Owned]:
        """Claims that have not ended by then."""
        for some in self._open.values():
            yield from some.values()
        last = bisect_left(self._ends, now_ns + 1, key=lambda one: one[0])
        for _, (where, port, namespace), identity in self._ends[last:]:
            yield self._spots[where, port][namespace].known[identity]

    def _put(self, spot: Spot, identity: Identity, claim: Owned) -> None:
        where, port, namespace = spot
        self.version += 1
        claims = self._spots.setdefault((where, port), {}).setdefault(namespace, _Claims())
        claims.known[identity], claims.version = claim, self.version
        self._changed.add(where[2])
        if claim.to_ns == FOREVER_NS:
            self._open.setdefault(self._place_of(claim.endpoint).host, {})[spot, identity] = claim
        else:
            insort(self._ends, (claim.to_ns, spot, identity))

    def _take(self, spot: Spot, identity: Identity, claim: Owned) -> None:
        """Out of what knows of ends."""
        if claim.to_ns == FOREVER_NS:
            del self._open[self._place_of(claim.endpoint).host][spot, identity]
        else:
            del self._ends[bisect_left(self._ends, (claim.to_ns, spot, identity))]

    def _whole(self, address: bytes, place: Place) -> Timeline:
        return self._timeline(address, ANY_PORT, 0, place)

    def _listening(self, address: bytes, port: int, transport: int, place: Place) -> Timeline:
        return NOBODY if port == ANY_PORT else self._timeline(address, port, transport, place)

    def _timeline(self, address: bytes, port: int, transport: int, place: Place) -> Timeline:
        """NOBODY where there is no claim that means something there."""
        if self._found_version != self.version or len(self._found) >= _KEPT_TIMELINES:
            self._found.clear()
            self._found_version = self.version
        key = (address, port, transport, place)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._made(key)
        return found

    def _made(self, key: Asked) -> Timeline:
        address, port, transport, place = key
        here = [claims for where in wheres(address, place) for claims in self._seen((where, port), place)]
        if not here:
            return NOBODY
        state = tuple(claims.version for claims in here)
        known = self._timelines.get(key)
        if known is not None and known[0] == state:
            return known[1]
        if len(self._timelines) >= _KEPT_TIMELINES:
            self._timelines.clear()
        chosen = (one for claims in here for one in claims.known.values())
        meant = (one for one in chosen if port == ANY_PORT or one.transport in (transport, 0))
        made = Timeline(meant, self._holder_of)
        self._timelines[key] = (state, made)
        return made

    def _seen(self, spot: tuple[Where, int], place: Place) -> Iterable[_Claims]:
        here = self._spots.get(spot)
        if here is None:
            return ()
        if not place.network_namespace:
            return here.values()
        return [here[one] for one in (EVERY_NAMESPACE, place.network_namespace) if one in here]


def _identity(claim: Owned) -> Identity:
    return (
        claim.endpoint,
        claim.transport,
        claim.realm,
        claim.network_namespace,
        claim.listening,
        claim.begin_ns,
    )
