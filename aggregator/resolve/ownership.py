"""Who had an address, and which port of it, at a time: claims with time ranges, asked by time.

An address means something in its realm only: loopback in one network namespace, some in one host, the rest in
one cluster.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from plumbline.v1 import flow_pb2 as pb

from aggregator.records import ANY_PORT, FOREVER_NS, Owned

# A claim may be known a little later than its first packet: nobody else can have had the address meanwhile.
_LATE_CLAIM_NS: Final = 15_000_000_000
MOST_CLAIMS: Final = 1_000_000
_MOST_REMEMBERED: Final = 200_000
_NO_HOST: Final = -1
_LOOPBACK4 = bytes(10) + b"\xff\xff\x7f"
_LOOPBACK4_MAIN = _LOOPBACK4 + b"\0\0\1"
_LOOPBACK6 = bytes(15) + b"\1"
# (cluster, host, address): an address of a cluster is on no host, one of a host in no cluster.
Where: TypeAlias = tuple[str, int, bytes]


class Place(NamedTuple):
    """From where an address is looked at."""

    host: int
    cluster: str
    network_namespace: int


def is_loopback(address: bytes) -> bool:
    return address.startswith(_LOOPBACK4) or address == _LOOPBACK6


class Ownership:
    """Claims by realm and address. `version` grows with every change, so that answers may be kept until then."""

    def __init__(self, place_of: Callable[[int], Place], most_claims: int = MOST_CLAIMS) -> None:
        self._place_of = place_of  # endpoint id -> where it is
        self._claims: dict[Where, list[Owned]] = {}
        self._most_claims = most_claims
        self._count = 0
        self.ours: set[Where] = set()
        self.version = 0
        self.dropped = 0  # claims that had no room

    def __len__(self) -> int:
        return self._count

    def add(self, claim: Owned) -> None:
        """A claim again, with another end, is the same claim."""
        where = self._where(claim)
        claims = self._claims.get(where, [])
        for at, known in enumerate(claims):
            if _same(known, claim):
                if known.to_ns != claim.to_ns:
                    claims[at] = replace(known, to_ns=claim.to_ns)
                    self.version += 1
                return
        if self._count >= self._most_claims:
            self.dropped += 1
            return
        self._claims[where] = claims
        self.remember((where,))
        insort(claims, claim, key=lambda one: one.from_ns)
        self._count += 1
        self.version += 1

    def close(self, host: int, at_ns: int) -> None:
        """An agent has started anew and will claim again what still is so: nothing of before lasts beyond."""
        for claims in self._claims.values():
            for at, one in enumerate(claims):
                if one.to_ns == FOREVER_NS and self._place_of(one.endpoint).host == host:
                    claims[at] = replace(one, to_ns=max(at_ns, one.from_ns))
        self.version += 1

    def forget(self, before_ns: int) -> None:
        """Claims that had ended before then: no row of that time is left."""
        for where, claims in list(self._claims.items()):
            kept = [one for one in claims if one.to_ns >= before_ns]
            if len(kept) == len(claims):
                continue
            self._count -= len(claims) - len(kept)
            self.version += 1
            if kept:
                self._claims[where] = kept
            else:
                del self._claims[where]

    def remember(self, wheres: Iterable[Where]) -> None:
        """Addresses that are ours, whoever has them: as many as there is room for."""
        for where in wheres:
            if len(self.ours) < _MOST_REMEMBERED:
                self.ours.add(where)

    def claims(self) -> list[Owned]:
        """All that is known, for a checkpoint; `ours` is the other half."""
        return [one for claims in self._claims.values() for one in claims]

    def knows(self, address: bytes, place: Place) -> bool:
        """Whether anybody there ever had it."""
        return any(where in self.ours for where in _wheres(address, place))

    def has_moved(self, address: bytes, port: int, transport: int, place: Place) -> bool:
        """Whether more than one endpoint has had this address as its own, or listened on this port of it."""
        here = self._here(address, place)
        owners = {one.endpoint for one in here if one.port == ANY_PORT}
        return len(owners) > 1 or len({one.endpoint for one in _listening(here, port, transport)}) > 1

    def owner(self, address: bytes, port: int, transport: int, time_ns: int, place: Place) -> int | None:
        """The endpoint that listened on the port then, else the one whose address it was."""
        here = self._here(address, place)
        if not here and address.startswith(_LOOPBACK4):
            here = self._here(_LOOPBACK4_MAIN, place)
        listener = _at(_listening(here, port, transport), time_ns)
        return self._whole(here, time_ns) if listener is None else listener

    def owner_of_all_ports(self, address: bytes, time_ns: int, place: Place) -> int | None:
        return self._whole(self._here(address, place), time_ns)

    def listening(self, now_ns: int) -> dict[int, set[int]]:
        """Ports by endpoint, of those who listen now."""
        found: dict[int, set[int]] = {}
        for claims in self._claims.values():
            for one in claims:
                if one.listening and one.from_ns <= now_ns < one.to_ns:
                    found.setdefault(one.endpoint, set()).add(one.port)
        return found

    @staticmethod
    def _whole(here: list[Owned], time_ns: int) -> int | None:
        return _at([one for one in here if one.port == ANY_PORT], time_ns)

    def _where(self, claim: Owned) -> Where:
        theirs = self._place_of(claim.endpoint)
        is_local = claim.realm in (pb.REALM_NAMESPACE, pb.REALM_HOST) or is_loopback(claim.address)
        return ("", theirs.host, claim.address) if is_local else (theirs.cluster, _NO_HOST, claim.address)

    def _here(self, address: bytes, place: Place) -> list[Owned]:
        """Claims of the address that mean something there, in order of their beginning."""
        local, shared = (self._claims.get(where, []) for where in _wheres(address, place))
        of_host = [one for one in local if _is_in_realm(one, place)]
        return sorted(of_host + shared, key=lambda one: one.from_ns) if of_host else shared


def _wheres(address: bytes, place: Place) -> tuple[Where, Where]:
    return ("", place.host, address), (place.cluster, _NO_HOST, address)


def _is_in_realm(claim: Owned, place: Place) -> bool:
    """Of a claim on the same host."""
    is_of_namespace = claim.realm == pb.REALM_NAMESPACE or is_loopback(claim.address)
    return not is_of_namespace or place.network_namespace in (0, claim.network_namespace)


def _listening(here: list[Owned], port: int, transport: int) -> list[Owned]:
    return [one for one in here if one.port == port != ANY_PORT and one.transport in (transport, 0)]


def _same(one: Owned, other: Owned) -> bool:
    return replace(one, from_ns=0, to_ns=0) == replace(other, from_ns=0, to_ns=0)


def _at(claims: list[Owned], time_ns: int) -> int | None:
    """The newest claim that held at the time; else the one that began soon after it; claims are in order."""
    held = [one for one in claims if one.from_ns <= time_ns < one.to_ns]
    if held:
        return held[-1].endpoint
    late = [one for one in claims if 0 < one.from_ns - time_ns <= _LATE_CLAIM_NS]
    return late[0].endpoint if late else None
