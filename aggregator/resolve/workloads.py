"""From pods to what a person deployed: the chain of owners to the top, whatever kinds are on the way. Pure.

Pods and their owners come in any order. A pod is named when its chain is whole, or when nobody will complete it: the
kind cannot be watched, or its owner did not come for a while. A name that was given stays until a better one is known.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from aggregator.records import SECOND_NS
from aggregator.resolve.objects import Meta, Owner, Pod

# The kind of an owner: API version and kind.
Kind: TypeAlias = tuple[str, str]

_GRACE_NS: Final = 10 * SECOND_NS
_MOST_CONTAINERS: Final = 64  # of one pod, whose names are known
_MOST_OWNERS: Final = 10  # of one pod, one above the other
# Kinds that own pods and are no workload: a pod that a kubelet runs from a file has its machine as its owner.
_NO_WORKLOADS: Final = frozenset({"Node"})


class PodName(NamedTuple):
    """What the pod with this uid, as its cgroup has it, is part of. `containers`: (id, name), the newest last."""

    uid: str
    namespace: str
    kind: str
    name: str
    pod: str
    revision: str
    node: str
    containers: tuple[tuple[str, str], ...] = ()

    @property
    def workload(self) -> str:
        """As the graph's nodes are called."""
        return f"{self.namespace}/{self.kind}/{self.name}"


