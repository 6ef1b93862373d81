"""Which revisions of a workload run: pods by what they are marked with. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aggregator.records import FOREVER_NS
from aggregator.resolve.objects import Image, Pod

K = TypeVar("K", bound=Hashable)
_OVER: Final = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class Group:
    """Pods of one revision that are there."""

    pods: int = 0
    ready: int = 0
    created_ns: int = FOREVER_NS  # the first one
    hosts: Counter[str] = field(default_factory=Counter)
    images: Counter[tuple[Image, ...]] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)

    def add(self, pod: Pod, sign: int) -> None:
        self.pods += sign
        self.ready += sign * pod.ready
        self.created_ns = min(self.created_ns, pod.created_ns or FOREVER_NS)
        _count(self.hosts, pod.node, sign)
        _count(self.images, pod.images, sign)
        _count(self.waiting, pod.waiting, sign)

    @property
    def image(self) -> tuple[Image, ...]:
        """What most of them run: some may not have begun yet."""
        return max(self.images, key=lambda one: (self.images[one], one), default=())


def _count(counts: Counter[K], key: K, sign: int) -> None:
    if key:
        counts[key] += sign
        if not counts[key]:
            del counts[key]


class Running:
    """Pods whose workload is known. `touched` and `moved` are workloads of which anything changed, until somebody takes
    them."""

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self.moved: set[str] = set()
        self._pods: dict[str, tuple[str, Pod]] = {}
        self._groups: dict[str, dict[str, Group]] = {}

    def note(self, node: str, pod: Pod) -> None:
        """`node`: its workload's id."""
        self.forget([pod.uid])
        if pod.phase not in _OVER and not pod.leaving:
            self._pods[pod.uid] = node, pod
            self._groups.setdefault(node, {}).setdefault(pod.revision, Group()).add(pod, 1)
            self._touch(node)

    def forget(self, uids: Iterable[str]) -> None:
        for uid in uids:
            node, pod = self._pods.pop(uid, ("", None))
            if pod is None:
                continue
            self._touch(node)
            groups = self._groups[node]
            groups[pod.revision].add(pod, -1)
            if not groups[pod.revision].pods:
                del groups[pod.revision]
            if not groups:
                del self._groups[node]

    def _touch(self, node: str) -> None:
        self.touched.add(node)
        self.moved.add(node)

    def of(self, node: str) -> dict[str, Group]:
        """By revision; "" for pods that have none."""
        return self._groups.get(node, {})
