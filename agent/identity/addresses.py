"""Who owned which address and port, and from when to when.

Pure; times are nanoseconds of the wall clock. A place (realm, network namespace, address, port, transport) has one
owner at a time: a second one closes the range of the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from plumbline.v1.flow_pb2 import REALM_CLUSTER, REALM_HOST, REALM_NAMESPACE, Realm

from agent.identity.sockets import ANY_V4, ANY_V6, V4_MAPPED, WILDCARDS, is_link_local, is_loopback

EVERY_PORT = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claim holds. `network_namespace` is 0 outside of realm NAMESPACE; port 0 and transport 0: every one."""

    realm: Realm
    network_namespace: int
    address: bytes
    port: int
    transport: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One endpoint at one place, in the network namespace that it has; `to_ns` None: still so."""

    place: Place
    endpoint: int
    network_namespace: int
    listening: bool
    from_ns: int
    to_ns: int | None = None


class Ownership:
    """The open claims, and the changes that were not reported yet."""

    def __init__(self) -> None:
        self._open: dict[Place, Claim] = {}
        self._changes: list[Claim] = []

    def claim(self, place: Place, endpoint: int, network_namespace: int, listening: bool, from_ns: int) -> None:
        """Opens a range. The same owner again changes nothing; another one ends there."""
        before = self._open.get(place)
        if before is not None:
            if before.endpoint == endpoint:
                return
            self.release(place, from_ns)
        claim = Claim(place, endpoint, network_namespace, listening, from_ns)
        self._open[place] = claim
        self._changes.append(claim)

    def release(self, place: Place, to_ns: int) -> None:
        """Closes a range; nothing when there is none."""
        claim = self._open.pop(place, None)
        if claim is not None:
            self._changes.append(replace(claim, to_ns=max(to_ns, claim.from_ns)))

    def owner(self, place: Place) -> int | None:
        claim = self._open.get(place)
        return claim.endpoint if claim else None

    @property
    def size(self) -> int:
        return len(self._open)

    def open_claims(self) -> list[Claim]:
        return list(self._open.values())

    def owners(self) -> set[int]:
        return {claim.endpoint for claim in self._open.values()}

    def take_changes(self) -> list[Claim]:
        changes, self._changes = self._changes, []
        return changes


def place_of(address: bytes, port: int, transport: int, network_namespace: int, host_only: "HostNetworks") -> Place:
    realm = realm_of(address, host_only)
    return Place(realm, network_namespace if realm == REALM_NAMESPACE else 0, address, port, transport)


def listening_addresses(address: bytes, namespace_addresses: Iterable[bytes]) -> list[bytes]:
    """What a listener on an address can be reached by: a wildcard is every address of its namespace.

    The IPv6 wildcard takes IPv4 too, unless its program forbade it, which nothing outside of it can see.
    """
    if address not in WILDCARDS:
        return [address]
    addresses = list(namespace_addresses)
    if address == ANY_V4:
        return [a for a in addresses if a.startswith(V4_MAPPED)] or [ANY_V4]
    return addresses or [ANY_V6]


class HostNetworks:
    """Networks that mean something on this host only: behind its private container bridges."""

    def __init__(self, networks: Iterable[tuple[bytes, int]] = ()) -> None:
        """`networks`: (16 bytes address, prefix length of 128)."""
        self._networks = [(_prefix(address, length), length) for address, length in networks]

    def __contains__(self, address: bytes) -> bool:
        return any(_prefix(address, length) == network for network, length in self._networks)


def realm_of(address: bytes, host_only: HostNetworks) -> Realm:
    if is_loopback(address):
        return REALM_NAMESPACE
    return REALM_HOST if is_link_local(address) or address in host_only else REALM_CLUSTER


def _prefix(address: bytes, length: int) -> int:
    return int.from_bytes(address, "big") >> (128 - length)
