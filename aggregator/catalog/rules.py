"""The form that Backstage demands of an entity. What breaks it is refused there, often without a word.

One place for both ways: what is read from a catalog and what is served to one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

API_VERSION = "backstage.io/v1alpha1"
# The texts that a spec must have, by kind.
REQUIRED = {
    "component": ("type", "lifecycle", "owner"),
    "resource": ("type", "owner"),
    "api": ("type", "lifecycle", "owner"),
}

_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NAMESPACE = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_LONGEST_NAME, _LONGEST_PREFIX = 63, 253


def is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAMESPACE.fullmatch(text) is not None


def complete(written: str, kind: str, namespace: str) -> str | None:
    """`[kind:][namespace/]name` as a whole reference in lower case; None: it is none, or has no kind and needs one."""
    head, colon, rest = written.rpartition(":")
    space, slash, name = rest.rpartition("/")
    whole = (head if colon else kind).lower(), (space if slash else namespace).lower(), name.lower()
    fits = _KIND.fullmatch(whole[0]) and is_namespace(whole[1]) and is_name(whole[2])
    return f"{whole[0]}:{whole[1]}/{whole[2]}" if fits else None


def faults(entity: Mapping[str, Any]) -> list[str]:
    """What a portal would refuse in an entity of plain values that is about to be served; empty when it is sound."""
    if set(entity) != {"apiVersion", "kind", "metadata", "spec"} or entity["apiVersion"] != API_VERSION:
        return ["its envelope is not apiVersion, kind, metadata and spec"]
    return [*_faults_of_metadata(entity["metadata"]), *_faults_of_spec(entity["kind"].lower(), entity["spec"])]


def _faults_of_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    if not is_name(metadata.get("name", "")):
        yield "its name is not allowed"
    if not is_namespace(metadata.get("namespace", "")):
        yield "its namespace is not allowed"
    if any(not _is_text(metadata[key]) for key in ("title", "description") if key in metadata):
        yield "its title or description is no text"
    for key, value in metadata.get("annotations", {}).items():
        if not _is_key(key) or not isinstance(value, str):
            yield f"its annotation {key} is not allowed"


def _faults_of_spec(kind: str, spec: Mapping[str, Any]) -> Iterator[str]:
    if kind not in REQUIRED:
        yield "its kind is not allowed"
    if not all(_is_text(spec.get(field)) for field in REQUIRED.get(kind, ())):
        yield "it lacks what its kind must have"
    if not complete(str(spec.get("owner", "")), "group", "default"):
        yield "its owner is no reference"
    for field in ("dependsOn", "dependencyOf"):
        if not all(complete(each, "", "default") for each in spec.get(field, ())):
            yield f"its {field} holds what is no reference"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    is_prefix = len(prefix) <= _LONGEST_PREFIX and all(is_namespace(label) for label in prefix.split("."))
    return is_name(name) and (is_prefix or not slash)
