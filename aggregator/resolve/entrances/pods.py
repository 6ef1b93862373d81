"""What pods' doors come to for the workloads that they are part of: each pod counts once, as it is called. Pure."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.objects import Pod

K = TypeVar("K", bound=Hashable)
EVERY_PORT: Final = 0


class PodDoors:
    """`of_pod`: what a pod is part of, as the graph's node is called; "" while that is not known. `asked`, `metrics`
    and `openings` are (node, port), (node, path) and (node, kind, port), each of at least one pod, as are `workloads`
    and, of those, `our_own`; `version` grows when one of these comes or goes."""

    def __init__(self, of_pod: Callable[[str], str]) -> None:
        self._of_pod = of_pod
        self._pods: dict[str, Pod] = {}
        self._uid_of: dict[str, str] = {}  # by what its cgroup is called
        self._told: dict[str, tuple[str, Pod]] = {}
        self.workloads: Counter[str] = Counter()
        self.our_own: Counter[str] = Counter()
        self.asked: Counter[tuple[str, int]] = Counter()
        self.metrics: Counter[tuple[str, str]] = Counter()
        self.openings: Counter[tuple[str, int, int]] = Counter()
        self.version = 0

    def learn(self, came: Iterable[Pod], gone: Iterable[str]) -> bool:
        """Whether one of them is called otherwise by now."""
        uids = set()
        for pod in came:
            self._pods[pod.uid], self._uid_of[pod.cgroup_uid] = pod, pod.uid
            uids.add(pod.uid)
        for uid in gone:
            known = self._pods.pop(uid, None)
            if known is not None and self._uid_of.get(known.cgroup_uid) == uid:
                del self._uid_of[known.cgroup_uid]
            uids.add(uid)
        return sum(map(self._tell, uids)) > 0

    def renamed(self, cgroup_uids: Iterable[str]) -> bool:
        """The same of pods of which the name is news."""
        return sum(self._tell(self._uid_of[one]) for one in cgroup_uids if one in self._uid_of) > 0

    def name_of(self, uid: str) -> str:
        """ "" for a pod that is not here, or not named."""
        known = self._told.get(uid)
        return known[0] if known else ""

    def _tell(self, uid: str) -> bool:
        """Whether its name is another one than before."""
        pod, before = self._pods.get(uid), self._told.pop(uid, None)
        name = self._of_pod(uid) if pod is not None else ""
        if pod is not None and name:
            self._told[uid] = name, pod
            self._count(name, pod, 1)
        if before is not None:
            self._count(*before, -1)
        return (before[0] if before else "") != name

    def _count(self, name: str, pod: Pod, sign: int) -> None:
        doors = pod.doors
        host_ports = doors.host_ports or ({EVERY_PORT} if pod.host_network else frozenset())
        kind = pb.OPENING_KIND_HOST_NETWORK if pod.host_network else pb.OPENING_KIND_HOST_PORT
        self._add(self.workloads, [name], sign)
        self._add(self.our_own, [name] if doors.is_our_own else [], sign)
        self._add(self.asked, [(name, port) for port in doors.asked], sign)
        self._add(self.metrics, [(name, path) for path in doors.metrics], sign)
        self._add(self.openings, [(name, kind, port) for port in host_ports], sign)

    def _add(self, counts: Counter[K], keys: Iterable[K], sign: int) -> None:
        for key in keys:
            before = counts[key]
            counts[key] += sign
            self.version += not before or not counts[key]
            if not counts[key]:
                del counts[key]
