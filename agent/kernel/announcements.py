"""Records of the ring buffer as announcements. Pure: bytes in, plain data out, the clock's offset passed in."""

from typing import Any

import numpy as np
from plumbline.v1 import flow_pb2

from agent.records import (
    Announcement,
    DnsSeen,
    FlowSeen,
    KernelFlow,
    ListenerSeen,
    NameSeen,
    OomKill,
    QuicSeen,
    ServerHelloSeen,
)

SEEN_FLOW, SEEN_NAME, SEEN_LISTENER, SEEN_DNS, SEEN_OOM_KILL, SEEN_QUIC, SEEN_SERVER_HELLO = 1, 2, 3, 4, 5, 6, 7
RECORDS = {
    SEEN_FLOW: "flow_seen",
    SEEN_NAME: "name_seen",
    SEEN_LISTENER: "listener_seen",
    SEEN_DNS: "dns_seen",
    SEEN_OOM_KILL: "oom_kill",
    SEEN_QUIC: "quic_seen",
    SEEN_SERVER_HELLO: "server_hello_seen",
}


def decode(record: bytes, shapes: dict[str, np.dtype[Any]], clock_offset_ns: int) -> Announcement | None:
    """One record; None for a kind that this agent does not know.

    `clock_offset_ns` is wall clock minus the kernel's monotonic clock.
    """
    kind = int.from_bytes(record[:4], "little")
    if kind not in RECORDS:
        return None
    shape = shapes[RECORDS[kind]]
    row = np.frombuffer(record[: shape.itemsize], shape)[0]
    if kind == SEEN_FLOW:
        flow = kernel_flow(int(row["id"]), row["flow"], int(row["process_id"]))
        return FlowSeen(flow, int(row["time_ns"]) + clock_offset_ns)
    if kind == SEEN_NAME:
        return _name(row)
    if kind == SEEN_LISTENER:
        return ListenerSeen(
            cgroup_id=int(row["cgroup_id"]),
            address=row["address"].tobytes(),
            port=int(row["port"]),
            transport=int(row["transport"]),
            command=command(row["command"]),
            process_id=int(row["process_id"]),
            time_ns=int(row["time_ns"]) + clock_offset_ns,
            netns_cookie=int(row["netns_cookie"]),
        )
    if kind == SEEN_OOM_KILL:
        return OomKill(int(row["cgroup_id"]), int(row["process_id"]), int(row["time_ns"]) + clock_offset_ns)
    if kind == SEEN_QUIC:
        datagram = row["datagram"].tobytes()[: int(row["length"])]
        time_ns = int(row["time_ns"]) + clock_offset_ns
        return QuicSeen(int(row["connection"]), int(row["cgroup_id"]), time_ns, datagram)
    if kind == SEEN_SERVER_HELLO:
        piece = row["piece"].tobytes()[: int(row["length"])]
        connection, flow_id, sequence, number = (int(row[one]) for one in ("connection", "flow", "sequence", "number"))
        time_ns = int(row["time_ns"]) + clock_offset_ns
        return ServerHelloSeen(connection, flow_id, sequence, number, time_ns, piece)
    message = row["message"].tobytes()[: int(row["length"])]
    return DnsSeen(int(row["flow"]), int(row["time_ns"]) + clock_offset_ns, message)


def kernel_flow(flow_id: int, row: Any, process_id: int) -> KernelFlow:
    return KernelFlow(
        id=flow_id,
        cgroup_id=int(row["cgroup_id"]),
        local_address=row["local_address"].tobytes(),
        peer_address=row["peer_address"].tobytes(),
        port=int(row["port"]),
        role=int(row["role"]),
        transport=int(row["transport"]),
        command=command(row["command"]),
        process_id=process_id,
        asked_address=row["asked_address"].tobytes(),
        asked_port=int(row["asked_port"]),
        netns_cookie=int(row["netns_cookie"]),
        server_name=int(row["server_name"]),
    )


def command(raw: Any) -> str:
    return bytes(raw).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _name(row: Any) -> NameSeen:
    raw = row["text"].tobytes()[: int(row["length"])]
    kind = flow_pb2.NameKind.Name(int(row["kind"]))  # raises ValueError where types.h and the contract differ
    if kind == "NAME_KIND_DNS":
        raw = dotted(raw)
    return NameSeen(int(row["id"]), getattr(flow_pb2, kind), raw, int(row["flow"]))


def dotted(labels: bytes) -> bytes:
    """A name in DNS form (length, label, length, label, ...) as text; the root is ".".

    >>> dotted(b"\\x03api\\x03pay\\x07example")
    b'api.pay.example'
    """
    parts, at = [], 0
    while at < len(labels) and labels[at]:
        parts.append(labels[at + 1 : at + 1 + labels[at]])
        at += 1 + labels[at]
    return b".".join(parts).lower() or b"."
