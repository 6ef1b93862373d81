"""What one edge says by itself, in the words that every question uses."""

from plumbline.v1.topology_pb2 import (
    EDGE_CLASS_PROBE,
    EDGE_CLASS_SCRAPE,
    EDGE_CLASS_SELF,
    NODE_KIND_EXTERNAL,
    NODE_KIND_POD,
    NODE_KIND_PROCESS,
    NODE_KIND_SERVICE,
    NODE_KIND_THIRD_PARTY,
    NODE_KIND_UNIT,
    NODE_KIND_WORKLOAD,
    Edge,
)

# What a person deploys, and so may declare; a Service is only its stable name.
RUNNING_KINDS = frozenset({NODE_KIND_WORKLOAD, NODE_KIND_UNIT, NODE_KIND_PROCESS, NODE_KIND_POD})
INSIDE_KINDS = RUNNING_KINDS | {NODE_KIND_SERVICE}
OUTSIDE_KINDS = frozenset({NODE_KIND_THIRD_PARTY, NODE_KIND_EXTERNAL})
DNS = "dns"
DNS_PORT = 53
_BACKGROUND = frozenset({EDGE_CLASS_PROBE, EDGE_CLASS_SCRAPE, EDGE_CLASS_SELF})


def is_background(edge: Edge) -> bool:
    """A probe, a scrape or Plumbline's own traffic: never a dependant, never a use."""
    return getattr(edge, "class") in _BACKGROUND


def is_our_own(edge: Edge) -> bool:
    """Traffic to Plumbline itself: agents that report, readers that ask."""
    return bool(getattr(edge, "class") == EDGE_CLASS_SELF)


def failed_connections(edge: Edge) -> int:
    failed = edge.failed_connections
    return failed.refused + failed.timeout + failed.reset + failed.unreachable + failed.other


def broken_handshakes(edge: Edge) -> int:
    """Of TLS: connections that were there and never came to anything."""
    return edge.handshakes.broken.client + edge.handshakes.broken.server


def own_errors(edge: Edge) -> int:
    """What the server did wrong with requests: errors, and what it broke off; of DNS that is among its errors."""
    return edge.errors + (0 if edge.protocol == DNS else edge.unanswered.server)


def is_used(edge: Edge) -> bool:
    """False for an edge that is only remembered: nothing was sent, opened, tried or held open in the window."""
    return bool(
        edge.requests
        or edge.connections
        or edge.active_connections
        or edge.bytes_sent
        or edge.bytes_received
        or failed_connections(edge)
    )


def is_counted_by_requests(edge: Edge) -> bool:
    """Whether the edge's protocol was understood, so that its requests say how much it is used."""
    return edge.requests > 0


def uses(edge: Edge) -> int:
    """How often the client turned to the server: requests, or connections where requests are unknown; at least 1."""
    if is_counted_by_requests(edge):
        return edge.requests + failed_connections(edge)
    return max(edge.connections + edge.active_connections + failed_connections(edge), 1)
