"""Whose a flow's far address was at a time, by the claims on it. Pure."""

from aggregator.ingest.tables import Tables
from aggregator.records import ANY_PORT, SERVER, Flow
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place, is_loopback


class Claimed:
    """A server knows its client's address, and not the port that anybody listens on there."""

    def __init__(self, tables: Tables, ownership: Ownership) -> None:
        self._tables = tables
        self._ownership = ownership

    def owner(self, value: Flow, time_ns: int) -> int | None:
        place = self.place(value.endpoint)
        if value.role == SERVER:
            return self._ownership.owner_of_all_ports(value.peer_address, time_ns, place)
        return self._ownership.owner(value.peer_address, value.port, value.transport, time_ns, place)

    def steady_until(self, value: Flow, time_ns: int) -> int:
        """Until when that is the owner, or longer, if nothing else is claimed."""
        place = self.place(value.endpoint)
        return self._ownership.steady_until(value.peer_address, _port(value), value.transport, time_ns, place)

    def has_moved(self, value: Flow) -> bool:
        """Whether the address has been several endpoints'."""
        place = self.place(value.endpoint)
        return self._ownership.has_moved(value.peer_address, _port(value), value.transport, place)

    def holders(self, value: Flow) -> frozenset[int]:
        """All endpoints that the address was ever one's of."""
        place = self.place(value.endpoint)
        lines = self._ownership.timelines(value.peer_address, _port(value), value.transport, place)
        return lines[0].owners | lines[1].owners

    def is_ours(self, address: bytes, endpoint: int) -> bool:
        """Whether anybody ever had the address, as an endpoint sees it. Not loopback, which names are blocked with."""
        return not is_loopback(address) and self._ownership.knows(address, self.place(endpoint))

    def place(self, endpoint: int) -> Place:
        value = self._tables.endpoints.values[endpoint]
        return Place(value.host, self._tables.hosts.values[value.host].cluster, value.network_namespace)


def _port(value: Flow) -> int:
    return ANY_PORT if value.role == SERVER else value.port
