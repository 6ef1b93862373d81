"""What Plumbline does not do, to compare with: one message a record, decoded and merged one by one.

A record here is what a batch's row is, with its keys as strings as such designs have them.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1.columns import unpack_requests

from bench.fleet import HostAgent

_TEXTS: Final = ("host", "source", "peer", "method", "route")
_NUMBERS: Final = ("port", "role", "status", "latency_bucket", "count", "sum_ns", "from_ns", "to_ns")
Key: TypeAlias = tuple[object, ...]


def _message_type() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="bench/record.proto", package="bench", syntax="proto3")
    record = file.message_type.add(name="Record")
    for number, name in enumerate((*_TEXTS, *_NUMBERS), 1):
        kind = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
        if name in _NUMBERS:
            kind = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
        label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
        record.field.add(name=name, number=number, type=kind, label=label)
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Record"))


Record: Final = _message_type()


def records(agent: HostAgent, batch: pb.Batch) -> list[bytes]:
    """The request rows of a batch as messages of their own, serialised."""
    rows = {name: column.tolist() for name, column in unpack_requests(batch.requests).items()}
    made = []
    for at, flow_id in enumerate(rows["flow"]):
        flow = agent.flows[flow_id]
        record = Record(
            host=agent.name,
            source=agent.endpoints[flow.endpoint].pod_uid,
            peer=flow.peer_address.hex(),
            method="GET",
            route=f"/route{rows['name'][at]}/*",
            port=flow.port,
            role=flow.role,
            status=rows["code"][at],
            latency_bucket=rows["latency_bucket"][at],
            count=rows["count"][at],
            sum_ns=rows["sum_ns"][at],
            from_ns=batch.buckets[0].to.ToNanoseconds(),
            to_ns=batch.buckets[0].to.ToNanoseconds(),
        )
        made.append(record.SerializeToString())
    return made


class NaiveStore:
    """Edges in a dict, with a histogram each."""

    def __init__(self) -> None:
        self.edges: dict[Key, dict[str, Any]] = {}

    def add(self, payload: bytes) -> None:
        record = Record.FromString(payload)
        key = (record.source, record.peer, record.port, record.role, record.method, record.route)
        edge = self.edges.get(key)
        if edge is None:
            edge = self.edges[key] = {"count": 0, "sum_ns": 0, "statuses": {}, "buckets": {}, "last_ns": 0}
        edge["count"] += record.count
        edge["sum_ns"] += record.sum_ns
        edge["last_ns"] = max(edge["last_ns"], record.to_ns)
        statuses, buckets = edge["statuses"], edge["buckets"]
        statuses[record.status] = statuses.get(record.status, 0) + record.count
        buckets[record.latency_bucket] = buckets.get(record.latency_bucket, 0) + record.count

    def add_all(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            self.add(payload)
