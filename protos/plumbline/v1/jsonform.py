"""Messages as the JSON that people and scripts read: stable names, plain numbers, lower-case words.

Differs from protobuf's own JSON on purpose: 64-bit integers stay numbers, enum values lose their prefix,
absent optional fields and messages are null, and times are RFC 3339 in UTC with milliseconds.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from plumbline.v1.topology_pb2 import Delta, Topology

Json = dict[str, Any]

_CHANGED_IN_ANY_WAY = {"updated": "changed"}
_HAPPENED = "happened"


def to_json(message: Message) -> Json:
    """The JSON form of any message of plumbline.v1."""
    special = _SPECIAL.get(message.DESCRIPTOR.full_name)
    return special(message) if special else _fields(message)


def changes_to_json(version: int, delta: Delta) -> list[Json]:
    """One object a change, as `plumb watch -o json` prints them."""
    rows = []
    for change in delta.changes:
        subject = change.WhichOneof("subject")
        about = change.happened if subject == _HAPPENED else change
        word = _enum_word(about.DESCRIPTOR.fields_by_name["kind"].enum_type, about.kind)
        row: Json = {"version": version, "time": _time(delta.time), "event": _CHANGED_IN_ANY_WAY.get(word, word)}
        if subject:
            row[subject] = to_json(getattr(change, subject))
        if change.previous_id:
            row["previous_id"] = change.previous_id
        rows.append(row)
    return rows


def _fields(message: Message) -> Json:
    return {_key(field): _value(message, field) for field in message.DESCRIPTOR.fields}


def _key(field: FieldDescriptor) -> str:
    words = field.name.split("_")
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    json_name = str(field.json_name)  # type: ignore[attr-defined] # the stubs do not know it
    return field.name if json_name == camel else json_name


def _value(message: Message, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if isinstance(value, Mapping):
        return dict(sorted(value.items()))
    if field.label == FieldDescriptor.LABEL_REPEATED:
        return [_single(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: FieldDescriptor) -> Any:
    if isinstance(value, Timestamp):
        return _time(value)
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e9
    if isinstance(value, Message):
        return to_json(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum_word(field.enum_type, value)
    if isinstance(value, float):
        return round(value, 6)
    return value.hex() if isinstance(value, bytes) else value


def _enum_word(enum: EnumDescriptor, number: int) -> str:
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.name).lstrip("_") + "_"
    known = enum.values_by_number.get(number)
    word = known.name.removeprefix(prefix).lower() if known else f"unknown_{number}"
    return "unknown" if word == "unspecified" else word


def _time(stamp: Timestamp) -> str:
    moment = datetime.fromtimestamp(stamp.ToNanoseconds() / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _topology(message: Message) -> Json:
    assert isinstance(message, Topology)
    return {
        "epoch": message.position.epoch,
        "version": message.position.version,
        "cluster": message.cluster,
        "window": to_json(message.window),
        "nodes": [to_json(node) for node in message.nodes],
        "edges": [to_json(edge) for edge in message.edges],
        "hosts": [to_json(host) for host in message.hosts],
        "stale": [to_json(source) for source in message.stale],
        "workloads": [to_json(workload) for workload in message.workloads],
        "events": [to_json(event) for event in message.events],
        "pressures": [to_json(pressure) for pressure in message.pressures],
    }


_SPECIAL: Mapping[str, Callable[[Message], Json]] = {"plumbline.v1.Topology": _topology}
