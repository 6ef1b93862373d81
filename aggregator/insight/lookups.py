"""Who could not look up which third parties, as far as those are known or declared. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from plumbline.v1.topology_pb2 import Edge, FailedLookups

from aggregator.insight.edges import DNS
from aggregator.insight.joining import host_name

# By client: how many look-ups failed, and how: "refused", "unanswered", "gone".
Failed: TypeAlias = Mapping[str, Counter[str]]
_WAYS = tuple(field.name for field in FailedLookups.DESCRIPTOR.fields if field.name != "name")


def clients_that_ask(edges: Iterable[Edge]) -> dict[str, list[Edge]]:
    """Who asks for names, with its edges to resolvers. Who is asked itself only passes on what others want."""
    asking = [edge for edge in edges if edge.protocol == DNS]
    resolvers = {edge.target for edge in asking}
    found: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in asking:
        if edge.source not in resolvers:
            found[edge.source].append(edge)
    return dict(found)


def failed_lookups(edges: Mapping[str, Sequence[Edge]], known: Collection[str]) -> dict[str, Failed]:
    """By name, of the names that are known. `edges`: by client."""
    found: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for client, some in edges.items():
        for one in (one for edge in some for one in edge.failed_lookups):
            name = _meant(host_name(one.name), known)
            if name is not None:
                found[name][client].update({way: count for way in _WAYS if (count := getattr(one, way))})
    return dict(found)


def _meant(name: str, known: Collection[str]) -> str | None:
    """The known name that a client looked up: with a search domain behind it where a resolver adds one, and, while that
    fails, never asks for the name alone."""
    if name in known:
        return name
    labels = name.split(".")
    # A search domain of one label would make a name of another country's of many.
    starts = (".".join(labels[:count]) for count in range(len(labels) - 2, 1, -1))
    return next((start for start in starts if start in known), None)
