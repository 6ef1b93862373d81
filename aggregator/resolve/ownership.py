"""Who had an address, and which port of it, at a time: claims with time ranges, asked by time.

An address means something in its realm only: loopback in one network namespace, some in one host, the rest in
one cluster.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from plumbline.v1 import flow_pb2 as pb

from aggregator.records import ANY_PORT, FOREVER_NS, Owned

# A claim may be known a little later than its first packet: nobody else can have had the address meanwhile.
_LATE_CLAIM_NS: Final = 15_000_000_000
_KEPT_CLAIMS: Final = 64
_LOOPBACK4 = bytes(10) + b"\xff\xff\x7f"
_LOOPBACK4_MAIN = _LOOPBACK4 + b"\0\0\1"
_LOOPBACK6 = bytes(15) + b"\1"


class Place(NamedTuple):
    """From where an address is looked at."""

    host: int
    cluster: str
    network_namespace: int


def is_loopback(address: bytes) -> bool:
    return address.startswith(_LOOPBACK4) or address == _LOOPBACK6


class Ownership:
    """Claims by address. `version` grows with every change, so that answers may be kept until then."""

    def __init__(self, place_of: Callable[[int], Place]) -> None:
        self._place_of = place_of  # endpoint id -> where it is
        self._claims: dict[bytes, list[Owned]] = {}
        self.version = 0

    def add(self, claim: Owned) -> None:
        """A claim again, with another end, is the same claim."""
        claims = self._claims.setdefault(claim.address, [])
        for at, known in enumerate(claims):
            if _same(known, claim):
                if known.to_ns != claim.to_ns:
                    claims[at] = replace(known, to_ns=claim.to_ns)
                    self.version += 1
                return
        claims.append(claim)
        claims.sort(key=lambda one: one.from_ns)
        del claims[:-_KEPT_CLAIMS]
        self.version += 1

    def close(self, host: int, at_ns: int) -> None:
        """An agent has started anew and will claim again what still is so: nothing of before lasts beyond."""
        for claims in self._claims.values():
            for at, one in enumerate(claims):
                if one.to_ns == FOREVER_NS and self._place_of(one.endpoint).host == host:
                    claims[at] = replace(one, to_ns=max(at_ns, one.from_ns))
        self.version += 1

    def claims(self) -> list[Owned]:
        """All that is known, for a checkpoint."""
        return [one for claims in self._claims.values() for one in claims]

    def knows(self, address: bytes) -> bool:
        """Whether anybody of ours ever had it."""
        return address in self._claims

    def has_moved(self, address: bytes) -> bool:
        """Whether more than one endpoint has had this address as its own."""
        owners = {one.endpoint for one in self._claims.get(address, ()) if one.port == ANY_PORT}
        return len(owners) > 1

    def owner(self, address: bytes, port: int, transport: int, time_ns: int, place: Place) -> int | None:
        """The endpoint that listened on the port then, else the one whose address it was."""
        claims = self._claims.get(address)
        if claims is None and address.startswith(_LOOPBACK4):
            claims = self._claims.get(_LOOPBACK4_MAIN)
        here = [one for one in claims or () if self._means_something(one, place)]
        listening = [one for one in here if one.port == port != ANY_PORT and one.transport in (transport, 0)]
        return (
            _at(listening, time_ns) if listening and _at(listening, time_ns) is not None else self._whole(here, time_ns)
        )

    def owner_of_all_ports(self, address: bytes, time_ns: int, place: Place) -> int | None:
        here = [one for one in self._claims.get(address, ()) if self._means_something(one, place)]
        return self._whole(here, time_ns)

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

    def _means_something(self, claim: Owned, place: Place) -> bool:
        theirs = self._place_of(claim.endpoint)
        if claim.realm == pb.REALM_NAMESPACE or is_loopback(claim.address):
            return theirs.host == place.host and place.network_namespace in (0, claim.network_namespace)
        if claim.realm == pb.REALM_HOST:
            return theirs.host == place.host
        return theirs.cluster == place.cluster


def _same(one: Owned, other: Owned) -> bool:
    return replace(one, to_ns=FOREVER_NS) == replace(other, to_ns=FOREVER_NS)


def _at(claims: list[Owned], time_ns: int) -> int | None:
    """The newest claim that held at the time; else the one that began soon after it; claims are in order."""
    held = [one for one in claims if one.from_ns <= time_ns < one.to_ns]
    if held:
        return held[-1].endpoint
    late = [one for one in claims if 0 < one.from_ns - time_ns <= _LATE_CLAIM_NS]
    return late[0].endpoint if late else None
