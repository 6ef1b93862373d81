"""One message of an agent, checked: what leaves here can be counted without a further question. Pure.

Whatever is wrong is refused as a whole batch, before anything of it is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1.columns import (
    CONTRACT_VERSION,
    FIRST_NAME_ID,
    Columns,
    MalformedColumns,
    unpack_flows,
    unpack_requests,
    unpack_resources,
)
from plumbline.v1.flow_pb2 import Batch, Hello, ReportRequest

from aggregator.records import SECOND_NS, Refused

Ints = npt.NDArray[np.int64]

# Beyond these it is no number, and no sum of a column, of one batch: 9 petabytes, or 80,000 requests that all waited
# for two hours.
_MOST_COUNT: Final = 2**53
_MOST_SUM_NS: Final = 2**59
_LAST_SECOND: Final = 4_102_444_800  # the year 2100
_LONGEST_TEXT_BYTES: Final = 4096
# Of a unit, a pod, a container, a command.
_LONGEST_IDENTITY_BYTES: Final = 1024
_MOST_ADDRESSES: Final = 10_000
_LONGEST_WORD: Final = 128
_LONGEST_INTERVAL_SECONDS: Final = 86_400
_ADDRESS_BYTES: Final = 16
_LIMITS: Final[Mapping[str, int]] = {"protocol": 63, "operation": 63, "outcome": 15, "latency_bucket": 511}


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch whose columns are unpacked; bucket times are nanoseconds of the agent's clock."""

    batch: Batch
    bucket_from_ns: Ints
    bucket_to_ns: Ints
    flows: Columns
    requests: Columns
    resources: Columns


def decode(payload: bytes) -> ReportRequest:
    """Raises Refused."""
    try:
        return ReportRequest.FromString(payload)
    except DecodeError as error:
        raise Refused("undecodable", "This is no ReportRequest of plumbline.v1.") from error


def check_hello(hello: Hello) -> None:
    """Raises Refused; its reason is `version` when the agent speaks another contract."""
    if hello.oldest_contract_version > CONTRACT_VERSION or hello.contract_version < CONTRACT_VERSION:
        raise Refused(
            "version",
            f"The agent speaks versions {hello.oldest_contract_version} to {hello.contract_version} of the contract, "
            f"the aggregator {CONTRACT_VERSION}; use neighbouring versions of both.",
        )
    if not 0 < len(hello.host) <= 253 or not hello.host.isprintable() or "/" in hello.host:
        raise Refused("host", "A host needs a printable name without a slash; give it with --host.")
    if len(hello.cluster) > _LONGEST_WORD or not hello.cluster.isprintable():
        raise Refused("cluster", "The cluster's name must be printable and short; give it with --cluster.")
    if any(len(text) > _LONGEST_WORD or not text.isprintable() for text in _words(hello)):
        raise Refused("word", f"The words of a hello are printable and have {_LONGEST_WORD} characters at most.")
    if not hello.epoch:
        raise Refused("epoch", "A hello needs an epoch.")
    _nanoseconds(hello.clock)
    if not (0 <= hello.interval.seconds <= _LONGEST_INTERVAL_SECONDS and 0 <= hello.interval.nanos < SECOND_NS):
        raise Refused("time", f"An interval is between 0 and {_LONGEST_INTERVAL_SECONDS} seconds.")


def _words(hello: Hello) -> tuple[str, ...]:
    return hello.boot_id, hello.agent_version, hello.gap_reason


def check_batch(batch: Batch) -> Checked:
    """Raises Refused."""
    if not batch.sequence:
        raise Refused("sequence", "A batch needs a sequence number from 1.")
    try:
        flows, requests = unpack_flows(batch.flows), unpack_requests(batch.requests)
        resources = unpack_resources(batch.resources)
    except MalformedColumns as error:
        raise Refused("columns", f"The columns of batch {batch.sequence} cannot be read: {error}.") from error
    begins = [_nanoseconds(getattr(bucket, "from")) for bucket in batch.buckets]
    ends = [_nanoseconds(bucket.to) for bucket in batch.buckets]
    if any(end < begin for begin, end in zip(begins, ends, strict=True)):
        raise Refused("bucket", f"A time bucket of batch {batch.sequence} ends before it begins.")
    for columns in (flows, requests, resources):
        _check_columns(columns, len(begins), batch.sequence)
    _check_definitions(batch)
    _check_times(batch)
    return Checked(batch, np.array(begins, np.int64), np.array(ends, np.int64), flows, requests, resources)


