"""What pods are part of, by their uid, for as long as rows of theirs are kept: it is in a checkpoint. Pure."""

import json
from collections.abc import Iterable
from typing import Any, Final

from aggregator.resolve.workloads import PodName

MOST_PODS: Final = 200_000


def payload_of(names: Iterable[PodName]) -> bytes:
    """Of a record of the journal."""
    return json.dumps([list(name) for name in names], separators=(",", ":")).encode()


def names_of(payload: bytes) -> list[PodName]:
    """Raises ValueError or TypeError for what `payload_of` did not make."""
    return [_name_of(row) for row in json.loads(payload)]


def _name_of(row: list[Any]) -> PodName:
    """One that was written before containers were told has none."""
    uid, namespace, kind, name, pod, revision, node, *more = row
    containers = tuple((one, word) for one, word in more[0]) if more else ()
    return PodName(uid, namespace, kind, name, pod, revision, node, containers)


class PodNames:
    """Of one cluster. `version` grows with every change, so that answers may be kept until then."""

    def __init__(self, most: int = MOST_PODS) -> None:
        self._names: dict[str, PodName] = {}
        self._gone: dict[str, int] = {}  # since when, in order
        self._most = most
        self._changed: set[str] = set()
        self.version = 0
        self.dropped = 0  # pods that had no room

    def __len__(self) -> int:
        return len(self._names)

    def of(self, uid: str) -> PodName | None:
        return self._names.get(uid)

    def news(self, names: Iterable[PodName]) -> list[PodName]:
        """Those that would change something."""
        return [name for name in names if self._names.get(name.uid) != name]

    def learn(self, names: Iterable[PodName]) -> None:
        for name in self.news(names):
            if name.uid not in self._names and len(self._names) >= self._most and not self._make_room():
                self.dropped += 1
                continue
            self._names[name.uid] = name
            self._changed.add(name.uid)
            self.version += 1

    def living(self) -> list[str]:
        """Of which nobody said that they are gone."""
        return [uid for uid in self._names if uid not in self._gone]

    def live(self, uids: Iterable[str]) -> None:
        """They are there, whatever was said of them before."""
        for uid in uids:
            self._gone.pop(uid, None)

    def end(self, uids: Iterable[str], now_ns: int) -> None:
        """They are gone; their last rows may still come."""
        for uid in uids:
            if uid in self._names:
                self._gone.setdefault(uid, now_ns)

    def forget(self, before_ns: int) -> None:
        """Those that had gone before then: no row of that time is left."""
        while self._gone:
            uid, gone_ns = next(iter(self._gone.items()))
            if gone_ns >= before_ns:
                return
            del self._gone[uid], self._names[uid]

    def take_changed(self) -> set[str]:
        """Pods that are called otherwise than when this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def _make_room(self) -> bool:
        """The one that is gone for the longest time leaves."""
        uid = next(iter(self._gone), None)
        if uid is None:
            return False
        del self._gone[uid], self._names[uid]
        return True
