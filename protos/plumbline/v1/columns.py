"""The packed columns of a batch: which type each has, and the way between numpy arrays and messages.

Shape: a dict of equally long one-dimensional little-endian arrays, keyed by the message's field names.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1.flow_pb2 import FlowColumns, RequestColumns, ResourceColumns

Columns: TypeAlias = dict[str, npt.NDArray[np.generic]]

FLOW_TYPES: Mapping[str, str] = {
    "bucket": "<u4",
    "flow": "<u4",
    **dict.fromkeys(
        (
            "bytes_sent",
            "bytes_received",
            "packets_sent",
            "packets_received",
            "connections",
            "adopted",
            "closed",
            "refused",
            "timeout",
            "reset",
            "unreachable",
            "other",
            "retransmits",
            "rtt_sum_us",
            "rtt_count",
            "parsed_bytes",
            "protocols",
        ),
        "<u8",
    ),
}

REQUEST_TYPES: Mapping[str, str] = {
    "bucket": "<u4",
    "flow": "<u4",
    "protocol": "u1",
    "operation": "u1",
    "outcome": "u1",
    "latency_bucket": "<u2",
    "code": "<u2",
    "kind": "<u2",
    "name": "<u4",
    "host": "<u4",
    "count": "<u8",
    "sum_ns": "<u8",
}

# Kinds of rows of TCP.
TURN, CONNECT = 0, 1
# Operations of rows of TLS.
HANDSHAKE, CERTIFICATE = 0, 1

RESOURCE_TYPES: Mapping[str, str] = {
    "bucket": "<u4",
    "endpoint": "<u4",
    "known": "<u4",
    **dict.fromkeys(
        (
            "cpu_ns",
            "cpu_periods",
            "cpu_throttled_periods",
            "cpu_throttled_ns",
            "oom_kills",
            "memory_bytes",
            "memory_most_bytes",
            "memory_limit_bytes",
            "cpu_limit_millicores",
        ),
        "<u8",
    ),
}

HTTP_METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "(other)")

NO_NAME, OTHER_NAME, UNNAMED = 0, 1, 2
FIRST_NAME_ID = 3
CONTRACT_VERSION = 1
HISTOGRAM_SCALE = 3


class MalformedColumns(ValueError):
    """Columns whose lengths do not agree with their types or with one another."""


def pack_flows(columns: Columns) -> FlowColumns:
    return FlowColumns(**_pack(columns, FLOW_TYPES))


def pack_requests(columns: Columns) -> RequestColumns:
    return RequestColumns(**_pack(columns, REQUEST_TYPES))


def pack_resources(columns: Columns) -> ResourceColumns:
    return ResourceColumns(**_pack(columns, RESOURCE_TYPES))


def unpack_flows(message: FlowColumns) -> Columns:
    """Raises MalformedColumns. The arrays are read-only views of the message's bytes."""
    return _unpack(message, FLOW_TYPES)


def unpack_requests(message: RequestColumns) -> Columns:
    """Raises MalformedColumns. The arrays are read-only views of the message's bytes."""
    return _unpack(message, REQUEST_TYPES)


def unpack_resources(message: ResourceColumns) -> Columns:
    """Raises MalformedColumns. The arrays are read-only views of the message's bytes."""
    return _unpack(message, RESOURCE_TYPES)


def latency_bounds_ns(bucket: int) -> tuple[float, float]:
    """Lower and upper bound of a latency bucket: (2**(bucket/8), 2**((bucket+1)/8)) nanoseconds."""
    width = 2**HISTOGRAM_SCALE
    return 2.0 ** (bucket / width), 2.0 ** ((bucket + 1) / width)


def _pack(columns: Columns, types: Mapping[str, str]) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(columns[name], dtype=kind).tobytes() for name, kind in types.items()}


def _unpack(message: FlowColumns | RequestColumns | ResourceColumns, types: Mapping[str, str]) -> Columns:
    columns: Columns = {}
    for name, kind in types.items():
        raw = getattr(message, name)
        if len(raw) % np.dtype(kind).itemsize:
            raise MalformedColumns(f"column {name} has {len(raw)} bytes, which is no whole number of {kind}")
        columns[name] = np.frombuffer(raw, dtype=kind)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise MalformedColumns(f"columns of unequal length: {sorted(lengths)}")
    return columns
