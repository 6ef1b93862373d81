"""How far a workload's rollout is, told when it changes: begun or rolled back, progressing, stuck, done. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from aggregator.records import SECOND_NS
from aggregator.resolve.deployed.differences import Changed, differences
from aggregator.resolve.deployed.specs import Generation, Spec

# A controller names the revision of a new template within milliseconds; one that is away is not waited for.
_NAMED_NS: Final = SECOND_NS // 2
_TOO_LATE: Final = "NoProgress"
_MOST_PAST: Final = 50  # more than a controller keeps


class State(IntEnum):
    """Numbers of the contract's RolloutState."""

    BEGUN = 1
    PROGRESSING = 2
    DONE = 3
    STUCK = 4
    ROLLED_BACK = 5


BEGINS: Final = (State.BEGUN, State.ROLLED_BACK)


@dataclass(slots=True)
class Rollout:
    """One change of a template until all pods are of it. `revision` is "" until its controller says what it is called.

    `told`: how often each state was.
    """

    generation: int
    began_ns: int
    previous: str = ""
    revision: str = ""
    changes: Sequence[Changed] = ()
    state: State | None = None
    reason: str = ""
    message: str = ""
    ended_ns: int = 0
    told: Counter[State] = field(default_factory=Counter)
    progressed_ns: int = 0
    counts: tuple[int, int] = (0, 0)


class Step(NamedTuple):
    """A state that a rollout came to, for the `number`th time; the values of then. Its begin is told a moment later
    than it was, when its revision is known."""

    time_ns: int
    number: int
    state: State
    rollout: Rollout
    reason: str
    message: str


@dataclass(slots=True)
class Progress:
    """Of one workload's controller: its spec, and the rollouts that were seen, the newest last."""

    spec: Spec
    current: Generation | None = None
    rollouts: list[Rollout] = field(default_factory=list)
    kept: int = 3
    past: list[str] = field(default_factory=list)  # uids of revisions that were current before, the newest last

    @classmethod
    def first(cls, spec: Spec, is_new: bool, now_ns: int) -> "Progress":
        """`is_new`: it was made just now; else it may be in the middle of a rollout whose begin nobody saw."""
        found = cls(spec)
        if is_new:
            found._begin((), now_ns)
        elif spec.is_half_way:
            found._begin((), 0)
            found.rollouts[-1].state = State.BEGUN
        return found

    @property
    def active(self) -> Rollout | None:
        last = self.rollouts[-1] if self.rollouts else None
        return last if last is not None and not last.ended_ns else None

    def change(self, spec: Spec, now_ns: int) -> list[Changed]:
        """What differs from before. A template that differs begins a rollout, also where it says the same."""
        changes, before = differences(self.spec, spec), self.spec
        self.spec = spec
        if spec.template != before.template:
            self._begin(changes, now_ns)
        return changes

    def look(self, target: Generation | None, waiting: str, now_ns: int) -> Iterator[Step]:
        """What is news by now. `target`: the newest revision, as its controller says; `waiting`: why pods of it
        cannot begin."""
        active = self.active
        target = target if self.spec.is_observed and not self._is_of_before(target) else None
        if active is None:
            self._go_to(target)
        elif self.spec.paused:
            active.began_ns = now_ns if active.state is None else active.began_ns
        elif target is not None or active.state is not None or now_ns - active.began_ns >= _NAMED_NS:
            yield from self._name(active, target, now_ns)
            if self.spec.is_observed:
                yield from self._state(active, waiting, now_ns)

    def _is_of_before(self, target: Generation | None) -> bool:
        """Where replicas changed with the template, the API says that it was observed before it has a new revision: the
        one that it has is only scaled by then."""
        is_same = target is not None and self.current is not None and target.uid == self.current.uid
        return self.active is not None and is_same and not self.spec.status.updated

    def _name(self, active: Rollout, target: Generation | None, now_ns: int) -> Iterator[Step]:
        before = self.current
        self._go_to(target)
        if target is not None and not active.revision:
            active.revision = target.hash
            active.began_ns = active.began_ns or target.created_ns or now_ns
        if active.state is None:
            yield self._tell(active, State.ROLLED_BACK if self._is_back(before, target) else State.BEGUN, now_ns)

    def _go_to(self, target: Generation | None) -> None:
        if target is None:
            return
        if self.current is not None and self.current.uid != target.uid:
            self.past = [*self.past, self.current.uid][-_MOST_PAST:]
        self.current = target

    def _is_back(self, before: Generation | None, target: Generation | None) -> bool:
        """A revision that was there before is gone back to. The API tells times by seconds: two may be made in one."""
        if before is None or target is None or before.uid == target.uid:
            return False
        return target.created_ns < before.created_ns or target.uid in self.past

    def _state(self, active: Rollout, waiting: str, now_ns: int) -> Iterator[Step]:
        status = self.spec.status
        counts = (status.updated, status.available)
        has_moved = any(now > before for now, before in zip(counts, active.counts, strict=True))
        active.counts = counts
        if has_moved or not active.progressed_ns:
            active.progressed_ns = now_ns
        if self.spec.is_done:
            active.ended_ns = now_ns
            yield self._tell(active, State.DONE, now_ns)
        elif (reason := self._stuck(active, waiting, now_ns)) and not has_moved:
            # It is told once: what cannot begin tries again and again.
            if active.state is not State.STUCK:
                yield self._tell(active, State.STUCK, now_ns, reason, status.message)
        elif has_moved and status.updated and active.state is not State.PROGRESSING:
            yield self._tell(active, State.PROGRESSING, now_ns)

    def _stuck(self, active: Rollout, waiting: str, now_ns: int) -> str:
        spec = self.spec
        late = spec.deadline_seconds and now_ns - active.progressed_ns > spec.deadline_seconds * SECOND_NS
        return waiting or spec.status.failure or (_TOO_LATE if late else "")

    def _begin(self, changes: Sequence[Changed], now_ns: int) -> None:
        before = self.active
        if before is not None:
            before.ended_ns = now_ns
            if before.state is None:  # nobody was told of it yet
                self.rollouts.pop()
                changes = [*before.changes, *changes]
        previous = self.current.hash if self.current else ""
        self.rollouts.append(Rollout(self.spec.meta.generation, now_ns, previous, changes=changes))
        del self.rollouts[: -self.kept]

    def _tell(self, active: Rollout, state: State, now_ns: int, reason: str = "", message: str = "") -> Step:
        active.state, active.reason, active.message = state, reason, message
        active.told[state] += 1
        return Step(active.began_ns if state in BEGINS else now_ns, active.told[state], state, active, reason, message)
