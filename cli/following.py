"""What a watcher has seen, so that it can tell what changed, across a restart of the aggregator too. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plumbline.v1.jsonform import changes_to_json, to_json
from plumbline.v1.topology_pb2 import (
    CHANGE_KIND_RENAMED,
    CHANGE_KIND_UPDATED,
    CHANGE_KIND_VANISHED,
    Delta,
    Position,
    Topology,
    WatchTopologyResponse,
)

Row = dict[str, Any]
_Key = tuple[str, str]

_MOST_HAPPENED = 10_000
_SHAPE = {
    "node": ("kind", "name", "namespace", "listens", "name_source", "ambiguous", "exposure"),
    "edge": ("class", "encrypted", "seen_from", "way", "through"),
    "host": ("stale",),
}


class Follower:
    """Feed it every response of a watch; it gives the structural changes, one JSON object each."""

    def __init__(self) -> None:
        self._held: dict[_Key, Row] = {}
        self._arriving: dict[_Key, Row] = {}
        self._happened: dict[str, None] = {}  # ids of what was told
        self._happening: dict[str, Row] = {}
        self.is_started = False

    @property
    def size(self) -> str:
        """How much is held now, in words."""
        kinds = Counter(kind for kind, _ in self._held)
        return ", ".join(f"{kinds[kind]} {kind}{'' if kinds[kind] == 1 else 's'}" for kind in _SHAPE)

    def apply(self, response: WatchTopologyResponse, now: str) -> list[Row]:
        """`now`: RFC 3339, for changes that were found by comparing snapshots."""
        match response.WhichOneof("event"):
            case "snapshot":
                self._arriving.update(_subjects(response.snapshot.part))
                self._happening.update((event.id, to_json(event)) for event in response.snapshot.part.events)
                return self._replace(response.position, now) if response.snapshot.complete else []
            case "delta":
                return self._change(response.position, response.delta)
            case "restart":
                self._arriving, self._happening = {}, {}
                row = _row(response.position, now, "resync")
                return [{**row, "reason": response.restart.reason}] if self.is_started else []
        return []

    def _change(self, position: Position, delta: Delta) -> list[Row]:
        fields: dict[_Key, list[str]] = {}
        for change in delta.changes:
            kind = change.WhichOneof("subject")
            if not kind:
                continue
            value = to_json(getattr(change, kind))
            if kind == "happened":
                self._note([value])
                continue
            if change.kind == CHANGE_KIND_VANISHED:
                self._held.pop(_key(kind, value), None)
                continue
            if change.kind == CHANGE_KIND_RENAMED:
                self._held.pop((kind, change.previous_id), None)
            key = _key(kind, value)
            fields[key] = _changed_fields(self._held.get(key, {}), value, kind)
            self._held[key] = value
        structural = [change for change in delta.changes if change.kind != CHANGE_KIND_UPDATED]
        rows = changes_to_json(position.version, Delta(time=delta.time, changes=structural))
        return [_with_fields(row, fields) for row in rows]

    def _replace(self, position: Position, now: str) -> list[Row]:
        before, after = self._held, self._arriving
        self._held, self._arriving = after, {}
        is_first, self.is_started = not self.is_started, True
        news, self._happening = self._note(self._happening.values()), {}
        row = _row(position, now, "")
        happened = [{**row, "event": one["kind"], "happened": one} for one in news]
        return [] if is_first else [*_differences(before, after, row), *happened]

    def _note(self, events: Iterable[Row]) -> list[Row]:
        """Those that were not told yet."""
        news = [one for one in events if one["id"] not in self._happened]
        self._happened.update(dict.fromkeys(one["id"] for one in news))
        for key in list(self._happened)[:-_MOST_HAPPENED]:
            del self._happened[key]
        return news


def _differences(before: Mapping[_Key, Row], after: Mapping[_Key, Row], row: Row) -> Iterator[Row]:
    for key, value in after.items():
        old = before.get(key)
        if old is None:
            yield {**row, "event": "appeared", key[0]: value}
        elif changed := _changed_fields(old, value, key[0]):
            yield {**row, "event": "changed", "changed": changed, key[0]: value}
    for key, value in before.items():
        if key not in after:
            yield {**row, "event": "vanished", key[0]: value}


def _changed_fields(old: Row, new: Row, kind: str) -> list[str]:
    return [field for field in _SHAPE[kind] if field in old and old[field] != new[field]]


def _with_fields(row: Row, fields: Mapping[_Key, list[str]]) -> Row:
    """What it is that changed, where that is more than its numbers."""
    kind = next((kind for kind in _SHAPE if kind in row), "")
    found = fields.get(_key(kind, row[kind])) if kind and row["event"] == "changed" else None
    return {**row, "changed": found} if found else row


def _row(position: Position, now: str, event: str) -> Row:
    return {"version": position.version, "time": now, "event": event}


def _subjects(part: Topology) -> Iterator[tuple[_Key, Row]]:
    for kind, messages in (("node", part.nodes), ("edge", part.edges), ("host", part.hosts)):
        for message in messages:
            value = to_json(message)
            yield _key(kind, value), value


def _key(kind: str, value: Row) -> _Key:
    return kind, value["name" if kind == "host" else "id"]
