"""Hosts as a snapshot tells of them: fresh or stale, what was lost, when they were blind. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import FOREVER_NS, HostKey
from aggregator.topology.columns import COUNTER, FlowRows
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.tallies import total
from aggregator.topology.times import stamp

_BYTES: Final = ("parsed_bytes", "bytes_sent", "bytes_received")


def hosts_of(
    keys: Sequence[HostKey],
    coverage: Mapping[int, HostCoverage],
    understood: Sequence[float],
    cluster: str,
    now_ns: int,
) -> list[pb.Host]:
    """In order of their names; those of another cluster than `cluster` have its name before theirs.

    `understood`: by host id, the share of the window's bytes on connections whose protocol was understood.
    """
    found = (_host(keys[host], known, understood[host], cluster, now_ns) for host, known in coverage.items())
    return sorted(found, key=_name)


def understood_shares(rows: FlowRows, hosts: npt.NDArray[np.int64], count: int) -> list[float]:
    """By host id; `hosts`: the host of each row. 1 where there was nothing to understand."""
    sums = {name: total(rows.counts[:, COUNTER[name]], hosts, count) for name in _BYTES}
    parsed, carried = sums["parsed_bytes"], sums["bytes_sent"] + sums["bytes_received"]
    shares: list[float] = np.where(carried > 0, np.minimum(parsed / np.maximum(carried, 1), 1.0), 1.0).tolist()
    return shares


def _host(key: HostKey, known: HostCoverage, understood: float, cluster: str, now_ns: int) -> pb.Host:
    name = key.name if key.cluster == cluster else f"{key.cluster}:{key.name}"
    message = pb.Host(name=name, stale=known.is_stale(now_ns), coverage=understood, shed=known.shed)
    message.last_seen.CopyFrom(stamp(known.heard_ns))
    message.clock_ahead_seconds = round(known.clock_ahead_ns / 1e9, 6)
    message.lost.update(known.lost)
    message.dropped.update(known.dropped)
    for one in known.blind:
        blind = message.blind.add(reason=one.reason)
        getattr(blind, "from").CopyFrom(stamp(one.from_ns))
        if one.to_ns != FOREVER_NS:
            blind.to.CopyFrom(stamp(one.to_ns))
    return message


def _name(host: pb.Host) -> str:
    return host.name
