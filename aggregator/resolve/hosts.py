"""Hosts' own addresses: what is behind one of them on a port that nobody owns. Pure."""

from collections.abc import Mapping
from typing import TypeVar

from plumbline.v1 import topology_pb2 as pb

from aggregator.ingest.tables import Tables
from aggregator.records import End
from aggregator.resolve.places import Place, is_loopback
from aggregator.resolve.vertices import prefixed
from aggregator.topology.coverage import HostCoverage

K = TypeVar("K", bytes, int)


class HostAddresses:
    """As they were when `take_changed` was called last."""

    def __init__(self, tables: Tables, coverage: Mapping[int, HostCoverage], cluster: str) -> None:
        self._tables = tables
        self._coverage = coverage
        self._cluster = cluster
        self._host_at: dict[bytes, int] = {}
        self._intervals: dict[int, int] = {}

    def take_changed(self) -> tuple[set[bytes], set[int]]:
        """Addresses that are another host's by now, and hosts that report more or less often."""
        host_at = {address: host for host, one in self._coverage.items() for address in one.addresses}
        intervals = {host: one.interval_ns for host, one in self._coverage.items()}
        changed = _differing(self._host_at, host_at), _differing(self._intervals, intervals)
        self._host_at, self._intervals = host_at, intervals
        return changed

    def addresses(self) -> set[bytes]:
        return set(self._host_at)

    def have(self, address: bytes) -> bool:
        return address in self._host_at

    def behind(self, address: bytes, place: Place) -> End | None:
        """A host by its address, as it is seen from there."""
        host = place.host if is_loopback(address) else self._host_at.get(address)
        return self.end_of(host) if host is not None else None

    def at(self, address: bytes, otherwise: int) -> int:
        """Whose address it is."""
        return self._host_at.get(address, otherwise)

    def end_of(self, host: int) -> End:
        key = self._tables.hosts.values[host]
        return End(prefixed(key, key.name, self._cluster), pb.NODE_KIND_HOST, key.name, key.cluster)


def _differing(old: Mapping[K, int], new: Mapping[K, int]) -> set[K]:
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} if old != new else set()
