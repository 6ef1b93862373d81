"""One-line makers of what the aggregator's rooms hand on: nodes, edges, hosts, declarations, cases.

case(unit("cart"), third_party("pay.example"), call("alpha/cart", "pay.example"), catalog=component("cart"))
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1 import topology_pb2 as pb

from aggregator.catalog import backstage
from aggregator.catalog.linking import link
from aggregator.catalog.model import Declarations
from aggregator.insight.case import Case
from aggregator.resolve.vendors import Vendors

TO_SECONDS = 1_767_323_345
WINDOW_SECONDS = 300
HOUR_AGO = TO_SECONDS - 3600


def at(seconds: float) -> Timestamp:
    """A time by Unix seconds."""
    return Timestamp(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


def node(node_id: str, kind: "pb.NodeKind", first_seen: float = HOUR_AGO, **fields: Any) -> pb.Node:
    """Its name is the last part of its id unless given; it was there before the window."""
    named = {"name": node_id.rpartition("/")[2], **fields}
    return pb.Node(id=node_id, kind=kind, first_seen=at(first_seen), last_seen=at(TO_SECONDS), **named)


def unit(name: str, host: str = "alpha", **fields: Any) -> pb.Node:
    return node(f"{host}/{name}", pb.NODE_KIND_UNIT, **fields)


def process(name: str, host: str = "alpha", **fields: Any) -> pb.Node:
    return node(f"{host}/{name}", pb.NODE_KIND_PROCESS, **fields)


def workload(namespace: str, name: str, **fields: Any) -> pb.Node:
    return node(f"{namespace}/Deployment/{name}", pb.NODE_KIND_WORKLOAD, namespace=namespace, **fields)


def third_party(name: str, name_source: str = "dns", **fields: Any) -> pb.Node:
    return node(name, pb.NODE_KIND_THIRD_PARTY, name=name, name_source=name_source, **fields)


def external(address: str) -> pb.Node:
    return node(address, pb.NODE_KIND_EXTERNAL)


def unresolved(address: str) -> pb.Node:
    return node(address, pb.NODE_KIND_UNRESOLVED)


def call(
    source: str, target: str, protocol: str = "http", requests: int = 10, port: int = 80, **fields: Any
) -> pb.Edge:
    """An edge of the window, understood and answered; `fields` as the message names them, `class_` for its class."""
    fields["class"] = fields.pop("class_", pb.EDGE_CLASS_TRAFFIC)
    defaults: dict[str, Any] = {"connections": 1, "bytes_sent": 1000, "bytes_received": 1000, "coverage": 1.0}
    edge_id = f"{source}>{target}/{protocol}/{port}"
    ends: dict[str, Any] = {"id": edge_id, "source": source, "target": target, "protocol": protocol, "port": port}
    return pb.Edge(requests=requests, **(ends | defaults | fields))


def opaque(source: str, target: str, connections: int = 10, **fields: Any) -> pb.Edge:
    """A TCP edge whose protocol nobody understood."""
    return call(
        source, target, "tcp", requests=0, **({"coverage": 0.0, "connections": connections, "port": 9999} | fields)
    )


def lookup(source: str, target: str, requests: int = 10, **fields: Any) -> pb.Edge:
    return call(source, target, "dns", requests, port=53, **fields)


def host(name: str, coverage: float = 1.0, blind: Sequence[tuple[float, float]] = (), **fields: Any) -> pb.Host:
    """Times of blind intervals and `last_seen` in seconds before the window's end."""
    last_seen = at(TO_SECONDS - fields.pop("last_seen", 0))
    spans: list[dict[str, Any]] = [{"from": at(TO_SECONDS - begin), "to": at(TO_SECONDS - end)} for begin, end in blind]
    intervals = [pb.HostBlindInterval(reason="agent restarted", **span) for span in spans]
    return pb.Host(name=name, coverage=coverage, last_seen=last_seen, blind=intervals, **fields)


def topology(*parts: pb.Node | pb.Edge | pb.Host) -> pb.Topology:
    """A graph of one five-minute window. Without a host in `parts`, alpha is watched all the time."""
    hosts = [part for part in parts if isinstance(part, pb.Host)] or [host("alpha")]
    window = pb.TimeWindow(**{"from": at(TO_SECONDS - WINDOW_SECONDS), "to": at(TO_SECONDS)})
    return pb.Topology(
        position=pb.Position(epoch="e1", version=7),
        cluster="default",
        window=window,
        nodes=[part for part in parts if isinstance(part, pb.Node)],
        edges=[part for part in parts if isinstance(part, pb.Edge)],
        hosts=hosts,
    )


def entity(kind: str, name: str, annotations: Mapping[str, str] | None = None, namespace: str = "", **spec: Any) -> str:
    """One entity as YAML, of which JSON is a part."""
    metadata = {"name": name, "annotations": dict(annotations or {})} | ({"namespace": namespace} if namespace else {})
    body = {"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    return f"---\n{json.dumps(body)}\n"


def component(name: str, **fields: Any) -> str:
    return entity("Component", name, **{"type": "service", "lifecycle": "production", "owner": "team-a", **fields})


def resource(name: str, **fields: Any) -> str:
    return entity("Resource", name, **{"type": "database", "owner": "team-a", **fields})


def api(name: str, **fields: Any) -> str:
    defaults = {"type": "openapi", "lifecycle": "production", "owner": "team-a", "definition": "openapi: 3.1.0"}
    return entity("API", name, **(defaults | fields))


def declared(text: str, file: str = "catalog.yaml") -> Declarations:
    """What the text of one catalog file declares."""
    parsed = backstage.parse(text, file)
    return link(parsed.entities, parsed.problems)


def case(*parts: pb.Node | pb.Edge | pb.Host, catalog: str | None = None, vendors: Vendors | None = None) -> Case:
    """A case of these parts; `catalog` is YAML, None when nobody declared anything. No vendor is known unless given."""
    return Case(topology(*parts), Declarations() if catalog is None else declared(catalog), vendors or Vendors())
