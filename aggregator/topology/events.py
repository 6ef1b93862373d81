"""What happened to workloads and third parties, the newest of it: one that storms takes no room from others. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.message import DecodeError
from plumbline.v1 import topology_pb2 as pb

MOST_EVENTS: Final = 2_000
MOST_EACH_WORKLOAD: Final = 100
_LASTING: Final = (pb.THIRD_PARTY_STATE_FAILING, pb.THIRD_PARTY_STATE_SLOW)


class Events:
    """By id, in the order in which they were told. `dropped` counts those that made room."""

    def __init__(self) -> None:
        self.dropped = 0
        self.version = 0  # grows with every change
        self._by_id: dict[str, pb.Event] = {}
        self._each: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def news(self, events: Iterable[pb.Event]) -> list[pb.Event]:
        """Those that are not known, each once."""
        return list({one.id: one for one in events if one.id not in self._by_id}.values())

    def add(self, events: Iterable[pb.Event]) -> None:
        for one in self.news(events):
            self._by_id[one.id] = one
            self.version += 1
            self._each[one.node] += 1
            if self._each[one.node] > MOST_EACH_WORKLOAD:
                self._drop(self._oldest_of(one.node))
            elif len(self._by_id) > MOST_EVENTS:
                self._drop(next(iter(self._by_id)))

    def as_of_now(self) -> Mapping[str, pb.Event]:
        """A value."""
        return MappingProxyType(self._by_id.copy())

    def forget(self, before_ns: int) -> None:
        """But not what still is so."""
        lasting = {one.node: key for key, one in self._by_id.items() if one.kind == pb.EVENT_KIND_THIRD_PARTY}
        kept = {key for key in lasting.values() if self._by_id[key].third_party.state in _LASTING}
        old = [key for key, one in self._by_id.items() if one.time.ToNanoseconds() < before_ns and key not in kept]
        for key in old:
            self._drop(key)
            self.dropped -= 1

    def payload(self) -> bytes:
        """For `of`."""
        return payload_of(self._by_id.values())

    @classmethod
    def of(cls, payload: bytes) -> "Events":
        """Raises ValueError for what `payload` did not make."""
        found = cls()
        found.add(events_of(payload))
        return found

    def _oldest_of(self, node: str) -> str:
        """Of a workload; a warning first."""
        own = [(key, event.kind) for key, event in self._by_id.items() if event.node == node]
        return next((key for key, kind in own if kind == pb.EVENT_KIND_WARNING), own[0][0])

    def _drop(self, key: str) -> None:
        node = self._by_id.pop(key).node
        self.dropped += 1
        self.version += 1
        self._each[node] -= 1
        if not self._each[node]:
            del self._each[node]


def payload_of(events: Iterable[pb.Event]) -> bytes:
    """Of a record of the journal."""
    return pb.Topology(events=events).SerializeToString()


def events_of(payload: bytes) -> list[pb.Event]:
    """Raises ValueError for what `payload_of` did not make."""
    found = pb.Topology()
    try:
        found.ParseFromString(payload)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return list(found.events)
