"""Who owns which addresses and ports of this host's network namespaces, kept up as namespaces and listeners change.

Pure. A pod or container in a namespace of its own owns that namespace's addresses on every port; whoever listens
owns (address, port), a wildcard once for each address of its namespace.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agent.identity.addresses import (
    EVERY_PORT,
    Claim,
    HostNetworks,
    Ownership,
    Place,
    listening_addresses,
    place_of,
)
from agent.identity.sockets import WILDCARDS, is_link_local, is_loopback

_EVERY_TRANSPORT = 0
MOST_CLAIMS = 50_000


@dataclass(frozen=True, slots=True)
class Socket:
    """A listening one."""

    network_namespace: int
    address: bytes
    port: int
    transport: int


@dataclass(frozen=True, slots=True)
class Listening:
    endpoint: int
    cgroup_id: int
    process_id: int
    command: str


class Claims:
    """Times are nanoseconds of the wall clock."""

    def __init__(self, host_only: HostNetworks) -> None:
        self.host_only = host_only
        # Claims beyond the bound, since the start: what they are about stays unresolved.
        self.refused = 0
        self.listeners: dict[Socket, Listening] = {}
        self._ownership = Ownership()
        self._addresses: dict[int, list[bytes]] = {}
        self._owners: dict[int, int] = {}
        # Since the changes were taken: a new owner begins after the one before it.
        self._released: dict[Place, int] = {}

    def addresses(self, network_namespace: int) -> list[bytes] | None:
        """None: never read."""
        return self._addresses.get(network_namespace)

    def all_addresses(self) -> set[bytes]:
        return {one for addresses in self._addresses.values() for one in addresses}

    def namespace_of(self, address: bytes) -> int:
        """Of an address that one namespace only has; else 0."""
        having = [namespace for namespace, addresses in self._addresses.items() if address in addresses]
        return having[0] if len(having) == 1 else 0

    def owner_of_namespace(self, network_namespace: int) -> int:
        return self._owners.get(network_namespace, 0)

    def has_addresses(self, network_namespace: int, addresses: list[bytes], since_ns: int, now_ns: int) -> None:
        """What a namespace has now. A new address is owned since `since_ns` if nobody else had it, else from now on."""
        before = self._addresses.get(network_namespace, [])
        self._addresses[network_namespace] = addresses
        lost = set(before) - set(addresses)
        for claim in self._ownership.open_claims() if lost else ():
            if claim.network_namespace == network_namespace and claim.place.address in lost:
                self._release(claim.place, now_ns)
        new = [address for address in addresses if address not in before]
        self._claim_whole(network_namespace, new, since_ns, now_ns)
        for socket, listening in list(self.listeners.items()):
            if new and socket.network_namespace == network_namespace and socket.address in WILDCARDS:
                self._claim_listening(socket, listening, since_ns, now_ns)

    def owns(self, network_namespace: int, endpoint: int, since_ns: int, now_ns: int) -> None:
        """An endpoint that has a namespace to itself; of several in one pod, the first."""
        if network_namespace not in self._owners:
            self._owners[network_namespace] = endpoint
            self._claim_whole(network_namespace, self._addresses.get(network_namespace, []), since_ns, now_ns)

    def shared(self, network_namespace: int) -> None:
        """Nobody has this namespace to itself after all, and never had."""
        if self._owners.pop(network_namespace, None) is None:
            return
        for claim in self._ownership.open_claims():
            if claim.network_namespace == network_namespace and claim.place.port == EVERY_PORT:
                self._release(claim.place, claim.from_ns)

    def listens(self, socket: Socket, listening: Listening, from_ns: int) -> None:
        if socket not in self.listeners and len(self.listeners) >= MOST_CLAIMS:
            self.refused += 1
            return
        self.listeners[socket] = listening
        self._claim_listening(socket, listening, from_ns, from_ns)

    def serves(self, socket: Socket, listening: Listening, from_ns: int) -> None:
        """A connection shows that someone listens here; a wildcard's own announcement says more."""
        place = self._place(socket, socket.address)
        if self._ownership.owner(place) != listening.endpoint:
            self.listens(socket, listening, from_ns)

    def stops(self, socket: Socket, now_ns: int) -> None:
        listening = self.listeners.pop(socket, None)
        if listening is None:
            return
        for address in listening_addresses(socket.address, self._addresses.get(socket.network_namespace, [])):
            place = self._place(socket, address)
            if self._ownership.owner(place) == listening.endpoint:
                self._release(place, now_ns)

    def gone(self, endpoints: Collection[int], now_ns: int) -> None:
        """Endpoints that are no more own nothing."""
        for claim in self._ownership.open_claims():
            if claim.endpoint in endpoints:
                self._release(claim.place, now_ns)
        for namespace in [namespace for namespace, owner in self._owners.items() if owner in endpoints]:
            del self._owners[namespace]
            self._addresses.pop(namespace, None)
        self.listeners = {socket: one for socket, one in self.listeners.items() if one.endpoint not in endpoints}

    def namespaces_gone(self, namespaces: Collection[int], now_ns: int) -> None:
        """Nobody is in them any more: what is met under one of these numbers later is another namespace."""
        for claim in self._ownership.open_claims():
            if claim.network_namespace in namespaces:
                self._release(claim.place, now_ns)
        for namespace in namespaces:
            self._owners.pop(namespace, None)
            self._addresses.pop(namespace, None)
        self.listeners = {
            socket: one for socket, one in self.listeners.items() if socket.network_namespace not in namespaces
        }

    def open(self) -> list[Claim]:
        return self._ownership.open_claims()

    def owners(self) -> set[int]:
        return self._ownership.owners()

    @property
    def size(self) -> int:
        return self._ownership.size

    def namespaces(self) -> list[int]:
        """Those whose addresses were read."""
        return list(self._addresses)

    def take_changes(self) -> list[Claim]:
        self._released.clear()
        return self._ownership.take_changes()

    def _claim_whole(self, network_namespace: int, addresses: Iterable[bytes], since_ns: int, now_ns: int) -> None:
        owner = self._owners.get(network_namespace)
        for address in addresses:
            if owner is not None and not is_loopback(address) and not is_link_local(address):
                place = place_of(address, EVERY_PORT, _EVERY_TRANSPORT, network_namespace, self.host_only)
                self._claim(place, owner, network_namespace, False, since_ns, now_ns)

    def _claim_listening(self, socket: Socket, listening: Listening, since_ns: int, now_ns: int) -> None:
        for address in listening_addresses(socket.address, self._addresses.get(socket.network_namespace, [])):
            place = self._place(socket, address)
            self._claim(place, listening.endpoint, socket.network_namespace, True, since_ns, now_ns)

    def _claim(
        self, place: Place, endpoint: int, network_namespace: int, listening: bool, since_ns: int, now_ns: int
    ) -> None:
        if self._ownership.owner(place) is None and self._ownership.size >= MOST_CLAIMS:
            self.refused += 1
            return
        from_ns = max(since_ns, self._released.get(place, 0)) if self._ownership.owner(place) is None else now_ns
        self._ownership.claim(place, endpoint, network_namespace, listening, from_ns)

    def _release(self, place: Place, to_ns: int) -> None:
        self._released[place] = to_ns
        self._ownership.release(place, to_ns)

    def _place(self, socket: Socket, address: bytes) -> Place:
        return place_of(address, socket.port, socket.transport, socket.network_namespace, self.host_only)
