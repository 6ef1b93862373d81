"""When edges were first seen, for longer than anything else is known of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aggregator.records import FOREVER_NS
from aggregator.topology.edge import Drawn

MOST_FIRST_SEEN: Final = 500_000
_LEFT: Final = 0.9  # of them, when it was full


@dataclass(slots=True)
class FirstSeen:
    """When each edge was first seen, longer than its rows are kept: those that were seen last, in `MOST_FIRST_SEEN`."""

    by_edge: dict[str, int] = field(default_factory=dict)
    dropped: int = 0  # that had to leave
    _noted: dict[str, int] = field(default_factory=dict)  # by edge, in which round it was seen last
    _round: int = 0

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """One that was kept may be of before something was added here."""
        self.__init__()  # type: ignore[misc]
        for name, value in state[1].items():
            setattr(self, name, value)

    def as_of_now(self) -> "FirstSeen":
        """A value."""
        return FirstSeen(self.by_edge.copy(), self.dropped, self._noted.copy(), self._round)

    def tell(self, edges: Sequence[Drawn]) -> None:
        """The edges; from any thread."""
        for edge in edges:
            edge.first_ns = min(edge.first_ns, self.by_edge.get(edge.id, FOREVER_NS))

    def note(self, edges: Sequence[Drawn]) -> None:
        self._round += 1
        for edge in edges:
            self._noted[edge.id] = self._round
            known = self.by_edge.get(edge.id)
            if known is None or edge.first_ns < known:
                self.by_edge[edge.id] = edge.first_ns
        if len(self.by_edge) > MOST_FIRST_SEEN:
            self._make_room()

    def called_outside(self) -> set[str]:
        """Ids of those that somebody called and that are none of ours: in theirs there is no stroke."""
        called = (edge.rpartition(":")[0].partition(">")[2] for edge in self.by_edge)
        return {one for one in called if "/" not in one}

    def _make_room(self) -> None:
        """For many at once: who was not seen for the longest time leaves."""
        noted, most = self._noted, int(_LEFT * MOST_FIRST_SEEN)
        left = sorted(self.by_edge, key=lambda edge: noted.get(edge, 0))[: len(self.by_edge) - most]
        for edge in left:
            del self.by_edge[edge]
            noted.pop(edge, None)
        self.dropped += len(left)
