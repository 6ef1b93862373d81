"""Everything a question may look at, assembled in one place: what was seen, and what was declared.

Pure: a Case is frozen and made of values only, so that an answer can be had again from the same Case.
Indexes are made once, when first asked for.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Edge, Node, Topology

from aggregator.catalog.model import Declarations
from aggregator.insight.callgraph import CallGraph
from aggregator.insight.edges import is_background, is_used
from aggregator.insight.hardness import Served, served
from aggregator.insight.joining import Join, declared_hosts, host_name, join
from aggregator.insight.lookups import Failed, clients_that_ask, failed_lookups
from aggregator.insight.standing import Standing
from aggregator.insight.watched import Watch, watch
from aggregator.resolve.vendors import Vendor, Vendors

Json = dict[str, Any]

# The rows of one list in one answer. What lies beyond is counted.
MOST_ROWS = 1000


class Verdict(Enum):
    """What the command's exit status says; the names of insight.proto's Verdict."""

    DONE = 1
    CHECK_FAILED = 2
    NOT_ENOUGH_SEEN = 3


class CannotAnswer(Exception):
    """A question that has no answer as asked; its text is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON as docs/json.md describes it; `window`, `coverage`, `counts` and `reason` are always in it."""

    content: Json
    verdict: Verdict = Verdict.DONE


@dataclass(frozen=True)
class Case:
    """What was seen in one window (background edges included), what is declared, and whose outside names are.

    `standings`: how third parties are, by id; `names_known`: ids of those that were called before, by name.
    """

    topology: Topology
    declarations: Declarations = field(default_factory=Declarations)
    vendors: Vendors = field(default_factory=Vendors)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    names_known: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        return {node.id: node for node in self.topology.nodes}

    @cached_property
    def traffic(self) -> tuple[Edge, ...]:
        """Edges that are a use: no probe, no scrape, nothing of Plumbline's own; something happened on them."""
        return tuple(edge for edge in self.topology.edges if not is_background(edge) and is_used(edge))

    @cached_property
    def edges_of(self) -> Mapping[str, Sequence[Edge]]:
        """The traffic at each node, in and out. A node without any is not in it."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.traffic:
            for end in {edge.source, edge.target}:
                found[end].append(edge)
        return dict(found)

    @cached_property
    def join(self) -> Join:
        return join(self.topology.nodes, self.declarations)

    @cached_property
    def served(self) -> Mapping[str, Served]:
        """What each node was asked for."""
        return served(edge for edge in self.traffic if not self.is_passed_on(edge))

    @cached_property
    def asking(self) -> Mapping[str, Sequence[Edge]]:
        """Who asks resolvers for names, with its edges to them."""
        return clients_that_ask(self.traffic)

    @cached_property
    def failed_lookups(self) -> Mapping[str, Failed]:
        """By name, of third parties that were seen, now or before, or are declared."""
        third = [node.name for node in self.nodes.values() if node.kind == NODE_KIND_THIRD_PARTY]
        third += [*self.names_known, *(one.name for one in self.standings.values())]
        declared = (name for entity in self.declarations.entities.values() for name in declared_hosts(entity))
        return failed_lookups(self.asking, {*map(host_name, third), *declared})

    @cached_property
    def watch(self) -> Watch:
        return watch(self.topology)

    @cached_property
    def calls(self) -> CallGraph:
        return CallGraph(self.nodes, [edge for edge in self.traffic if not self.is_passed_on(edge)])

    @cached_property
    def _proxies(self) -> frozenset[tuple[str, str]]:
        """(proxy, whom its clients reached by way of it)."""
        return frozenset((proxy, edge.target) for edge in self.traffic for proxy in edge.through)

    def is_passed_on(self, edge: Edge) -> bool:
        """What a proxy does for its clients, whose own edges tell of it already."""
        return (edge.source, edge.target) in self._proxies

    @cached_property
    def coverage(self) -> float:
        """Understood bytes / all bytes of the traffic, times the part of the window that its hosts watched."""
        total = sum(edge.bytes_sent + edge.bytes_received for edge in self.traffic)
        understood = sum((edge.bytes_sent + edge.bytes_received) * edge.coverage for edge in self.traffic)
        return round((understood / total if total else 1.0) * self.watch.share, 4)

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The owner that the catalog gives to a node. One that nobody declared is not in it."""
        named = ((node_id, self.declarations.entities[ref].owner) for node_id, ref in self.join.entity_of.items())
        return {node_id: owner for node_id, owner in named if owner}

    def vendor_of(self, node: Node) -> Vendor | None:
        """Of a third party; what has only an address is nobody's."""
        return self.vendors.vendor_of(node.name or node.id) if node.kind == NODE_KIND_THIRD_PARTY else None

    def find(self, subject: str) -> Node:
        """The node with this id, or the only one with this name or entity reference. Raises CannotAnswer."""
        if subject in self.nodes:
            return self.nodes[subject]
        wanted = subject.lower()
        found = [node for node in self.topology.nodes if wanted in (node.id.lower(), node.name.lower())]
        found = found or [self.nodes[node_id] for node_id in self.join.nodes_of.get(wanted, ())]
        if len(found) == 1:
            return found[0]
        if not found:
            raise CannotAnswer(f"Nothing named {subject[:100]!r} was seen; `plumb graph` shows the ids of what was.")
        ids = ", ".join(sorted(node.id for node in found)[:5])
        raise CannotAnswer(f"{subject[:100]!r} may be {ids}{' and others' if len(found) > 5 else ''}; give the id.")

    def answer(
        self, content: Json, verdict: Verdict = Verdict.DONE, counts: Mapping[str, int] = MappingProxyType({})
    ) -> Answer:
        """`content` with what every answer carries.

        Its lists are cut at MOST_ROWS, and `counts` has their whole lengths: give those that were cut before.
        """
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        counts = {**{key: len(rows) for key, rows in lists.items()}, **counts}
        cut = {key: rows[:MOST_ROWS] for key, rows in lists.items()}
        beyond = [
            f"{MOST_ROWS} of {count} {key.replace('_', ' ')}" for key, count in counts.items() if count > MOST_ROWS
        ]
        reason = content.get("reason") or (f"Listed are the first {' and '.join(beyond)}." if beyond else None)
        common = {
            "reason": reason,
            "counts": counts,
            "window": to_json(self.topology.window),
            "coverage": self.coverage,
        }
        return Answer({**content, **cut, **common}, verdict)
