"""Who we depend on outside: whose it is, how available it was, how it answered, who uses it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_EXTERNAL, NODE_KIND_THIRD_PARTY, Edge, FailedConnections, Node

from aggregator.insight.case import Answer, Case, Json, Verdict
from aggregator.insight.edges import DNS, broken_handshakes, failed_connections, is_counted_by_requests


def thirdparties(case: Case, subject: str) -> Answer:
    """Those called in the window, the most used first. Fields that nothing here can know are null."""
    rows = [_row(case, node, edges) for node, edges in called(case, NODE_KIND_THIRD_PARTY)]
    return answered(case, {"third_parties": rows, "externals": externals(case)})


def externals(case: Case) -> list[Json]:
    """The rows of what has only an address."""
    return [_row(case, node, edges) for node, edges in called(case, NODE_KIND_EXTERNAL)]


def called(case: Case, kind: int) -> list[tuple[Node, list[Edge]]]:
    """The nodes of this kind that were called, with the calls of each, the most used first."""
    calls = [(node, _calls_to(case, node.id)) for node in case.nodes.values() if node.kind == kind]
    return sorted(((node, edges) for node, edges in calls if edges), key=lambda one: (-attempts(one[1]), one[0].id))


def answered(case: Case, rows: Json) -> Answer:
    """Without traffic nothing outside was called, if anybody watched."""
    return case.answer(rows, Verdict.DONE if case.traffic or case.watch.share else Verdict.NOT_ENOUGH_SEEN)


def figures(edges: Sequence[Edge]) -> Json:
    """What the calls say, whether they are of one third party or of several."""
    failed = FailedConnections(
        **{name: sum(getattr(edge.failed_connections, name) for edge in edges) for name in _REASONS},
    )
    return {
        "availability": _availability(edges),
        "requests": sum(edge.requests for edge in edges),
        "errors": sum(edge.errors for edge in edges),
        "failed_connections": to_json(failed),
        "dns_failures": None,
        "tls_failures": sum(broken_handshakes(edge) for edge in edges) if _shook(edges) else None,
        "tls_alerts": _summed(edge.handshakes.alerts for edge in edges),
        "tls_versions": _summed(edge.handshakes.versions for edge in edges),
        "connect_ms": None,
        "latency_ms": _latency(edges),
        "dependants": [{"id": client, "hard": None} for client in sorted({edge.source for edge in edges})],
    }


def _calls_to(case: Case, node_id: str) -> list[Edge]:
    return [edge for edge in case.edges_of.get(node_id, ()) if edge.target == node_id and not case.is_passed_on(edge)]


def _row(case: Case, node: Node, edges: Sequence[Edge]) -> Json:
    node_json = to_json(node)
    vendor = case.vendor_of(node)
    return {
        "id": node.id,
        "name": node.name,
        "name_source": node.name_source or None,
        "ambiguous": node.ambiguous,
        "vendor": vendor.name if vendor else None,
        "category": vendor.category if vendor else None,
        **figures(edges),
        "first_seen": node_json["first_seen"],
        "last_seen": node_json["last_seen"],
    }


def _availability(edges: Sequence[Edge]) -> float | None:
    """1 - failures / attempts; None without an attempt."""
    tried = attempts(edges)
    return round(1 - sum(_failures(edge) for edge in edges) / tried, 6) if tried else None


def _failures(edge: Edge) -> int:
    """What the server did wrong: errors, requests that it broke off (of DNS they are among its errors), connections
    that failed, and of TLS those that came to nothing: a client hangs up where it does not trust, or waits in vain."""
    broken_off = 0 if edge.protocol == DNS else edge.unanswered.server
    return edge.errors + broken_off + failed_connections(edge) + broken_handshakes(edge)


def attempts(edges: Sequence[Edge]) -> int:
    """Requests, or connections opened where requests could not be read, and the connections that failed."""
    return sum(_opened(edge) + failed_connections(edge) for edge in edges)


def _opened(edge: Edge) -> int:
    return edge.requests if is_counted_by_requests(edge) else edge.connections


def _latency(edges: Sequence[Edge]) -> Json | None:
    """Of one edge as it is; of several the exact mean, while their quantiles cannot be had from quantiles."""
    timed = [edge for edge in edges if edge.HasField("latency_ms") and _answered(edge)]
    if len(timed) == 1:
        return to_json(timed[0].latency_ms)
    if not timed:
        return None
    answered = sum(_answered(edge) for edge in timed)
    mean = sum(edge.latency_ms.mean * _answered(edge) for edge in timed) / answered
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
