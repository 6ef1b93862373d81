"""Rollouts of a workload whose controller nobody reads (a Rollout, an operator's resource): by its pods alone. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from aggregator.records import SECOND_NS
from aggregator.resolve.deployed.differences import Changed
from aggregator.resolve.deployed.rollouts import Rollout, State, Step
from aggregator.resolve.deployed.running import Group

_MOST_KNOWN: Final = 20


@dataclass(slots=True)
class Crowd:
    """The newest revision is the one whose first pod is the youngest. What runs when it is first looked at was there
    before."""

    current: str = ""
    known: list[str] = field(default_factory=list)
    last: Rollout | None = None

    def look(self, groups: Mapping[str, Group], now_ns: int) -> Iterator[Step]:
        """`groups` by revision. What is news by now."""
        marked = {key: group for key, group in groups.items() if key}
        if not marked:
            return
        newest = max(marked, key=lambda one: (marked[one].created_ns, one))
        if newest != self.current:
            yield from self._begin(marked, newest, now_ns)
        if self.last is not None and not self.last.ended_ns:
            yield from self._state(self.last, marked, now_ns)

    def _begin(self, groups: Mapping[str, Group], newest: str, now_ns: int) -> Iterator[Step]:
        before, self.current = self.current, newest
        is_back = newest in self.known
        self.known = [*(one for one in self.known if one != newest), newest][-_MOST_KNOWN:]
        if not before:
            return
        changes = _images(groups.get(before, Group()), groups[newest])
        self.last = Rollout(now_ns // SECOND_NS, now_ns, before, newest, changes)
        yield _told(self.last, State.ROLLED_BACK if is_back else State.BEGUN, now_ns)

    def _state(self, last: Rollout, groups: Mapping[str, Group], now_ns: int) -> Iterator[Step]:
        own = groups[self.current]
        has_moved, last.counts = own.ready > last.counts[1], (own.pods, own.ready)
        waiting = min(own.waiting, default="")
        if len(groups) == 1 and own.ready == own.pods:
            last.ended_ns = now_ns
            yield _told(last, State.DONE, now_ns)
        elif waiting and not has_moved and last.state is not State.STUCK:
            yield _told(last, State.STUCK, now_ns, waiting)
        elif has_moved and last.state is not State.PROGRESSING:
            yield _told(last, State.PROGRESSING, now_ns)


def _told(last: Rollout, state: State, now_ns: int, reason: str = "") -> Step:
    last.state, last.reason = state, reason
    last.told[state] += 1
    return Step(now_ns, last.told[state], state, last, reason, "")


def _images(before: Group, after: Group) -> list[Changed]:
    """All that pods tell of what changed."""
    old = {one.container: one.image for one in before.image}
    return [
        Changed(
            f"/template/spec/containers/[{one.container}]/image", "image", old.get(one.container, ""), one.image, None
        )
        for one in after.image
        if old.get(one.container) != one.image
    ]
