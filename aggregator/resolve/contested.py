"""Flows whose far address changed hands, with all who have had it, and what those say of themselves. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from aggregator.ingest.tables import Tables
from aggregator.records import ANY_PORT, AS_TIME_TELLS, CLIENT, SERVER, Flow
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place
from aggregator.resolve.presence import Presence
from aggregator.resolve.services import Masking
from aggregator.resolve.serving import Served
from aggregator.resolve.timeline import Timeline

# One end of flows: address, role, transport, and the port where that end is the server.
_Own: TypeAlias = tuple[bytes, int, int, int]
# With the other end: its address, or its node where who calls does not know it, and the server's port.
_Pair: TypeAlias = tuple[_Own, bytes | int, int]


@dataclass(slots=True)
class Holder:
    """One node that has had the address. Keys of presence: `pair` are its flows with this very other end, `any_` all
    that it does at the address in this role."""

    node: int
    endpoint: int
    host: int
    pair: list[int]
    any_: int


@dataclass(slots=True)
class Contested:
    """One flow with such an address at its far end. `caller_moved`: that of its own end is one, too. `server_tells`:
    callers cannot, for they asked a Service that several nodes are behind."""

    flow: Flow
    key: int
    of_port: Timeline
    whole: Timeline
    holders: list[Holder]
    caller_moved: bool
    server_tells: bool


class ContestedFlows:
    """By flow. To be made anew with `index` when flows or claims are new."""

    def __init__(
        self,
        tables: Tables,
        ownership: Ownership,
        presence: Presence,
        node_of: Callable[[int], int],
        place_of: Callable[[int], Place],
        served_of: Callable[[int], Served | None],
    ) -> None:
        self._tables = tables
        self._ownership = ownership
        self._presence = presence
        self._node_of = node_of
        self._place_of = place_of
        self._served_of = served_of
        self._flows: dict[int, Contested] = {}
        self._numbers = count(1)
        self._groups: dict[tuple[_Own, int], int] = {}

    def __getitem__(self, flow: int) -> Contested:
        return self._flows[flow]

    def index(self, moved: Iterable[int], awake: Iterable[int]) -> list[int]:
        """Of the flows `moved` the far address changed hands. Gives the flows whose servers cannot say who called."""
        flows, contested = self._tables.flows.values, set(moved)
        addresses = {flows[one].peer_address for one in contested}
        keys: dict[int, tuple[int, ...]] = {}
        pairs: defaultdict[_Pair, dict[int, int]] = defaultdict(dict)
        uncertain: set[int] = set()
        for one in awake:
            value = flows[one]
            if value.local_address not in addresses and one not in contested:
                continue
            base = self._tables.flows.id_of(value._replace(far_endpoint=AS_TIME_TELLS))
            node = self._node_of(value.endpoint)
            keys[one] = keys[base] = (base, self._group(_own_end(value), node))
            served = self._served_of(base)
            for far in self._far_ends(value, served):
                pairs[_own_end(value), *far][base] = node
            uncertain.update((base,) if served is not None and not served.is_certain else ())
        self._flows = {one: self._made(one, pairs, uncertain) for one in contested}
        self._presence.watch(keys)
        used = {group for _, group in keys.values()}
        self._groups = {own: group for own, group in self._groups.items() if group in used}
        asked = (one for one in self._flows.values() if one.flow.role == SERVER and not one.server_tells)
        calling = {key for one in asked for holder in one.holders for key in holder.pair}
        return [one for one, (base, _) in keys.items() if base in calling]

    @staticmethod
    def _far_ends(value: Flow, served: Served | None) -> Iterable[tuple[bytes | int, int]]:
        """By address and port; those who answer for a Service by their nodes, unless they see another caller."""
        if served is None:
            return ((value.peer_address, value.port),)
        return () if served.masking is Masking.ALWAYS else served.ways

    def answering(self) -> Iterator[tuple[int, list[int]]]:
        """Calling flows of which the far address changed hands, each with the nodes that have answered it."""
        for one, way in self._flows.items():
            if way.flow.role == CLIENT:
                yield one, [holder.node for holder in way.holders if holder.pair]

    def _group(self, own: _Own, node: int) -> int:
        known = self._groups.get((own, node))
        if known is None:
            known = self._groups[own, node] = -next(self._numbers)
        return known

    def _made(self, one: int, pairs: Mapping[_Pair, Mapping[int, int]], uncertain: Collection[int]) -> Contested:
        value = self._tables.flows.values[one]
        place, is_server = self._place_of(value.endpoint), value.role == SERVER
        port = ANY_PORT if is_server else value.port
        of_port, whole = self._ownership.timelines(value.peer_address, port, value.transport, place)
        far = (value.peer_address, CLIENT if is_server else SERVER, value.transport, port)
        paired = dict(pairs.get((far, value.local_address, value.port), {}))
        paired |= pairs.get((far, self._node_of(value.endpoint), value.port), {}) if is_server else {}
        holders: dict[int, Holder] = {}
        for endpoint in sorted(of_port.owners | whole.owners):
            node, host = self._node_of(endpoint), self._tables.endpoints.values[endpoint].host
            mine = [key for key, theirs in paired.items() if theirs == node]
            holders.setdefault(node, Holder(node, endpoint, host, mine, self._group(far, node)))
        own = self._ownership.timelines(value.local_address, ANY_PORT, 0, place)[1]
        base = self._tables.flows.id_of(value._replace(far_endpoint=AS_TIME_TELLS))
        server_tells = is_server and any(key in uncertain for one in holders.values() for key in one.pair)
        return Contested(value, base, of_port, whole, list(holders.values()), own.moved, server_tells)


def _own_end(value: Flow) -> _Own:
    return value.local_address, value.role, value.transport, value.port if value.role == SERVER else ANY_PORT