def nanoseconds(stamp: Timestamp) -> int:
    """Of a stamp that was checked."""
    return stamp.seconds * SECOND_NS + stamp.nanos


def _check_columns(columns: Columns, buckets: int, sequence: int) -> None:
    for name, column in columns.items():
        if not len(column):
            return
        is_sum = column.dtype.itemsize == 8 and name != "protocols"
        most = buckets - 1 if name == "bucket" else _LIMITS.get(name)
        if is_sum:
            most = _MOST_SUM_NS if name.endswith("_ns") else _MOST_COUNT
        if most is not None and int(column.max()) > most:
            raise Refused("value", f"Column {name} of batch {sequence} holds a number beyond {most}.")
        if is_sum and most is not None and float(column.sum(dtype=np.float64)) > most:
            raise Refused("value", f"Column {name} of batch {sequence} says more than {most} altogether.")


def _check_definitions(batch: Batch) -> None:
    for flow in batch.flow_definitions:
        _check_address(flow.local_address, flow.peer_address)
        if flow.asked_address:
            _check_address(flow.asked_address)
    for owned in batch.ownerships:
        _check_address(owned.address)
    for answer in batch.dns_answers:
        _check_address(*answer.addresses)
    if batch.HasField("host_status"):
        _check_address(*batch.host_status.addresses)
        _check_lengths(batch.host_status.shed, _LONGEST_WORD)
        if len(batch.host_status.addresses) > _MOST_ADDRESSES:
            raise Refused("address", f"A host has {_MOST_ADDRESSES} addresses at most.")
    for name in batch.names:
        if name.id < FIRST_NAME_ID:
            raise Refused("name", f"Name {name.id} has a fixed meaning and cannot be defined.")
    _check_ports([flow.port for flow in batch.flow_definitions], [flow.asked_port for flow in batch.flow_definitions])
    _check_ports([owned.port for owned in batch.ownerships])
    _check_texts(batch)


def _check_address(*addresses: bytes) -> None:
    for address in addresses:
        if len(address) != _ADDRESS_BYTES:
            raise Refused("address", f"An address has {len(address)} bytes instead of {_ADDRESS_BYTES}.")


def _check_ports(*ports: Iterable[int]) -> None:
    if any(port > 65535 for some in ports for port in some):
        raise Refused("port", "A port is beyond 65535.")


def _check_texts(batch: Batch) -> None:
    texts = [one.text for one in batch.names] + [one.name for one in batch.dns_answers]
    texts += [one.server_name for one in batch.flow_definitions]
    _check_lengths(texts, _LONGEST_TEXT_BYTES)
    for one in batch.endpoints:
        _check_lengths((one.pod_uid, one.container_id, one.unit, one.command), _LONGEST_IDENTITY_BYTES)


def _check_lengths(texts: Iterable[str], most_bytes: int) -> None:
    # A character has four bytes at most: only few texts are worth counting.
    if any(4 * len(text) > most_bytes and len(text.encode()) > most_bytes for text in texts):
        raise Refused("text", f"A name is longer than {most_bytes} bytes.")


def _check_times(batch: Batch) -> None:
    stamps = [batch.sent, *(answer.time for answer in batch.dns_answers)]
    for owned in batch.ownerships:
        stamps += (getattr(owned, "from"), owned.to)
    if batch.HasField("host_status"):
        stamps.append(batch.host_status.time)
        for blind in batch.host_status.blind:
            stamps += (getattr(blind, "from"), blind.to)
        if abs(batch.host_status.clock_set.seconds) > _LAST_SECOND:
            raise Refused("time", f"A clock that was set by {batch.host_status.clock_set.seconds} s is no clock.")
    for stamp in stamps:
        _nanoseconds(stamp)
    _check_counts(batch)


def _check_counts(batch: Batch) -> None:
    counted = [*batch.host_status.lost, *batch.host_status.dropped]
    if any(one.count > _MOST_COUNT or len(one.reason) > 100 for one in counted):
        raise Refused("value", "A host status counts more than can have happened.")


def _nanoseconds(stamp: Timestamp) -> int:
    if not (0 <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < SECOND_NS):
        raise Refused("time", f"{stamp.seconds} s {stamp.nanos} ns is no time.")
    return nanoseconds(stamp)
