"""Which nodes were reached from outside, when, and whether that was encrypted. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End
from aggregator.topology.edge import Drawn
from aggregator.topology.times import stamp


def reached_from_outside(edges: Iterable[Drawn], ends: Mapping[str, Sequence[End]]) -> dict[str, list[pb.Reached]]:
    """By node id, one for each port and protocol, of edges that still have their fields. `ends`: by node id."""
    found: defaultdict[str, dict[tuple[int, str], pb.Reached]] = defaultdict(dict)
    strangers = {node for node, some in ends.items() if all(end.kind == pb.NODE_KIND_EXTERNAL for end in some)}
    for edge in edges:
        if edge.source in strangers:
            key = edge.port, str(edge.fields["protocol"])
            found[edge.target][key] = _with(found[edge.target].get(key), _one(edge, key[1]))
    return {node: [some[key] for key in sorted(some)] for node, some in found.items()}


def together(before: Iterable[pb.Reached], now: Iterable[pb.Reached]) -> list[pb.Reached]:
    """`now` is of some edges only: what it says nothing of is as before."""
    found = {(one.port, one.protocol): one for one in (*before, *now)}
    return [found[key] for key in sorted(found)]


def _one(edge: Drawn, protocol: str) -> pb.Reached:
    return pb.Reached(
        port=edge.port,
        protocol=protocol,
        connections=edge.fields["connections"],
        encrypted=edge.fields["encrypted"],
        first_seen=stamp(edge.first_ns),
        last_seen=stamp(edge.last_ns),
    )


def _with(known: pb.Reached | None, more: pb.Reached) -> pb.Reached:
    """Of two callers: encrypted only where both were."""
    if known is None:
        return more
    known.connections += more.connections
    known.encrypted &= more.encrypted
    if more.first_seen.ToNanoseconds() < known.first_seen.ToNanoseconds():
        known.first_seen.CopyFrom(more.first_seen)
    if more.last_seen.ToNanoseconds() > known.last_seen.ToNanoseconds():
        known.last_seen.CopyFrom(more.last_seen)
    return known
