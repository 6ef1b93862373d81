"""Windows that are watched: each has its own versions of the graph, for as long as somebody looks. No I/O."""

import time
from typing import Final

from aggregator.asked import TooManyWindows
from aggregator.topology.versions import Versions

_MOST_VIEWS: Final = 8
_LINGER_SECONDS: Final = 60.0


class View:
    """The snapshots of one window, for as long as somebody watches it."""

    def __init__(self, window_ns: int, versions: Versions) -> None:
        self.window_ns = window_ns
        self.versions = versions
        self.watchers = 0
        self.left_at = time.monotonic()


class Views:
    """By window. The usual one stays."""

    def __init__(self, usual_ns: int) -> None:
        self._usual_ns = usual_ns
        self._by_window: dict[int, View] = {}

    @property
    def usual(self) -> View:
        return self._by_window[self._usual_ns]

    @property
    def watchers(self) -> int:
        return sum(view.watchers for view in self._by_window.values())

    def get(self, window_ns: int) -> View | None:
        return self._by_window.get(window_ns)

    def add(self, view: View) -> View:
        """The one that is there, if another was quicker."""
        return self._by_window.setdefault(view.window_ns, view)

    def is_current(self, view: View) -> bool:
        """Whether its snapshots are still being made."""
        return view.window_ns == self._usual_ns or view.watchers > 0

    def current(self) -> list[View]:
        """Those whose snapshots are to be made now; what nobody watched for long is forgotten."""
        for view in list(self._by_window.values()):
            if not self.is_current(view) and time.monotonic() - view.left_at > _LINGER_SECONDS:
                del self._by_window[view.window_ns]
        return [view for view in self._by_window.values() if self.is_current(view)]

    def make_room(self) -> None:
        """For one more window; one that nobody watches any more goes first. Raises TooManyWindows."""
        if len(self._by_window) < _MOST_VIEWS:
            return
        idle = [view for view in self._by_window.values() if not self.is_current(view)]
        if not idle:
            raise TooManyWindows(f"{_MOST_VIEWS} different windows are watched already; watch one of those.")
        del self._by_window[min(idle, key=lambda view: view.left_at).window_ns]
