"""Which part of the window each host was watched: what was not seen there was not looked at. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from plumbline.v1.topology_pb2 import Host, Node, Topology

from aggregator.insight.edges import RUNNING_KINDS


@dataclass(frozen=True, slots=True)
class HostWatch:
    """`share` of the window (0 to 1) in which the host's agent was there."""

    name: str
    share: float
    stale: bool
    coverage: float


@dataclass(frozen=True, slots=True)
class Watch:
    """`share` is the mean over hosts, 0 when there is none."""

    hosts: Mapping[str, HostWatch]
    from_ns: int
    to_ns: int

    @property
    def share(self) -> float:
        return sum(host.share for host in self.hosts.values()) / len(self.hosts) if self.hosts else 0.0

    def hosts_of(self, node: Node) -> tuple[HostWatch, ...]:
        """The hosts on which a node runs; all of them where its id does not tell."""
        place = node.id.removeprefix(f"{node.cluster}:").partition("/")[0]
        if node.kind in RUNNING_KINDS and place in self.hosts:
            return (self.hosts[place],)
        return tuple(self.hosts.values())

    def seconds_of(self, nodes: Iterable[Node]) -> float:
        """How long the first of these has been in view within the window; who only listens was not seen to call."""
        first = min((one.first_seen.ToNanoseconds() for one in nodes if one.HasField("first_seen")), default=self.to_ns)
        return max(self.to_ns - max(self.from_ns, first), 0) / 1e9


def watch(topology: Topology) -> Watch:
    from_ns = getattr(topology.window, "from").ToNanoseconds()
    to_ns = topology.window.to.ToNanoseconds()
    hosts = [HostWatch(host.name, _share(host, from_ns, to_ns), host.stale, host.coverage) for host in topology.hosts]
    return Watch({host.name: host for host in hosts}, from_ns, to_ns)


def _share(host: Host, from_ns: int, to_ns: int) -> float:
    spans = [
        (getattr(blind, "from").ToNanoseconds(), blind.to.ToNanoseconds() if blind.HasField("to") else to_ns)
        for blind in host.blind
    ]
    if host.stale:
        spans.append((host.last_seen.ToNanoseconds(), to_ns))
    if to_ns <= from_ns:
        return 0.0 if host.stale else 1.0
    return 1.0 - _covered_ns(spans, from_ns, to_ns) / (to_ns - from_ns)


def _covered_ns(spans: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> int:
    """The length of the union of spans within the window."""
    total, reached = 0, from_ns
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, to_ns)
        if end > begin:
            total += end - begin
            reached = end
    return total
