"""What all workloads of a cluster were given, how many pods of them there are and shall be, how those fare. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.deployed.specs import Spec
from aggregator.resolve.objects import Machine, Meta, Pod
from aggregator.resolve.scaling import telling
from aggregator.resolve.scaling.autoscalers import Autoscaler

_OVER: Final = frozenset({"Succeeded", "Failed"})
Place = tuple[str, str, str]  # namespace, kind in lower case, name


class Scaling:
    """`workload_of` says which workload a controller's pods are, by its node id; `workload_of_pod` the same of a pod's
    uid, and "" where it is not known yet."""

    def __init__(self, workload_of: Callable[[Meta], str], workload_of_pod: Callable[[str], str]) -> None:
        self._workload_of = workload_of
        self._workload_of_pod = workload_of_pod
        self._unplaced: dict[str, Pod] = {}
        self._pods: dict[str, tuple[str, Pod]] = {}
        self._pods_of: defaultdict[str, dict[str, Pod]] = defaultdict(dict)
        self._specs: dict[str, tuple[str, Spec]] = {}  # with its workload
        self._specs_of: defaultdict[str, dict[str, Spec]] = defaultdict(dict)
        self._uid_at: dict[Place, str] = {}  # of specs, by what autoscalers call them: the one that was made last
        self._autoscalers: dict[str, Autoscaler] = {}
        self._machines: dict[str, Machine] = {}
        self._machine_of: dict[str, str] = {}  # names by uid
        self._users: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by machine, pods of each workload
        self._touched: set[str] = set()
        self._scales: dict[str, pb.Scale] = {}
        self._parts: tuple[Mapping[str, pb.Workload], Mapping[str, pb.Scale]] = ({}, {})
        self._told: Mapping[str, pb.Workload] = {}

    def pods(self, came: Iterable[Pod], gone: Iterable[str]) -> None:
        for pod in came:
            self._unplaced[pod.uid] = pod
        for uid in gone:
            self._unplaced.pop(uid, None)
            self._forget(uid)
        for uid in [uid for uid in self._unplaced if self._workload_of_pod(uid)]:
            pod, node = self._unplaced.pop(uid), self._workload_of_pod(uid)
            self._forget(uid)
            self._pods[uid] = node, pod
            self._pods_of[node][uid] = pod
            self._touched.add(node)
            self._users[pod.node][node] += 1

    def specs(self, came: Iterable[Spec], gone: Iterable[str]) -> None:
        for spec in came:
            self._forget_spec(spec.uid)
            node = self._workload_of(spec.meta)
            self._specs[spec.uid] = node, spec
            self._specs_of[node][spec.uid] = spec
            self._uid_at[_place_of(spec)] = spec.uid
            self._touched.add(node)
        for uid in gone:
            self._forget_spec(uid)

    def look_above(self) -> None:
        """Owners of what owns pods may be known by now that were not."""
        owned = [each for each in self._specs.values() if each[1].meta.owner is not None]
        self.specs([spec for node, spec in owned if self._workload_of(spec.meta) != node], ())

    def autoscalers(self, came: Iterable[Autoscaler], gone: Iterable[str]) -> None:
        for one in came:
            self._touch_target(self._autoscalers.get(one.uid))
            self._autoscalers[one.uid] = one
            self._touch_target(one)
        for uid in gone:
            self._touch_target(self._autoscalers.pop(uid, None))

    def target_of(self, uid: str) -> str:
        """The workload that an autoscaler scales; "" where that uid is none's."""
        one = self._autoscalers.get(uid)
        return self._target_of(one) if one is not None else ""

    def machines(self, came: Iterable[Machine], gone: Iterable[str]) -> None:
        for one in came:
            before = self._machines.get(one.name)
            self._machines[one.name], self._machine_of[one.uid] = one, one.name
            if before is None or before.pressures != one.pressures:
                self._touched.update(self._users.get(one.name, ()))
        for uid in gone:
            name = self._machine_of.pop(uid, "")
            if name in self._machines and self._machines[name].uid == uid:
                del self._machines[name]

    def pressures(self) -> list[pb.Pressure]:
        """Of machines that have any."""
        return [telling.pressure_of(*one) for one in sorted(self._pressures_of(self._machines).items())]

    def told(self, workloads: Mapping[str, pb.Workload]) -> Mapping[str, pb.Workload]:
        """All workloads, each with its scale. What was given out before does not change, and is the same if nothing
        else did."""
        scales = self._scaled()
        if workloads is self._parts[0] and scales is self._parts[1]:
            return self._told
        before, self._parts, told = self._parts, (workloads, scales), {}
        for node in {**workloads, **scales}:
            workload, scale = workloads.get(node), scales.get(node)
            is_same = before[0].get(node) is workload and before[1].get(node) is scale
            told[node] = self._told[node] if is_same else telling.with_scale(node, workload, scale)
        self._told = told
        return told

    def _scaled(self) -> Mapping[str, pb.Scale]:
        touched, self._touched = self._touched, set()
        if touched:
            targets: defaultdict[str, list[Autoscaler]] = defaultdict(list)
            for one in self._autoscalers.values():
                targets[self._target_of(one)].append(one)
            scales = dict(self._scales)
            for node in touched:
                self._describe(scales, node, targets.get(node, ()))
            self._scales = scales
        return self._scales

    def _describe(self, scales: dict[str, pb.Scale], node: str, autoscalers: Sequence[Autoscaler]) -> None:
        pods = [pod for pod in self._pods_of.get(node, {}).values() if pod.phase not in _OVER]
        specs = list(self._specs_of.get(node, {}).values())
        if not pods and not specs:
            scales.pop(node, None)
            return
        scales[node] = telling.scale_of(pods, specs, autoscalers, self._pressures_of(pod.node for pod in pods))

    def _pressures_of(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Of those of them that have any."""
        known = {name: self._machines[name].pressures for name in names if name in self._machines}
        return {name: pressures for name, pressures in known.items() if pressures}

    def _target_of(self, one: Autoscaler) -> str:
        """The workload's node id; what nobody watches is called as the autoscaler calls it."""
        place = (one.namespace, one.target_kind.lower(), one.target_name)
        uid = self._uid_at.get(place)
        return "/".join(place) if uid is None else self._specs[uid][0]

    def _touch_target(self, one: Autoscaler | None) -> None:
        if one is not None:
            self._touched.add(self._target_of(one))

    def _forget(self, uid: str) -> None:
        node, pod = self._pods.pop(uid, ("", None))
        if pod is None:
            return
        self._touched.add(node)
        del self._pods_of[node][uid]
        self._users[pod.node][node] -= 1
        if not self._users[pod.node][node]:
            del self._users[pod.node][node]
        if not self._users[pod.node]:
            del self._users[pod.node]
        if not self._pods_of[node]:
            del self._pods_of[node]

    def _forget_spec(self, uid: str) -> None:
        node, spec = self._specs.pop(uid, ("", None))
        if spec is None:
            return
        # One that was made anew under its name is told together with its end.
        if self._uid_at.get(_place_of(spec)) == uid:
            del self._uid_at[_place_of(spec)]
        self._touched.add(node)
        del self._specs_of[node][uid]
        if not self._specs_of[node]:
            del self._specs_of[node]


def _place_of(spec: Spec) -> Place:
    return spec.meta.namespace, spec.meta.kind.lower(), spec.meta.name
