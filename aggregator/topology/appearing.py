"""Which edges appeared with a revision: those that were first seen while a workload at either end was rolled out. Pure.

A revision may call somebody for the first time a while after all its pods are there: it has so long for that.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import FOREVER_NS, SECOND_NS
from aggregator.topology.edge import Drawn

SETTLING_SECONDS: Final = 120
# What an agent counts has the time of its interval's begin.
_BUCKET_NS: Final = SECOND_NS
_BEGINS: Final = frozenset({pb.ROLLOUT_STATE_BEGUN, pb.ROLLOUT_STATE_ROLLED_BACK})


class Span(NamedTuple):
    """In which edges of a workload's appear with this revision."""

    from_ns: int
    to_ns: int
    revision: str


Spans: TypeAlias = Mapping[str, Sequence[Span]]


def spans_of(events: Iterable[pb.Event]) -> Spans:
    """By workload; `events` in the order in which they were told."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    last: dict[tuple[str, str], int] = {}  # by workload and controller, where its newest span is
    for one in events:
        if one.kind != pb.EVENT_KIND_ROLLOUT:
            continue
        key, own, now_ns = (one.node, one.object), spans[one.node], one.time.ToNanoseconds()
        if one.state in _BEGINS or key not in last:
            if key in last:
                before = own[last[key]]
                own[last[key]] = before._replace(to_ns=min(before.to_ns, now_ns))
            last[key] = len(own)
            own.append(Span(now_ns, FOREVER_NS, one.revision))
        at = last[key]
        own[at] = own[at]._replace(revision=one.revision or own[at].revision)
        if one.state == pb.ROLLOUT_STATE_DONE:
            own[at] = own[at]._replace(to_ns=now_ns + SETTLING_SECONDS * SECOND_NS)
    return dict(spans)


def mark(edges: Sequence[Drawn], spans: Spans) -> None:
    """Says so in the fields of those that appeared with a revision."""
    if not spans:
        return
    for edge in edges:
        ends = (edge.source, edge.target) if edge.source != edge.target else (edge.source,)
        revisions = ((node, _revision_at(edge.first_ns, spans.get(node, ()))) for node in ends)
        if found := [{"node": node, "revision": revision} for node, revision in revisions if revision]:
            edge.fields["appeared_with"] = found


def _revision_at(first_ns: int, spans: Sequence[Span]) -> str:
    """The newest one whose time it is; "" for none."""
    return next(
        (one.revision for one in reversed(spans) if one.from_ns - _BUCKET_NS <= first_ns < one.to_ns and one.revision),
        "",
    )
