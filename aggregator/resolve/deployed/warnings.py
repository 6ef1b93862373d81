"""Warnings of the cluster (its Events), by what they are about: told when they begin, then counted. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from aggregator.records import SECOND_NS
from aggregator.resolve.raw import Json, int_of, map_of, text_of, time_ns_of

# The same of one workload is told again after so long, with how often it was.
_AGAIN_NS: Final = 60 * SECOND_NS
MOST_KINDS: Final = 10_000
_LONGEST: Final = 200
_SECONDS: Final = ("lastTimestamp", "eventTime", "firstTimestamp")


class Warned(NamedTuple):
    """What the API calls an Event of type Warning. `about`: the uid of what it is about."""

    uid: str
    about: str
    namespace: str
    kind: str
    name: str
    reason: str
    message: str
    times: int
    time_ns: int


def read_warning(raw: Json, kind: str = "Event") -> Warned:
    meta, about, series = map_of(raw, "metadata"), map_of(raw, "involvedObject"), map_of(raw, "series")
    times = [time_ns_of(series, "lastObservedTime"), *(time_ns_of(raw, name) for name in _SECONDS)]
    return Warned(
        text_of(meta, "uid"),
        text_of(about, "uid"),
        text_of(about, "namespace"),
        text_of(about, "kind"),
        text_of(about, "name"),
        text_of(raw, "reason")[:_LONGEST],
        " ".join(text_of(raw, "message")[:_LONGEST].split()),
        int_of(series, "count") or int_of(raw, "count") or 1,
        next(filter(None, times), 0) or time_ns_of(meta, "creationTimestamp"),
    )


class Warnings:
    """Of one cluster. `dropped` counts those that could not be kept apart from others any more."""

    def __init__(self) -> None:
        self.dropped = 0
        self._counted: dict[str, int] = {}  # by uid: how often it was already
        self._untold: dict[tuple[str, str], int] = {}  # by workload and reason
        self._told_ns: dict[tuple[str, str], int] = {}

    def note(self, node: str, one: Warned, now_ns: int) -> Iterator[tuple[Warned, int]]:
        """Those that are to be told, with how many they stand for. `node`: the workload's id."""
        more = max(one.times - self._counted.get(one.uid, 0), 0)
        if not more:
            return
        self._counted[one.uid] = one.times
        key = node or f"{one.kind}/{one.name}", one.reason
        self._untold[key] = self._untold.get(key, 0) + more
        if now_ns - self._told_ns.get(key, 0) >= _AGAIN_NS:
            self._told_ns.pop(key, None)
            self._make_room()
            self._told_ns[key] = now_ns
            yield one, self._untold.pop(key)

    def forget(self, uid: str) -> None:
        """The API forgets them after an hour."""
        self._counted.pop(uid, None)

    def _make_room(self) -> None:
        while len(self._told_ns) >= MOST_KINDS:
            oldest = next(iter(self._told_ns))
            del self._told_ns[oldest]
            self.dropped += self._untold.pop(oldest, 0)
