"""What one look saw of third parties, as plain values. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from plumbline.v1.topology_pb2 import NODE_KIND_THIRD_PARTY, Edge, FailedConnections

from aggregator.insight.case import Case
from aggregator.insight.edges import broken_handshakes, own_errors
from aggregator.insight.figures import Calls
from aggregator.insight.thirdparties import called


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client did with one third party since the look before. `reasons` add up to `failures`; `took_ms`: the
    mean of its answers, None without one. `hosts`: where the client was."""

    third: str
    name: str
    client: str
    attempts: int = 0
    failures: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    took_ms: float | None = None
    hosts: frozenset[str] = frozenset()


def seen(case: Case, hosts: Mapping[str, frozenset[str]]) -> Iterator[Seen]:
    """`case`: of that time alone; `hosts`: by client."""
    for node, calls in called(case, NODE_KIND_THIRD_PARTY):
        for client, own in calls.by_client().items():
            reasons, where = _reasons(own), hosts.get(client, frozenset())
            failures = sum(reasons.values())
            # A handshake may break, and a request be broken off, long after it counted as an attempt.
            attempts = max(own.attempts, failures)
            yield Seen(node.id, node.name or node.id, client, attempts, failures, reasons, _took_ms(own), where)


def _reasons(calls: Calls) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for edge in calls.edges:
        found["errors"] += own_errors(edge)
        found["tls"] += broken_handshakes(edge)
        for reason in _FAILED:
            found[reason] += getattr(edge.failed_connections, reason)
    found["dns"] += calls.failed_lookups
    return {reason: count for reason, count in sorted(found.items()) if count}


def _took_ms(calls: Calls) -> float | None:
    """By what tells most: of answers to requests, of turns where those cannot be read, or of connects."""
    times = [(took, max(edge.requests, edge.connections, 1)) for edge in calls.edges if (took := _mean_ms(edge))]
    return sum(took * count for took, count in times) / sum(count for _, count in times) if times else None


def _mean_ms(edge: Edge) -> float | None:
    for name in ("latency_ms", "turn_ms", "connect_ms"):
        if edge.HasField(name):
            return float(getattr(edge, name).mean)
    return None


_FAILED = tuple(one.name for one in FailedConnections.DESCRIPTOR.fields)
