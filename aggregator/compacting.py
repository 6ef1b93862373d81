"""What nothing refers to any more is given back: a state without it, whose ids are dense again. Pure.

Something refers to a flow: a row that is kept, or a connection that is open; to an endpoint: such a flow, a claim, what
it used, or what DNS told it, as long as rows are kept; to a name: a row. An agent may refer to what it defined for as
long as it runs, and nobody knows what it has forgotten: where it does, it is asked to say it again (see Ingest.lacks).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from plumbline.v1.columns import FIRST_NAME_ID, OTHER_NAME

from aggregator.ingest.batches import FIXED_NAMES, other_flow, other_of
from aggregator.ingest.tables import Table, Tables
from aggregator.records import SECOND_NS, Endpoint, Flow, Name
from aggregator.state import State
from aggregator.topology.hot import HotRows

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# A host that was silent for so long has gone: what was open there is open no more.
_GONE_NS: Final = 24 * 3600 * SECOND_NS
# Of all agents' ids, those that are defined: beyond half of it there is a look at which are used.
MANY_DEFINITIONS: Final = 8_000_000
_OTHER: Final = Name(0, FIXED_NAMES[OTHER_NAME])
# Agents wait for it, and have to say much again.
_PAUSE_NS: Final = 600 * SECOND_NS
_LONGEST_PAUSE_NS: Final = 24 * 3600 * SECOND_NS


class GivenBack(NamedTuple):
    """How many, and how long agents waited for it."""

    hosts: int
    endpoints: int
    flows: int
    names: int
    definitions: int
    seconds: float = 0.0


@dataclass(slots=True)
class Room:
    """When to give back. `most`: what tables can hold; `many`: what may be exceeded, and is much."""

    most: Mapping[str, int]
    many: Mapping[str, int]
    _left: Mapping[str, int] = field(default_factory=dict)
    _is_settled: bool = True  # what agents use still they have said again, since the last time
    _looked_ns: int = 0
    _pause_ns: int = 0

    def is_short(self, held: Mapping[str, int], now_ns: int) -> bool:
        """Whether a table is half full, and has twice as much as was left the last time; or is all but full."""
        if now_ns - self._looked_ns < self._pause_ns:
            return False
        at_once, self._is_settled = not self._is_settled, True
        if at_once:
            self._left = dict(held)
        if not any(held[name] >= self._enough(name, much) for name, much in (*self.most.items(), *self.many.items())):
            return False
        # Of what is all in use, nothing can be given back: to try it costs agents as much as ever.
        self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS) if at_once else _PAUSE_NS
        self._looked_ns, self._is_settled = now_ns, False
        return True

    def _enough(self, name: str, much: int) -> int:
        enough = max(much // 2, 2 * self._left.get(name, 0), 1)
        return min(enough, much * 19 // 20) if name in self.most else enough


@dataclass(slots=True)
class Ids:
    """Of one table: which stay, and their ids of now by those of before."""

    stay: Bools
    now: Ints

    @classmethod
    def of(cls, stay: Bools) -> "Ids":
        now = np.full(len(stay), -1, np.int64)
        now[stay] = np.arange(np.count_nonzero(stay))
        return cls(stay, now)

    @property
    def before(self) -> list[int]:
        found: list[int] = np.flatnonzero(self.stay).tolist()
        return found

    @property
    def given_back(self) -> int:
        return int(np.count_nonzero(~self.stay))


def compacted(state: State, now_ns: int, retention_ns: int) -> tuple[State, GivenBack]:
    """Without what nothing refers to. The state that is given is of no use after it."""
    tables, definitions = state.tables, state.tables.definitions()
    _let_go(state, now_ns - max(_GONE_NS, retention_ns))
    _age(state, now_ns, retention_ns)
    others = _others(tables, state.dropped)
    state.lives.grow(len(tables.flows))
    state.lives.active[: len(others[1])][others[1]] = 0  # what ends there is counted elsewhere from now on
    flows = Ids.of(_flows_in_use(state))
    endpoints = Ids.of(_endpoints_in_use(state, flows, now_ns - retention_ns))
    hosts = Ids.of(_hosts_in_use(state, endpoints))
    names = Ids.of(_names_in_use(state))
    for epoch in tables.epochs.values():
        epoch.endpoints.renumber(endpoints.now, others[0])
        epoch.flows.renumber(flows.now, others[1])
        epoch.names.renumber(names.now, others[2], FIRST_NAME_ID)
    state.tables = _tables(tables, hosts, endpoints, flows, names)
    _renumber(state, hosts.now, endpoints.now, flows, names.now)
    definitions -= state.tables.definitions()
    return state, GivenBack(hosts.given_back, endpoints.given_back, flows.given_back, names.given_back, definitions)


def _age(state: State, now_ns: int, retention_ns: int) -> None:
    """At a start nobody has let go of what grew old meanwhile."""
    hot = HotRows(retention_ns)
    state.hot = list(hot.recent(state.hot, now_ns))
    state.lives.sleep(hot.oldest_end_ns(now_ns))
    state.usage.age(now_ns)
    state.claims = [one for one in state.claims if one.to_ns >= now_ns - retention_ns]


def _let_go(state: State, before_ns: int) -> None:
    """Hosts that were silent since then, as if they had never been there: what they had open is not known to end."""
    gone = {host for host, known in state.coverage.items() if known.heard_ns < before_ns}
    if not gone:
        return
    endpoints, flows = state.tables.endpoints.values, state.tables.flows.values
    for host in gone:
        del state.coverage[host]
        state.tables.epochs.pop(host, None)
    state.claims = [one for one in state.claims if endpoints[one.endpoint].host not in gone]
    state.lives.grow(len(flows))
    for one in np.flatnonzero(state.lives.active).tolist():
        if endpoints[flows[one].endpoint].host in gone:
            state.lives.active[one] = 0


def _others(tables: Tables, dropped: Counter[str]) -> tuple[Bools, Bools, Bools]:
    """Of endpoints, flows and names: those that stand for what found no room, where anything did not."""
    endpoints, flows, names = (np.zeros(len(one), np.bool_) for one in (tables.endpoints, tables.flows, tables.names))
    if dropped["endpoints_full"]:
        hosts = (tables.endpoints.known(other_of(host)) for host in range(len(tables.hosts)))
        endpoints[[one for one in hosts if one is not None]] = True
        flows |= endpoints[[one.endpoint for one in tables.flows.values]]
    if dropped["flows_full"]:
        values = enumerate(tables.flows.values)
        flows[[at for at, one in values if one == other_flow(one.endpoint, one.role, one.transport)]] = True
    if dropped["names_full"]:
        names[[one for one in (tables.names.known(_OTHER),) if one is not None]] = True
    return endpoints, flows, names


def _flows_in_use(state: State) -> Bools:
    used = (state.lives.awake | (state.lives.active > 0))[: len(state.tables.flows)]
    for _, _, rows in state.hot:
        used[rows.flows.flow] = used[rows.requests.flow] = True
    return used


def _endpoints_in_use(state: State, flows: Ids, since_ns: int) -> Bools:
    values, used = state.tables.flows.values, np.zeros(len(state.tables.endpoints), np.bool_)
    ends = [end for one in flows.before for end in (values[one].endpoint, values[one].far_endpoint) if end >= 0]
    used[ends] = True
    used[[claim.endpoint for claim in state.claims]] = True
    used[state.usage.endpoints()] = True
    used[list(state.dns.told_since(since_ns))] = True
    return used


def _hosts_in_use(state: State, endpoints: Ids) -> Bools:
    used = np.zeros(len(state.tables.hosts), np.bool_)
    used[[state.tables.endpoints.values[one].host for one in endpoints.before]] = True
    used[[*state.coverage, *state.tables.epochs]] = True
    return used


def _names_in_use(state: State) -> Bools:
    used = np.zeros(len(state.tables.names), np.bool_)
    for text in FIXED_NAMES.values():
        if (fixed := state.tables.names.known(Name(0, text))) is not None:
            used[fixed] = True
    for _, _, rows in state.hot:
        used[rows.requests.key("name")] = used[rows.requests.key("host")] = True
    return used


def _tables(before: Tables, hosts: Ids, endpoints: Ids, flows: Ids, names: Ids) -> Tables:
    host_now, endpoint_now = hosts.now.tolist(), endpoints.now.tolist()

    def endpoint(one: Endpoint) -> Endpoint:
        return one if host_now[one.host] == one.host else one._replace(host=host_now[one.host])

    def flow(one: Flow) -> Flow:
        far = one.far_endpoint
        return Flow(endpoint_now[one.endpoint], *one[1:-1], endpoint_now[far] if far >= 0 else far)

    return Tables(
        Table.of(before.hosts.values[one] for one in hosts.before),
        Table.of((endpoint(before.endpoints.values[one]) for one in endpoints.before), before.endpoints.improved),
        Table.of(flow(before.flows.values[one]) for one in flows.before),
        Table.of(before.names.values[one] for one in names.before),
        {host_now[host]: epoch for host, epoch in before.epochs.items()},
    )


def _renumber(state: State, hosts: Ints, endpoints: Ints, flows: Ids, names: Ints) -> None:
    """What is known by these ids."""
    state.dns = state.dns.renumbered(endpoints)
    state.coverage = {int(hosts[host]): known for host, known in state.coverage.items()}
    state.lives = state.lives.renumbered(np.flatnonzero(flows.stay))
    state.claims = [replace(one, endpoint=int(endpoints[one.endpoint])) for one in state.claims]
    now = ((cluster, int(hosts[host]) if host >= 0 else host, address) for cluster, host, address in state.ours)
    # Of a host that is gone nobody asks for its own addresses any more.
    state.ours = {where for where in now if where[0] or where[1] >= 0}
    state.usage = state.usage.renumbered(endpoints, hosts)
    state.hot = [(tier, start, rows.renumbered(flows.now, names)) for tier, start, rows in state.hot]
