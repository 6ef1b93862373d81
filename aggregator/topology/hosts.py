"""Hosts as a snapshot tells of them: fresh or stale, what was lost, when they were blind. Pure."""

from collections.abc import Mapping, Sequence

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import FOREVER_NS, HostKey
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.graph import stamp


def hosts_of(keys: Sequence[HostKey], coverage: Mapping[int, HostCoverage], cluster: str, now_ns: int) -> list[pb.Host]:
    """In order of their names; those of another cluster than `cluster` have its name before theirs."""
    return sorted((_host(keys[host], known, cluster, now_ns) for host, known in coverage.items()), key=_name)


def _host(key: HostKey, known: HostCoverage, cluster: str, now_ns: int) -> pb.Host:
    name = key.name if key.cluster == cluster else f"{key.cluster}:{key.name}"
    message = pb.Host(name=name, stale=known.is_stale(now_ns), coverage=known.coverage)
    message.last_seen.CopyFrom(stamp(known.heard_ns))
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
