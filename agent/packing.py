"""Portions of counts, and what a host says of itself, as messages of the contract. Pure."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1.columns import Columns, pack_flows, pack_requests, pack_resources
from plumbline.v1.flow_pb2 import Batch, HostStatus, MissingPart, ReasonCount, TimeBucket

from agent.coalescing import FLOWS, REQUESTS, RESOURCES, Form, Portion, empty

_SETTING_NS = 1_000_000


@dataclass(slots=True)
class Status:
    """What a host status will say; counts add up until it is sent."""

    time_ns: int
    missing: list[MissingPart] = field(default_factory=list)
    addresses: list[bytes] = field(default_factory=list)
    shed: tuple[str, ...] = ()
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    parsed_bytes: int = 0
    all_bytes: int = 0
    clock_set_ns: int = 0

    def add(self, later: "Status") -> None:
        self.time_ns, self.missing, self.addresses = later.time_ns, later.missing, later.addresses
        self.clock_set_ns = later.clock_set_ns
        self.shed = later.shed
        self.lost.update(later.lost)
        self.dropped.update(later.dropped)
        self.parsed_bytes += later.parsed_bytes
        self.all_bytes += later.all_bytes

    @property
    def urgent(self) -> bool:
        return bool(self.lost or self.dropped)


def put_rows(batch: Batch, portions: list[Portion]) -> None:
    if not portions:
        return
    for portion in portions:
        batch.buckets.append(
            TimeBucket(**{"from": timestamp(portion.span.from_ns), "to": timestamp(portion.span.to_ns)})
        )
    batch.flows.CopyFrom(pack_flows(_bucketed([portion.flows for portion in portions], FLOWS)))
    batch.requests.CopyFrom(pack_requests(_bucketed([portion.requests for portion in portions], REQUESTS)))
    if any(len(portion.resources["endpoint"]) for portion in portions):
        batch.resources.CopyFrom(pack_resources(_bucketed([portion.resources for portion in portions], RESOURCES)))


def _bucketed(parts: list[Columns], form: Form) -> Columns:
    columns: Columns = {
        name: np.concatenate([empty(form)[name], *(part[name] for part in parts)]) for name in form.types
    }
    lengths = [len(part[form.keys[0]]) for part in parts]
    columns["bucket"] = np.repeat(np.arange(len(parts), dtype=np.uint32), lengths)
    return columns


def host_status(status: Status) -> HostStatus:
    return HostStatus(
        time=timestamp(status.time_ns),
        lost=[ReasonCount(reason=reason, count=count) for reason, count in sorted(status.lost.items())],
        dropped=[ReasonCount(reason=reason, count=count) for reason, count in sorted(status.dropped.items())],
        coverage=min(1.0, status.parsed_bytes / status.all_bytes) if status.all_bytes else 1.0,
        missing=status.missing,
        addresses=status.addresses,
        shed=status.shed,
        clock_set=_duration(status.clock_set_ns),
    )


def timestamp(time_ns: int) -> Timestamp:
    return Timestamp(seconds=time_ns // 1_000_000_000, nanos=time_ns % 1_000_000_000)


def _duration(span_ns: int) -> Duration | None:
    # A clock that nobody sets wavers by less.
    if abs(span_ns) < _SETTING_NS:
        return None
    duration = Duration()
    duration.FromNanoseconds(span_ns)
    return duration