class Workloads:
    """All pods that live, and those that ended and are not named yet. `given_up` are kinds that nobody watches."""

    def __init__(self) -> None:
        self.given_up: set[Kind] = set()
        self._pods: dict[str, Pod] = {}
        self._owners: dict[str, Meta] = {}
        self._past_owners: set[str] = set()  # of these, those that are gone and have pods still
        self._deployments: dict[tuple[str, str], Owner] = {}  # by namespace and name
        self._named: dict[str, PodName] = {}
        self._waiting: dict[str, int] = {}  # pods without a whole chain, since when
        self._ended: set[str] = set()  # of these, those that are gone
        self._touched: set[str] = set()  # pods to be looked at
        self._users: defaultdict[str, set[str]] = defaultdict(set)  # by owner, pods with it in their chain
        self._chains: dict[str, tuple[str, ...]] = {}
        self._wanted: set[Kind] = set()
        self._last_of: dict[str, str] = {}  # by a cgroup's uid: a static pod's object comes and goes, its cgroup stays
        self._left: set[str] = set()

    def __len__(self) -> int:
        return len(self._pods)

    def pods(self, came: Iterable[Pod], gone: Iterable[str], now_ns: int) -> None:
        for pod in came:
            self._pods[pod.uid] = pod
            self._last_of[pod.cgroup_uid] = pod.uid
            self._left.discard(pod.cgroup_uid)
            self._ended.discard(pod.uid)
            self._touch(pod.uid, now_ns)
        for uid in gone:
            if uid in self._waiting:
                self._ended.add(uid)
            else:
                self._forget(uid)

    def owners(self, came: Iterable[Meta], gone: Iterable[str], now_ns: int) -> None:
        """One that is gone is remembered for as long as a pod of its is there."""
        for meta in came:
            before = self._owners.get(meta.uid)
            self._owners[meta.uid] = meta
            self._past_owners.discard(meta.uid)
            if meta.kind == "Deployment":
                self._deployments[meta.namespace, meta.name] = Owner("apps/v1", meta.kind, meta.name, meta.uid)
            if before is None or before.owner != meta.owner:
                for pod in self._users.get(meta.uid, ()):
                    self._touch(pod, now_ns)
        for uid in gone:
            known = self._owners.get(uid)
            place = (known.namespace, known.name) if known is not None and known.kind == "Deployment" else None
            # One that was made anew under its name is told together with its end.
            if place in self._deployments and self._deployments[place].uid == uid:
                del self._deployments[place]
            if self._users.get(uid):
                self._past_owners.add(uid)
            else:
                self._owners.pop(uid, None)

    def give_up(self, kind: Kind) -> None:
        """Of this kind no object will come, until it is taken from `given_up`."""
        self.given_up.add(kind)
        self._touched.update(self._waiting)

    def of_pod(self, uid: str) -> str:
        """What it is part of, as the graph's node is called; "" while that is not known."""
        known = self._named.get(uid)
        return known.workload if known else ""

    def take_wanted(self) -> set[Kind]:
        """Kinds of owners that somebody should watch, since this was asked last."""
        wanted, self._wanted = self._wanted - self.given_up, set()
        return wanted

    def take_named(self, now_ns: int) -> list[PodName]:
        """Names that are new or better. To be asked now and then also where nothing came: some wait for a time."""
        due = {pod for pod, since_ns in self._waiting.items() if now_ns - since_ns >= _GRACE_NS}
        touched, self._touched = self._touched | due, set()
        return [name for uid in sorted(touched) if uid in self._pods and (name := self._name(uid, uid in due))]

    def take_ended(self) -> list[str]:
        """Pods that are gone, by their cgroups' uids, since this was asked last."""
        left, self._left = self._left, set()
        return sorted(left)

    def of_owner(self, meta: Meta) -> str:
        """The same of what owns pods, or owns what does, as far as owners are known by now."""
        kind, name, above, seen = meta.kind, meta.name, meta.owner, {meta.uid}
        while above is not None and above.uid not in seen:
            kind, name = above.kind, above.name
            seen.add(above.uid)
            known = self._owners.get(above.uid)
            above = known.owner if known else None
        return f"{meta.namespace}/{kind.lower()}/{name}"

    def present(self) -> set[str]:
        """All pods, by their cgroups' uids."""
        return set(self._last_of)

    def _touch(self, uid: str, now_ns: int) -> None:
        self._touched.add(uid)
        if uid not in self._named:
            self._waiting.setdefault(uid, now_ns)

    def _name(self, uid: str, is_due: bool) -> PodName | None:
        """None where it is the same as before, or not to be told yet."""
        pod, before = self._pods[uid], self._named.get(uid)
        chain, top, is_whole = self._chain(pod)
        self._remember(uid, chain)
        if not is_whole and (before is not None or not is_due):
            return None
        kind, name = (top.kind, top.name) if top is not None else ("Pod", pod.name)
        containers = _together(before.containers if before else (), pod.containers)
        found = PodName(pod.cgroup_uid, pod.namespace, kind.lower(), name, pod.name, pod.revision, pod.node, containers)
        self._waiting.pop(uid, None)
        self._named[uid] = found
        if uid in self._ended:
            self._forget(uid)
        return found if found != before else None

    def _chain(self, pod: Pod) -> tuple[list[str], Owner | None, bool]:
        """Owners' uids from the pod on, the highest one, and whether nothing above it is still to come."""
        chain: list[str] = []
        top, above = None, pod.owner
        while above is not None and above.kind not in _NO_WORKLOADS and above.uid not in chain:
            if len(chain) >= _MOST_OWNERS:
                break
            top = above
            chain.append(top.uid)
            known = self._owners.get(top.uid)
            if known is None:
                kind = (top.api_version, top.kind)
                self._wanted.add(kind)
                return chain, self._by_hash(pod, top), kind in self.given_up
            above = known.owner
        return chain, top, True

    def _by_hash(self, pod: Pod, owner: Owner) -> Owner:
        """A Deployment's ReplicaSet that cannot be looked at is called by the Deployment and the pod's template."""
        name = owner.name.removesuffix(f"-{pod.revision}")
        if owner.kind == "ReplicaSet" and pod.revision and name != owner.name:
            return self._deployments.get((pod.namespace, name), owner)
        return owner

    def _remember(self, uid: str, chain: Iterable[str]) -> None:
        before, after = set(self._chains.get(uid, ())), set(chain)
        for owner in before - after:
            self._users[owner].discard(uid)
            if not self._users[owner]:
                del self._users[owner]
                if owner in self._past_owners:
                    self._past_owners.remove(owner)
                    self._owners.pop(owner, None)
        for owner in after - before:
            self._users[owner].add(uid)
        self._chains[uid] = tuple(after)

    def _forget(self, uid: str) -> None:
        self._remember(uid, ())
        del self._chains[uid]
        self._ended.discard(uid)
        pod = self._pods.pop(uid, None)
        if pod is not None and self._last_of.get(pod.cgroup_uid) == uid:
            del self._last_of[pod.cgroup_uid]
            self._left.add(pod.cgroup_uid)
        self._named.pop(uid, None)
        self._waiting.pop(uid, None)


def _together(before: Iterable[tuple[str, str]], now: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """What one that ran before used is told after it was forgotten by the API."""
    return tuple(dict.fromkeys((*before, *now)))[-_MOST_CONTAINERS:]
