"""Workloads as the API has them: what is to run, who set which field of it, and how far it is. Pure."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from aggregator.resolve.deployed import fields
from aggregator.resolve.objects import TEMPLATE_HASHES, Meta, read_meta
from aggregator.resolve.raw import Json, int_of, map_of, maps_of, text_of, time_ns_of

_REVISION: Final = "deployment.kubernetes.io/revision"
_DEADLINE_SECONDS: Final = 600
_LONGEST_MESSAGE: Final = 200
_BAD: Final = frozenset({("Progressing", "False"), ("ReplicaFailure", "True")})


class Holder(NamedTuple):
    """Who set fields of a spec, and when last. `fields`: the API's notes, for `pointers_of`."""

    manager: str
    operation: str
    subresource: str
    time_ns: int
    fields: bytes


class Status(NamedTuple):
    """How far a workload is, by its controller. `observed`: the generation that this is of; `target`: what its
    controller calls the newest revision; `failure`: why it does not go on, with `message`."""

    observed: int
    replicas: int
    updated: int
    available: int
    target: str
    failure: str
    message: str


class Spec(NamedTuple):
    """A Deployment, StatefulSet or DaemonSet. `wanted`: pods when a rollout is over, `wanted_new`: those of the newest
    revision among them. `deadline_seconds`: without any progress for so long it is stuck; 0 where the API says so, or
    people go on with it. `fields`: its spec, for fields.unpacked; `template` is another number in this process where
    anything of its pods is, and be it the order in a list."""

    meta: Meta
    created_ns: int
    wanted: int
    wanted_new: int
    paused: bool
    deadline_seconds: int
    fields: bytes
    template: int
    holders: tuple[Holder, ...]
    status: Status

    @property
    def uid(self) -> str:
        return self.meta.uid

    @property
    def is_observed(self) -> bool:
        """Whether its status is of this spec."""
        return self.status.observed >= self.meta.generation

    @property
    def is_done(self) -> bool:
        """Whether all that is to run runs, and nothing else."""
        status = self.status
        return (
            self.is_observed
            and status.updated >= self.wanted_new
            and status.available >= self.wanted
            and status.replicas - status.updated <= self.wanted - self.wanted_new
        )

    @property
    def is_half_way(self) -> bool:
        """Whether pods are still to be replaced, or cannot be. Pods that only are not ready are no rollout."""
        status = self.status
        is_behind = not self.is_observed or status.updated < self.wanted_new or status.replicas > status.updated
        return not self.is_done and (is_behind or bool(status.failure))


class Generation(NamedTuple):
    """A revision that a controller keeps: a ReplicaSet, or a ControllerRevision. `hash` is what its pods are marked
    with; a higher `number` is newer, also of one that was gone back to."""

    meta: Meta
    hash: str
    number: int
    created_ns: int

    @property
    def uid(self) -> str:
        return self.meta.uid


def read_spec(raw: Json, kind: str) -> Spec:
    meta, spec, status = map_of(raw, "metadata"), map_of(raw, "spec"), map_of(raw, "status")
    strategy = map_of(spec, "updateStrategy")
    if kind == "DaemonSet":
        wanted = int_of(status, "desiredNumberScheduled")
    else:
        wanted = int_of(spec, "replicas") if "replicas" in spec else 1
    return Spec(
        read_meta(raw, kind),
        time_ns_of(meta, "creationTimestamp"),
        wanted,
        max(wanted - int_of(map_of(strategy, "rollingUpdate"), "partition"), 0),
        spec.get("paused") is True,
        0 if kind == "Deployment" or text_of(strategy, "type") == "OnDelete" else _DEADLINE_SECONDS,
        fields.packed(spec),
        hash(json.dumps(map_of(spec, "template"), sort_keys=True)),
        tuple(_holders(meta)),
        _status(kind, meta, status),
    )


def read_generation(raw: Json, kind: str) -> Generation:
    meta = map_of(raw, "metadata")
    labels, notes = map_of(meta, "labels"), map_of(meta, "annotations")
    # Pods of a StatefulSet are marked with its revision's own name.
    names = (*(text_of(labels, label) for label in TEMPLATE_HASHES), text_of(meta, "name"))
    marked = next(filter(None, names), "")
    noted = text_of(notes, _REVISION)
    number = int(noted) if noted.isdecimal() else int_of(raw, "revision")
    return Generation(read_meta(raw, kind), marked, number, time_ns_of(meta, "creationTimestamp"))


@lru_cache(maxsize=1024)
def pointers_of(content: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Of a holder's fields: all, and those that hold whatever is below."""
    return fields.held(fields.unpacked(content))


def _holders(meta: Json) -> Iterator[Holder]:
    """Of what is below `spec` alone: a status is its controller's."""
    for one in maps_of(meta, "managedFields"):
        noted = map_of(map_of(one, "fieldsV1"), "f:spec")
        if noted:
            manager, operation, part = (text_of(one, name) for name in ("manager", "operation", "subresource"))
            content = json.dumps(noted, separators=(",", ":")).encode()
            yield Holder(manager, operation, part, time_ns_of(one, "time"), content)


def _status(kind: str, meta: Json, status: Json) -> Status:
    observed, target = int_of(status, "observedGeneration"), ""
    if kind == "DaemonSet":
        names = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    else:
        names = ("replicas", "updatedReplicas", "availableReplicas")
        target = text_of(status, "updateRevision") or text_of(map_of(meta, "annotations"), _REVISION)
    replicas, updated, available = (int_of(status, name) for name in names)
    return Status(observed, replicas, updated, available, target, *_failure(status))


def _failure(status: Json) -> tuple[str, str]:
    """Why, and in more words."""
    for one in maps_of(status, "conditions"):
        if (text_of(one, "type"), text_of(one, "status")) in _BAD:
            return text_of(one, "reason"), text_of(one, "message")[:_LONGEST_MESSAGE]
    return "", ""
