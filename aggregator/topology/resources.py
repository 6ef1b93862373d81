"""What the endpoints of each node used, as messages. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End
from aggregator.topology.edge import Drawn
from aggregator.topology.tallies import NEVER_NS, earliest, latest, total, union
from aggregator.topology.usage import SUMS, Used

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
_MILLI: Final = 1000
_KINDS: Final = (
    flow.RESOURCE_KIND_CPU,
    flow.RESOURCE_KIND_CPU_LIMIT,
    flow.RESOURCE_KIND_MEMORY,
    flow.RESOURCE_KIND_OOM,
)


@dataclass(frozen=True, slots=True)
class Sums:
    """By group of endpoints. A limit is 0 where one of those that are there has none, or nobody is there."""

    seconds: Sequence[float]
    count: Sequence[int]
    known: Mapping[int, Sequence[bool]]
    used: Mapping[str, Sequence[int]]
    cpu_limit_millicores: Sequence[int]
    memory_bytes: Sequence[int]
    memory_limit_bytes: Sequence[int]
    memory_most_bytes: Sequence[int]
    memory_peak_share: Sequence[float]


@dataclass(frozen=True, slots=True)
class Running:
    """What was used in a window, and by whom. `containers`: see resources_of."""

    used: Used
    ends: Sequence[End]
    containers: Sequence[str | None]

    def idle(self, shown: Iterable[End]) -> list[End]:
        """Workloads that run and neither talk nor listen. Units that only run are a host's own matter."""
        ids = {end.id for end in shown}
        return [end for end in self.ends if end.namespace and end.id not in ids]

    def add_to(self, nodes: Iterable[pb.Node], edges: Sequence[Drawn]) -> None:
        """With the times of those that only run."""
        resources = resources_of(self.used, [end.id for end in self.ends], self.containers)
        add_network(resources, edges)
        rows = self.used.rows
        times = zip(self.ends, rows["from_ns"].tolist(), rows["to_ns"].tolist(), strict=True)
        spans = {end.id: (from_ns, to_ns) for end, from_ns, to_ns in times}
        for node in nodes:
            if node.id not in resources:
                continue
            node.resources.CopyFrom(resources[node.id])
            if not node.HasField("first_seen") and not node.listens:
                node.first_seen.FromNanoseconds(spans[node.id][0])
                node.last_seen.FromNanoseconds(spans[node.id][1])


def resources_of(used: Used, nodes: Sequence[str], containers: Sequence[str | None]) -> dict[str, pb.Resources]:
    """By node id. `nodes`: of each row; `containers`: what each is called in its pod, None for what is in none."""
    ids = sorted(set(nodes))
    position = {one: at for at, one in enumerate(ids)}
    of_nodes = sums_of(used, np.array([position[one] for one in nodes], np.int64), len(ids))
    found = {one: pb.Resources(**_fields(of_nodes, at)) for at, one in enumerate(ids)}
    for at, one in enumerate(ids):
        found[one].seconds = of_nodes.seconds[at]
        if of_nodes.known[flow.RESOURCE_KIND_MEMORY][at] and of_nodes.memory_peak_share[at]:
            found[one].memory_peak_share = of_nodes.memory_peak_share[at]
        if of_nodes.known[flow.RESOURCE_KIND_CPU_LIMIT][at]:
            found[one].cpu_throttled_seconds = of_nodes.used["cpu_throttled_ns"][at] / 1e9
    _add_containers(found, used, nodes, containers)
    return found


def add_network(resources: Mapping[str, pb.Resources], edges: Sequence[Drawn]) -> None:
    """What each node sent and received, by its edges."""
    for edge in edges:
        sent, received = edge.fields["bytes_sent"], edge.fields["bytes_received"]
        if edge.source in resources:
            resources[edge.source].network_sent_bytes += sent
            resources[edge.source].network_received_bytes += received
        if edge.target in resources:
            resources[edge.target].network_sent_bytes += received
            resources[edge.target].network_received_bytes += sent


def sums_of(used: Used, at: Ints, size: int) -> Sums:
    """`at`: the group of each row."""
    rows, now, there = used.rows, used.latest, used.is_there
    known = union(rows["known"], at, size)
    limits = now["memory_limit_bytes"]
    shares = np.zeros(size)
    has_limit = limits > 0
    np.maximum.at(shares, at[has_limit], rows["memory_most_bytes"][has_limit] / limits[has_limit])
    first_ns, last_ns = earliest(rows["from_ns"], at, size), latest(rows["to_ns"], at, size)
    return Sums(
        seconds=(np.where(first_ns < NEVER_NS, last_ns - first_ns, 0) / 1e9).tolist(),
        count=total(there.astype(np.int64), at, size).tolist(),
        known={kind: ((known >> kind & 1) != 0).tolist() for kind in _KINDS},
        used={name: total(rows[name], at, size).tolist() for name in SUMS},
        cpu_limit_millicores=_limits(now["cpu_limit_millicores"], there, at, size),
        memory_bytes=total(np.where(there, now["memory_bytes"], 0), at, size).tolist(),
        memory_limit_bytes=_limits(limits, there, at, size),
        memory_most_bytes=np.maximum(latest(rows["memory_most_bytes"], at, size), 0).tolist(),
        memory_peak_share=shares.tolist(),
    )


def _limits(limits: Ints, there: Bools, at: Ints, size: int) -> list[int]:
    unlimited = total((there & (limits == 0)).astype(np.int64), at, size)
    sums: list[int] = np.where(unlimited == 0, total(np.where(there, limits, 0), at, size), 0).tolist()
    return sums


def _fields(sums: Sums, at: int) -> dict[str, Any]:
    """What a node and its containers have in common; what is not known is left out."""
    found: dict[str, Any] = {}
    if sums.known[flow.RESOURCE_KIND_CPU][at] and sums.seconds[at]:
        found["cpu_cores"] = sums.used["cpu_ns"][at] / 1e9 / sums.seconds[at]
    if sums.known[flow.RESOURCE_KIND_CPU_LIMIT][at]:
        periods = sums.used["cpu_periods"][at]
        found["cpu_throttled_share"] = min(1.0, sums.used["cpu_throttled_periods"][at] / periods) if periods else 0.0
        if sums.cpu_limit_millicores[at]:
            found["cpu_limit_cores"] = sums.cpu_limit_millicores[at] / _MILLI
    if sums.known[flow.RESOURCE_KIND_MEMORY][at] and sums.count[at]:
        found["memory_bytes"] = sums.memory_bytes[at]
        if sums.memory_limit_bytes[at]:
            found["memory_limit_bytes"] = sums.memory_limit_bytes[at]
    if sums.known[flow.RESOURCE_KIND_OOM][at]:
        found["oom_kills"] = sums.used["oom_kills"][at]
    return found


def _add_containers(
    found: Mapping[str, pb.Resources], used: Used, nodes: Sequence[str], containers: Sequence[str | None]
) -> None:
    pairs = sorted({(node, name) for node, name in zip(nodes, containers, strict=True) if name is not None})
    if not pairs:
        return
    position = {pair: at for at, pair in enumerate(pairs)}
    at = np.array([position.get((node, name or ""), len(pairs)) for node, name in zip(nodes, containers, strict=True)])
    sums = sums_of(used, at, len(pairs) + 1)
    for one, (node, name) in enumerate(pairs):
        made = found[node].containers.add(name=name, count=sums.count[one], **_fields(sums, one))
        if sums.known[flow.RESOURCE_KIND_MEMORY][one]:
            made.memory_peak_bytes = sums.memory_most_bytes[one]
