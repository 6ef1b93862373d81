"""What the cluster's API tells beside each graph, as it is now. Used from the event loop's thread."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.workloads import PodName
from aggregator.topology.snapshot import Beside

_MOST_NAMED: Final = 10_000
_MOST_WINDOWS: Final = 16


class Aside:
    """`stale`: what names come from, and is not of now; `workloads`: what is deployed; `pressures`: of machines. Each
    is asked for with each graph."""

    def __init__(self) -> None:
        self.stale: Callable[[], Sequence[pb.StaleSource]] = tuple
        self.workloads: Callable[[], Mapping[str, pb.Workload]] = dict
        self.pressures: Callable[[], Sequence[pb.Pressure]] = tuple
        self._events: Mapping[str, pb.Event] = {}
        self._recent: dict[int, tuple[int, Mapping[str, pb.Event]]] = {}  # by window, until when it is so
        self._named: Mapping[str, str] = {}

    def name(self, names: Sequence[PodName]) -> None:
        """These pods got a name. The last ones are remembered: a node is told as renamed when it is drawn."""
        if names:
            named = {**self._named, **{name.uid: name.workload for name in names}}
            self._named = dict(itertools.islice(named.items(), max(len(named) - _MOST_NAMED, 0), None))

    def happened(self, events: Mapping[str, pb.Event]) -> None:
        """All that is known by now."""
        self._events, self._recent = events, {}

    @property
    def events(self) -> Mapping[str, pb.Event]:
        """All that are known."""
        return self._events

    def of(self, window_ns: int) -> Beside:
        return Beside(self.stale(), self.workloads(), self._within(window_ns), self._named, self.pressures())

    def _within(self, window_ns: int) -> Mapping[str, pb.Event]:
        """The same one, until the first of them is older than the window."""
        now_ns = time.time_ns()
        until_ns, found = self._recent.get(window_ns, (0, self._events))
        if now_ns > until_ns:
            times = {key: one.time.ToNanoseconds() for key, one in self._events.items()}
            found = {key: one for key, one in self._events.items() if times[key] >= now_ns - window_ns}
            until_ns = min((times[key] for key in found), default=now_ns) + window_ns
            if len(self._recent) >= _MOST_WINDOWS:
                self._recent.clear()
            self._recent[window_ns] = until_ns, found
        return found
