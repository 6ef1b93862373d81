"""What the difference between two views of the world is written down as."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plumbline.v1.topology_pb2 import Edge

from aggregator.insight.case import Json
from aggregator.insight.edges import failed_connections

# Below these nothing is said about what was not seen; below the good ones it is said with less confidence.
ENOUGH_WATCHED_SHARE = 0.5
ENOUGH_COVERAGE, GOOD_COVERAGE = 0.5, 0.9
ENOUGH_SECONDS, GOOD_SECONDS = 10, 240

# The edges that one finding names.
MOST_EDGES = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` and `object` are entity references or node ids; `severity` and `confidence`: high, medium, low."""

    kind: str
    subject: str
    object: str | None
    severity: str
    confidence: str
    evidence: Json

    def to_json(self) -> Json:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "object": self.object,
            "severity": self.severity,
            "confidence": self.confidence,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class Withheld:
    """What would be a finding, had enough been seen to say it."""

    kind: str
    subject: str
    object: str | None
    reason: str

    def to_json(self) -> Json:
        return {"kind": self.kind, "subject": self.subject, "object": self.object, "reason": self.reason}


def numbers(edges: Iterable[Edge]) -> Json:
    """The evidence of edges: their ids, and sums that a person can check against `plumb graph`."""
    edges = sorted(edges, key=lambda edge: edge.id)
    return {
        "edges": [edge.id for edge in edges[:MOST_EDGES]],
        "edge_count": len(edges),
        "protocols": sorted({edge.protocol for edge in edges}),
        "requests": sum(edge.requests for edge in edges),
        "errors": sum(edge.errors for edge in edges),
        "connections": sum(edge.connections for edge in edges),
        "active_connections": sum(edge.active_connections for edge in edges),
        "failed_connections": sum(failed_connections(edge) for edge in edges),
    }


def lowest(confidences: Sequence[str]) -> str:
    """The least of several grounds for confidence."""
    return next((level for level in ("low", "medium") if level in confidences), "high")
