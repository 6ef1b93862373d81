"""All workloads of a cluster as far as its API tells: what happened to them, and how they are. Pure.

Whoever feeds it says the time, and asks now and then also where nothing came: a rollout may be stuck by waiting.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import SECOND_NS
from aggregator.resolve.deployed import telling
from aggregator.resolve.deployed.byhand import ByHand
from aggregator.resolve.deployed.crowd import Crowd
from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.differences import replaces_pods
from aggregator.resolve.deployed.rollouts import Progress
from aggregator.resolve.deployed.running import Running
from aggregator.resolve.deployed.specs import Generation, Spec
from aggregator.resolve.deployed.warnings import Warned, Warnings
from aggregator.resolve.objects import Meta, Pod

MOST_UNTOLD: Final = 10_000  # that nobody took yet
_MOST_WAITING: Final = 1_000
_GRACE_NS: Final = 10 * SECOND_NS


class Deployed:
    """`workload_of` says which workload a controller's pods are, by its node id, as far as that is known by now;
    `workload_of_pod` the same of a pod's uid, and "" where it is not known yet; `target_of` of an autoscaler's."""

    def __init__(
        self,
        deployers: Deployers,
        workload_of: Callable[[Meta], str],
        workload_of_pod: Callable[[str], str],
        target_of: Callable[[str], str],
    ) -> None:
        self._untaken = 0  # events that nobody took in time
        self._beyond = 0  # changes by hand of workloads that are gone, which found no room
        self._warnings = Warnings()
        self._deployers = deployers
        self._workload_of = workload_of
        self._workload_of_pod = workload_of_pod
        self._target_of_autoscaler = target_of
        self._unplaced: dict[str, Pod] = {}
        self._waiting: list[tuple[int, Warned]] = []
        self._parts: dict[str, Progress] = {}
        self._nodes: dict[str, str] = {}  # by part
        self._parts_of: defaultdict[str, set[str]] = defaultdict(set)  # by node
        self._active: set[str] = set()
        self._by_hand: dict[str, ByHand] = {}
        self._generations: dict[str, Generation] = {}
        self._owned: defaultdict[str, set[str]] = defaultdict(set)  # generations by their owner
        self._running = Running()
        self._crowds: dict[str, Crowd] = {}
        self._look: set[str] = set()
        self._touched: set[str] = set()
        self._events: list[pb.Event] = []
        self._messages: dict[str, pb.Workload] = {}
        self.listed: set[str] = set()  # kinds of which all that was there before came: what comes now is new

    def dropped(self) -> dict[str, int]:
        """What found no room, by reason."""
        by_hand = self._beyond + sum(one.dropped for one in self._by_hand.values())
        return {"events_untold": self._untaken, "warnings_full": self._warnings.dropped, "by_hand_full": by_hand}

    def specs(self, came: Iterable[Spec], gone: Iterable[str], now_ns: int) -> None:
        for spec in came:
            self._spec(spec, now_ns)
        for uid in gone:
            part = self._parts.pop(uid, None)
            if part is not None:
                self._beyond += self._by_hand.pop(uid).dropped
                self._active.discard(uid)
                self._place(uid, "")

    def look_above(self) -> None:
        """Owners of what owns pods may be known by now that were not."""
        for uid, part in self._parts.items():
            if part.spec.meta.owner is not None and (node := self._workload_of(part.spec.meta)) != self._nodes[uid]:
                self._place(uid, node)

    def generations(self, came: Iterable[Generation], gone: Iterable[str]) -> None:
        for one in came:
            self._disown(one.uid)
            if one.meta.owner is not None:
                self._generations[one.uid] = one
                self._owned[one.meta.owner.uid].add(one.uid)
                self._look.add(one.meta.owner.uid)
        for uid in gone:
            self._disown(uid)

    def _disown(self, uid: str) -> None:
        """Who owned it may be another one by now."""
        known = self._generations.pop(uid, None)
        if known is not None and known.meta.owner is not None:
            owned = self._owned[known.meta.owner.uid]
            owned.discard(uid)
            if not owned:
                del self._owned[known.meta.owner.uid]

    def pods(self, came: Iterable[Pod], gone: Iterable[str]) -> None:
        self._running.forget(gone)
        self._unplaced.update((pod.uid, pod) for pod in came)
        for uid in gone:
            self._unplaced.pop(uid, None)
        for uid in [uid for uid in self._unplaced if self._workload_of_pod(uid)]:
            self._running.note(self._workload_of_pod(uid), self._unplaced.pop(uid))

    def warned(self, came: Iterable[Warned], gone: Iterable[str], now_ns: int) -> None:
        waiting, self._waiting = [*self._waiting, *((now_ns, one) for one in came)], []
        for since_ns, one in waiting:
            node = self._node_about(one.about)
            # Of a pod it may be known later what it is part of.
            if not node and one.kind == "Pod" and now_ns - since_ns < _GRACE_NS and len(self._waiting) < _MOST_WAITING:
                self._waiting.append((since_ns, one))
            else:
                told = self._warnings.note(node, one, now_ns)
                self._add(telling.of_warning(node, one, count) for one, count in told)
        for uid in gone:
            self._warnings.forget(uid)

    def _node_about(self, uid: str) -> str:
        """The workload that an object is part of; "" where that is not known."""
        found = self._nodes.get(uid) or self._workload_of_pod(uid) or self._target_of_autoscaler(uid)
        generation = self._generations.get(uid)
        if not found and generation is not None:
            found = self._workload_of(generation.meta)
        return found

    def take_events(self, now_ns: int) -> list[pb.Event]:
        """What happened since this was asked last, or is known by now."""
        for uid in sorted(self._look | self._active):
            part = self._parts.get(uid)
            if part is not None:
                self._step(part, now_ns)
        self._look.clear()
        moved, self._running.moved = self._running.moved, set()
        for node in sorted(moved):
            self._step_by_pods(node, now_ns)
        events, self._events = self._events, []
        return events

    def workloads(self) -> Mapping[str, pb.Workload]:
        """How they are now, by their ids."""
        touched, self._touched = self._touched | self._running.touched, set()
        self._running.touched = set()
        if touched:
            messages = dict(self._messages)
            for node in touched:
                self._describe(messages, node, sorted(self._parts_of.get(node, ())))
            self._messages = messages
        return self._messages

    def _describe(self, messages: dict[str, pb.Workload], node: str, uids: Sequence[str]) -> None:
        groups, parts = self._running.of(node), [self._parts[uid] for uid in uids]
        if groups or parts:
            by_hand = [change for uid in uids for change in self._by_hand[uid].fields]
            crowd = self._crowds.get(node)
            messages[node] = telling.workload_of(node, groups, parts, by_hand, crowd.last if crowd else None)
        else:
            messages.pop(node, None)

    def _place(self, uid: str, node: str) -> None:
        """A part is part of that workload; of none any more with ""."""
        before = self._nodes.pop(uid, "")
        if before != node and before:
            self._touched.add(before)
            self._parts_of[before].discard(uid)
            if not self._parts_of[before]:
                del self._parts_of[before]
        if node:
            self._touched.add(node)
            self._nodes[uid] = node
            self._parts_of[node].add(uid)

    def _spec(self, spec: Spec, now_ns: int) -> None:
        part = self._parts.get(spec.uid)
        self._look.add(spec.uid)
        self._place(spec.uid, self._workload_of(spec.meta))
        if part is None:
            self._parts[spec.uid] = Progress.first(spec, spec.meta.kind in self.listed, now_ns)
            self._by_hand[spec.uid] = ByHand(self._deployers, spec)
            return
        changes = part.change(spec, now_ns)
        self._by_hand[spec.uid].change(spec, changes)
        node = self._nodes[spec.uid]
        self._add(telling.of_changes(node, spec, changes, self._deployers, now_ns, replaces_pods(changes)))

    def _step(self, part: Progress, now_ns: int) -> None:
        uid = part.spec.uid
        node = self._nodes[uid]
        target = self._target_of(part.spec)
        group = self._running.of(node).get(target.hash) if target else None
        waiting = min(group.waiting, default="") if group else ""
        for step in part.look(target, waiting, now_ns):
            self._touched.add(node)
            self._add([telling.of_step(node, part.spec, step, self._deployers)])
        (self._active.add if part.active else self._active.discard)(uid)

    def _step_by_pods(self, node: str, now_ns: int) -> None:
        """Of one whose controller is not read."""
        groups = self._running.of(node)
        if node in self._parts_of or not any(groups):
            self._crowds.pop(node, None)
            return
        crowd = self._crowds.setdefault(node, Crowd())
        for step in crowd.look(groups, now_ns):
            self._add([telling.of_crowd(node, step, telling.crowd_counts(groups, step.rollout.revision))])

    def _target_of(self, spec: Spec) -> Generation | None:
        """The revision that its controller is to run, where that is known."""
        some = [self._generations[uid] for uid in self._owned.get(spec.uid, ())]
        if spec.meta.kind == "Deployment":
            some = [one for one in some if str(one.number) == spec.status.target]
        elif spec.meta.kind == "StatefulSet":
            some = [one for one in some if one.meta.name == spec.status.target]
        return max(some, key=lambda one: one.number, default=None)

    def _add(self, events: Iterable[pb.Event]) -> None:
        room = MOST_UNTOLD - len(self._events)
        found = list(events)
        self._events += found[:room]
        self._untaken += len(found[room:])
