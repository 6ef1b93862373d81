"""Who we depend on outside: how available it was, how it answered, who uses it."""

from collections.abc import Sequence

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import NODE_KIND_EXTERNAL, NODE_KIND_THIRD_PARTY, Edge, FailedConnections, Node

from aggregator.insight.case import Answer, Case, Json, Verdict
from aggregator.insight.edges import DNS, failed_connections, is_counted_by_requests


def thirdparties(case: Case, subject: str) -> Answer:
    """Those called in the window, the most used first. Fields that nothing here can know are null."""
    content: Json = {}
    for key, kind in (("third_parties", NODE_KIND_THIRD_PARTY), ("externals", NODE_KIND_EXTERNAL)):
        outside = [node for node in case.nodes.values() if node.kind == kind]
        calls = {node.id: _calls_to(case, node.id) for node in outside}
        called = [node for node in outside if calls[node.id]]
        called.sort(key=lambda node: (-_attempts(calls[node.id]), node.id))
        content[key] = [_row(node, calls[node.id]) for node in called]
    verdict = Verdict.DONE if case.traffic or case.watch.share else Verdict.NOT_ENOUGH_SEEN
    return case.answer(content, verdict)


def _calls_to(case: Case, node_id: str) -> list[Edge]:
    return [edge for edge in case.edges_of.get(node_id, ()) if edge.target == node_id and not case.is_passed_on(edge)]


def _row(node: Node, edges: Sequence[Edge]) -> Json:
    failed = FailedConnections(
        **{name: sum(getattr(edge.failed_connections, name) for edge in edges) for name in _REASONS},
    )
    node_json = to_json(node)
    return {
        "id": node.id,
        "name": node.name,
        "name_source": node.name_source or None,
        "ambiguous": node.ambiguous,
        "vendor": None,
        "category": None,
        "availability": _availability(edges),
        "requests": sum(edge.requests for edge in edges),
        "errors": sum(edge.errors for edge in edges),
        "failed_connections": to_json(failed),
        "dns_failures": None,
        "tls_failures": None,
        "connect_ms": None,
        "latency_ms": _latency(edges),
        "dependants": [{"id": client, "hard": None} for client in sorted({edge.source for edge in edges})],
        "first_seen": node_json["first_seen"],
        "last_seen": node_json["last_seen"],
    }


def _availability(edges: Sequence[Edge]) -> float | None:
    """1 - failures / attempts; None without an attempt."""
    attempts = _attempts(edges)
    return round(1 - sum(_failures(edge) for edge in edges) / attempts, 6) if attempts else None


def _failures(edge: Edge) -> int:
    """What the server did wrong: errors, requests that it broke off (of DNS they are among its errors), connections."""
    broken_off = 0 if edge.protocol == DNS else edge.unanswered.server
    return edge.errors + broken_off + failed_connections(edge)


def _attempts(edges: Sequence[Edge]) -> int:
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


_REASONS = tuple(field.name for field in FailedConnections.DESCRIPTOR.fields)
