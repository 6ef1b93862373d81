"""Fields of a spec by JSON pointers, as its text and the API's notes of who set them have them. Pure.

A spec may hold what nobody must see: a field's value is told where its kind makes that harmless, and is a hash of this
process alone where not.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

from aggregator.resolve.raw import Json

# By JSON pointer below `spec`; the parts of lists that the API merges by a key stand as [key].
Fields: TypeAlias = dict[str, str]

# What such lists are merged by, as the API's schema says; all others are one field each.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "protocol"),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "claims": ("name",),
    "resourceClaims": ("name",),
}
# Maps that the API takes as one field.
_ATOMIC: Final = frozenset({"selector", "nodeSelector", "labelSelector"})
_PROBES: Final = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
RESTARTED: Final = "/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
_TEMPLATE: Final = "/template/"
_TOLD_TEXTS: Final = frozenset(
    {"image", "imagePullPolicy", "type", "maxSurge", "maxUnavailable", "restartPolicy", "port"}
)
_DEPTH: Final = 32
_THERE: Final = "#"  # of what has fields of its own


def packed(spec: Json) -> bytes:
    """A spec's fields, for `unpacked`: they are looked at when they change, and that is seldom."""
    return json.dumps(dict(_flat(spec, "", "")), separators=(",", ":")).encode()


def unpacked(content: bytes) -> Fields:
    found: Fields = json.loads(content)
    return found


def held(fields: Json) -> tuple[frozenset[str], frozenset[str]]:
    """Pointers of what the API's notes (FieldsV1, below `spec`) name: all, and those that hold whatever is below."""
    every: set[str] = set()
    whole: set[str] = set()
    _note(fields, "", every, whole)
    return frozenset(every), frozenset(whole)


def above(pointer: str) -> Iterator[str]:
    """Pointers of what it lies in, the nearest first."""
    while pointer := pointer.rpartition("/")[0]:
        yield pointer


def is_of_template(pointer: str) -> bool:
    """Whether a change of it replaces pods."""
    return pointer.startswith(_TEMPLATE)


@lru_cache(maxsize=4096)
def kind_of(pointer: str) -> str:
    """image, env, resources, probe, replicas, restart or other."""
    parts = pointer.split("/")
    if pointer == "/replicas":
        return "replicas"
    if pointer == RESTARTED:
        return "restart"
    if "containers" in parts or "initContainers" in parts:
        if parts[-1] == "image":
            return "image"
        if "env" in parts or "envFrom" in parts:
            return "env"
        if "resources" in parts:
            return "resources"
        if not _PROBES.isdisjoint(parts):
            return "probe"
    return "other"


@lru_cache(maxsize=4096)
def shown(pointer: str) -> str:
    """As people write it: containers[app].resources.limits.memory. Of an environment variable the name alone."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for head in (["template", "spec"], ["template", "metadata"]):
        if parts[:2] == head:
            parts = parts[2:]
            break
    if "env" in parts[:-1]:
        parts = parts[: parts.index("env") + 2]
    text = ""
    for part in parts:
        is_key = part.startswith("[") or "/" in part or "." in part
        text += part if part.startswith("[") else f"[{part}]" if is_key else f".{part}" if text else part
    return text


def told(value: str) -> str:
    """A field's value, "" for one that is hashed."""
    return "" if value.startswith("#") else value


def _flat(value: Any, pointer: str, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and name not in _ATOMIC and depth < _DEPTH:
        for key, one in value.items():
            yield from _flat(one, f"{pointer}/{_escaped(str(key))}", str(key), depth + 1)
        return
    keys = _KEYS.get(name) if isinstance(value, list) else None
    if keys and all(isinstance(one, Mapping) for one in value):
        for one in value:
            here = f"{pointer}/{_item(one, keys)}"
            yield here, _THERE
            for key, part in one.items():
                if key not in keys:
                    yield from _flat(part, f"{here}/{_escaped(key)}", key, depth + 1)
        return
    if value is not None:
        yield pointer, _text(value, pointer, name)


def _text(value: Any, pointer: str, name: str) -> str:
    """Told or hashed; a hash begins with #."""
    if isinstance(value, bool | int | float) and "/env/" not in pointer:
        return json.dumps(value)
    if isinstance(value, str) and (name in _TOLD_TEXTS or kind_of(pointer) in ("resources", "replicas")):
        return value
    return f"#{hash(json.dumps(value, sort_keys=True)):x}"


def _item(item: Json, keys: tuple[str, ...]) -> str:
    # A port without a protocol is one of TCP, which the API writes down.
    return _escaped(f"[{','.join(str(item[key]) for key in keys if key in item)}]")


def _note(fields: Json, pointer: str, every: set[str], whole: set[str], depth: int = 0) -> None:
    for key, below in fields.items():
        if key == ".":
            every.add(pointer)
            continue
        here = f"{pointer}/{_part(key)}"
        if not below:
            every.add(here)
            whole.add(here)
        elif isinstance(below, Mapping) and depth < _DEPTH:
            _note(below, here, every, whole, depth + 1)


def _part(key: str) -> str:
    """f:NAME, k:{a key as JSON}, v:VALUE or i:INDEX."""
    kind, _, text = key.partition(":")
    if kind == "f":
        return _escaped(text)
    if kind == "k":
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return _escaped(f"[{','.join(str(found[one]) for one in sorted(found))}]")
    return _escaped(f"[{text}]")


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")
