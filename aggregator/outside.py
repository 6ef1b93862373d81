"""What was called outside since somebody looked last, and what could not be looked up: each row that came, once; of who
looks seldom, those of the last seconds.

No I/O and no clock of its own.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.held import Held, Looks
from aggregator.records import CLIENT, End
from aggregator.resolve.settling import likely
from aggregator.steps import Step
from aggregator.topology.columns import RequestRows, Rows, joined
from aggregator.topology.flows import Flows
from aggregator.topology.graph import edges_of, messages_of, nodes_of
from aggregator.topology.lookups import IPV4, IPV6, answered, asked

Bools = npt.NDArray[np.bool_]
# More rows than this at once are not looked at: they are of agents that were away, and tell of long ago.
MOST_ROWS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Came:
    """A graph of that time alone; on which hosts each client is; and the hosts of which nothing is heard now.
    `left_out`: rows that were too many. `known`, when it is asked first: ids of all outside that anybody was ever seen
    to call."""

    topology: pb.Topology = field(default_factory=pb.Topology)
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    left_out: int = 0
    known: frozenset[str] | None = None


Steps: TypeAlias = Generator[Step, None, Came]


class Outside:
    """Begins with what comes after it was first asked."""

    def __init__(self, held: Held, looks: Looks, retention_ns: int) -> None:
        self._held = held
        self._looks = looks
        self._retention_ns = retention_ns
        self._sealed: int | None = None
        self._is_third = np.empty(0, np.bool_)  # of each end
        self._asks_ipv4 = np.empty(0, np.bool_)  # of each flow

    def steps(self, now_ns: int) -> Steps:
        """Begins ALONE."""
        looks = self._looks
        before, (self._sealed, parts) = self._sealed, self._held.hot.came(self._sealed or 0)
        silent = self._silent(now_ns)
        if before is None:
            return Came(silent=silent, known=frozenset(self._held.first_seen.called_outside()))
        resolved, flows = looks.flows(now_ns)
        rows = self._chosen(joined(parts), flows, resolved.moved)
        if not len(rows) or len(rows) > MOST_ROWS:
            return Came(silent=silent, left_out=len(rows))
        if resolved.moved.any():
            rows, _ = looks.settler.pinned(rows, resolved, now_ns, keep=False)
            resolved, flows = looks.flows(now_ns)
            rows = self._chosen(rows, flows, np.zeros(len(resolved.moved), np.bool_))
        looks.name_hosts(rows.requests, flows)
        background, coverage, texts = looks.background(now_ns), looks.coverage(), looks.texts()
        if len(told := asked(rows.requests.take(answered(rows.requests)))):
            looks.note_answers(told)
        hosts = self._hosts(rows, flows)
        yield Step.BESIDE
        rows = likely(rows, resolved, coverage, now_ns)
        edges, ends = edges_of(rows, flows, texts, background, whole=False)
        nodes = nodes_of(edges, ends, {}, (), {})
        return Came(pb.Topology(nodes=nodes, edges=messages_of(edges).values()), hosts, silent)

    def _chosen(self, rows: Rows, flows: Flows, moved: Bools) -> Rows:
        """What clients did with third parties, and asked resolvers and proxies for; and what is of flows that may have
        gone to several, of which each row tells by itself."""
        self._know(flows.ends)
        goes_out = flows.outside | ((flows.target >= 0) & self._is_third[flows.target])
        goes_out[: len(moved)] |= moved
        goes_out &= flows.facts.role == CLIENT
        requests = rows.requests
        is_client = flows.facts.role[requests.flow] == CLIENT
        look_ups = (requests.key("protocol") == flow.PROTOCOL_DNS) & is_client
        passed_on = self._looks.is_target()[requests.key("host")] & is_client
        second = look_ups & self._is_second(requests, look_ups, flows)
        chosen = (goes_out[requests.flow] | look_ups | passed_on) & ~second
        return Rows(rows.flows.take(goes_out[rows.flows.flow]), requests.take(chosen))

    def _know(self, ends: Sequence[End]) -> None:
        more = [end.kind == pb.NODE_KIND_THIRD_PARTY for end in ends[len(self._is_third) :]]
        self._is_third = np.concatenate([self._is_third, np.array(more, np.bool_)])

    def _is_second(self, requests: RequestRows, look_ups: Bools, flows: Flows) -> Bools:
        """Questions for IPv6 of who asks for IPv4 too: that nobody answered one is told long after the other was."""
        both = np.zeros(len(flows.target), np.bool_)
        both[: len(self._asks_ipv4)] = self._asks_ipv4
        both[requests.flow[look_ups & (requests.key("kind") == IPV4)]] = True
        self._asks_ipv4 = both
        second: Bools = (requests.key("kind") == IPV6) & both[requests.flow]
        return second

    def _hosts(self, rows: Rows, flows: Flows) -> Mapping[str, frozenset[str]]:
        """By client."""
        found: dict[str, set[str]] = {}
        which = np.unique(np.concatenate([rows.flows.flow, rows.requests.flow]))
        of_endpoint, names = self._looks.endpoint_hosts(), self._held.tables.hosts.values
        for source, host in set(
            zip(flows.source[which].tolist(), of_endpoint[flows.facts.endpoint[which]].tolist(), strict=True)
        ):
            found.setdefault(flows.ends[source].id, set()).add("/".join(names[host]))
        return {client: frozenset(some) for client, some in found.items()}

    def _silent(self, now_ns: int) -> frozenset[str]:
        """Those that may come back."""
        hosts, names = self._held.coverage.items(), self._held.tables.hosts.values
        quiet = (host for host, one in hosts if one.is_stale(now_ns) and not one.is_gone(now_ns, self._retention_ns))
        return frozenset("/".join(names[host]) for host in quiet)
