"""Which flows something new may be about: by whether they are awake, their far address, and their endpoints. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable

import numpy as np

from aggregator.ingest.tables import Tables
from aggregator.resolve.places import LOOPBACK4, LOOPBACK4_MAIN
from aggregator.resolve.resolved import Bools, Ints


class Seen:
    """What was there when it was looked at last."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._awake = np.empty(0, np.bool_)
        self._endpoint = np.empty(0, np.int64)
        self._by_peer: defaultdict[bytes, list[int]] = defaultdict(list)
        self._loopback: list[int] = []

    def note(self, awake: Bools) -> tuple[list[int], list[int]]:
        """Those that woke up, and those that fell asleep, since the last time."""
        new = self._tables.flows.values[len(self._awake) : len(awake)]
        for one, flow in enumerate(new, len(self._awake)):
            self._by_peer[flow.peer_address].append(one)
            if any(flow.asked_address) and flow.asked_address != flow.peer_address:
                self._by_peer[flow.asked_address].append(one)
            if flow.peer_address.startswith(LOOPBACK4):
                self._loopback.append(one)
        self._endpoint = np.concatenate([self._endpoint, np.array([flow.endpoint for flow in new], np.int64)])
        before = np.concatenate([self._awake, np.zeros(len(new), np.bool_)])
        self._awake = awake
        return np.flatnonzero(awake & ~before).tolist(), np.flatnonzero(before & ~awake).tolist()

    def of_peers(self, addresses: Iterable[bytes]) -> Iterable[int]:
        """At the far end, or asked for. All of loopback means the main one where nobody has it as its own."""
        for address in addresses:
            yield from self._loopback if address == LOOPBACK4_MAIN else self._by_peer.get(address, ())

    def of_endpoints(self, endpoints: Collection[int], far: Ints) -> list[int]:
        """At either end."""
        if not endpoints:
            return []
        wanted = np.array(sorted(endpoints), np.int64)
        found: list[int] = np.flatnonzero(np.isin(self._endpoint, wanted) | np.isin(far, wanted)).tolist()
        return found
