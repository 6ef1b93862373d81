"""What calls to one third party, or to several, say of it and of each who calls it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import Edge, FailedConnections, Latency

from aggregator.insight.case import Json
from aggregator.insight.edges import broken_handshakes, failed_connections, is_counted_by_requests, own_errors
from aggregator.insight.hardness import Served, hardness
from aggregator.insight.lookups import Failed
from aggregator.insight.standing import Word, time_of


@dataclass(frozen=True, slots=True)
class Calls:
    """`failed`: look-ups of its names that failed. `asks`: of which clients look-ups were seen at all."""

    edges: Sequence[Edge]
    failed: Failed = field(default_factory=dict)
    asks: frozenset[str] = frozenset()

    @property
    def clients(self) -> list[str]:
        return sorted({edge.source for edge in self.edges} | set(self.failed))

    def by_client(self) -> dict[str, "Calls"]:
        edges: defaultdict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            edges[edge.source].append(edge)
        failed = {client: {client: some} for client, some in self.failed.items()}
        return {client: Calls(edges[client], failed.get(client, {}), self.asks) for client in self.clients}

    @property
    def attempts(self) -> int:
        """Requests, or connections opened where requests could not be read; connections that failed, and look-ups."""
        return sum(_opened(edge) + failed_connections(edge) for edge in self.edges) + self.failed_lookups

    @property
    def failures(self) -> int:
        return sum(_failures(edge) for edge in self.edges) + self.failed_lookups

    @property
    def counted(self) -> int | None:
        """Calls; None where some go over connections that cannot be read: one may have any number of them."""
        is_read = all(is_counted_by_requests(edge) or not edge.connections for edge in self.edges)
        return self.attempts if is_read else None

    @property
    def failed_lookups(self) -> int:
        return sum(count for some in self.failed.values() for count in some.values())


def together(calls: Iterable[Calls]) -> Calls:
    """Those of several third parties."""
    edges: list[Edge] = []
    failed: dict[str, Counter[str]] = {}
    asks: frozenset[str] = frozenset()
    for one in calls:
        edges += one.edges
        asks |= one.asks
        for client, some in one.failed.items():
            failed[client] = failed.get(client, Counter()) + some
    return Calls(edges, failed, asks)


def figures(calls: Calls, served: Mapping[str, Served], doing: Mapping[str, tuple[Word, int]]) -> Json:
    """What all calls together say, and those of each who depends on it: `served` has what that one was asked itself,
    `doing` how the third party is for it, and since when."""
    dependants = [
        {"id": client, **_state(doing.get(client)), **_dependant(own, served.get(client, Served()))}
        for client, own in calls.by_client().items()
    ]
    return {**_numbers(calls), "dependants": dependants}


def _state(doing: tuple[Word, int] | None) -> Json:
    return {"state": doing[0].text if doing else None, "since": time_of(doing[1]) if doing else None}


def _dependant(calls: Calls, asked: Served) -> Json:
    return {**hardness(calls.counted, calls.failures, asked), **_numbers(calls)}


def _numbers(calls: Calls) -> Json:
    edges = calls.edges
    failed = FailedConnections(
        **{name: sum(getattr(edge.failed_connections, name) for edge in edges) for name in _REASONS},
    )
    return {
        "availability": _availability(calls),
        "requests": sum(edge.requests for edge in edges),
        "errors": sum(edge.errors for edge in edges),
        "failed_connections": to_json(failed),
        "dns_failures": calls.failed_lookups if calls.asks & set(calls.clients) else None,
        "dns_reasons": _summed(calls.failed.values()),
        "tls_failures": sum(broken_handshakes(edge) for edge in edges) if _shook(edges) else None,
        "tls_alerts": _summed(edge.handshakes.alerts for edge in edges),
        "tls_versions": _summed(edge.handshakes.versions for edge in edges),
        "certificate_expires": _first_to_expire(edges),
        "connect_ms": _together([(edge.connect_ms, edge.connections) for edge in edges if edge.HasField("connect_ms")]),
        "handshake_ms": _together([(edge.handshakes.latency_ms, edge.handshakes.done) for edge in edges]),
        "latency_ms": _together([(edge.latency_ms, _answered(edge)) for edge in edges if edge.HasField("latency_ms")]),
    }


def _first_to_expire(edges: Sequence[Edge]) -> Any:
    """Of their servers' certificates; None where none was seen."""
    shown = [edge for edge in edges if edge.HasField("certificate_expires")]
    first = min(shown, key=lambda edge: edge.certificate_expires.seconds, default=None)
    return to_json(first)["certificate_expires"] if first is not None else None


def _availability(calls: Calls) -> float | None:
    """1 - failures / attempts; None without an attempt."""
    tried = calls.attempts
    return round(1 - calls.failures / tried, 6) if tried else None


def _failures(edge: Edge) -> int:
    """What the server did wrong with requests, connections that failed, and of TLS those that came to nothing: a client
    hangs up where it does not trust, or waits in vain."""
    return own_errors(edge) + failed_connections(edge) + broken_handshakes(edge)


def _opened(edge: Edge) -> int:
    return edge.requests if is_counted_by_requests(edge) else edge.connections


def _together(times: Sequence[tuple[Latency, int]]) -> Json | None:
    """Of one edge as it is; of several the exact mean, while their quantiles cannot be had from quantiles."""
    timed = [(latency, count) for latency, count in times if count]
    if len(timed) == 1:
        return to_json(timed[0][0])
    if not timed:
        return None
    mean = sum(latency.mean * count for latency, count in timed) / sum(count for _, count in timed)
    return {"mean": round(mean, 6), "p50": None, "p95": None, "p99": None}


def _answered(edge: Edge) -> int:
    return edge.requests - edge.unanswered.client - edge.unanswered.server


def _shook(edges: Sequence[Edge]) -> bool:
    """Whether the end of any TLS handshake was seen."""
    return any(edge.HasField("handshakes") for edge in edges)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for some in counts:
        found.update(some)
    return dict(sorted(found.items()))


_REASONS = tuple(field.name for field in FailedConnections.DESCRIPTOR.fields)
