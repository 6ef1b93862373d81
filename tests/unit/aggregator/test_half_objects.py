"""Whatever is missing in an object of the API, or is something else than it should be, it is read or passed over."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from aggregator.resolve.resources import RESOURCES, Resource
from tests.unit.aggregator.objects import Raw, by, meta, port, raw_pod

CONTAINER: Raw = {
    "name": "main",
    "image": "registry.example.test/app:1",
    "env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": 2}},
    "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
    "ports": [{"containerPort": 80, "hostPort": 80}],
}
TEMPLATE: Raw = {"metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
WHOLE: Raw = {
    **meta("x", owner=by("ReplicaSet", "y"), labels={"pod-template-hash": "abc", "kubernetes.io/service-name": "x"}),
    "spec": {
        **TEMPLATE["spec"],
        "replicas": 3,
        "template": TEMPLATE,
        "selector": {"matchLabels": {"app": "x"}},
        "nodeName": "n1",
        "clusterIP": "10.96.0.1",
        "ports": [port(80, 8080)],
        "taints": [{"key": "a", "effect": "NoSchedule"}],
    },
    "status": {
        **raw_pod("x")["status"],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        "replicas": 3,
        "updatedReplicas": 3,
        "observedGeneration": 1,
    },
    "data": {"spec": {"template": TEMPLATE}},
    "revision": 3,
    "ports": [port(80)],
    "endpoints": [{"addresses": ["10.244.0.1"], "conditions": {"ready": True}}],
    "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "x", "uid": "uid-x"},
    "reason": "BackOff",
    "message": "it failed",
    "count": 3,
    "lastTimestamp": "2026-01-01T00:00:00Z",
}
WHOLE["metadata"]["managedFields"] = [
    {
        "manager": "kubectl",
        "operation": "Update",
        "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
]
OTHERS: list[Any] = [None, "x", -1, 1 << 70, 1.5, [], {}, [None], {"": []}]


def places(thing: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in it, the way there."""
    steps = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for step, below in steps:
        yield (*path, step)
        yield from places(below, (*path, step))


PLACES = list(places(WHOLE))


def changed(path: tuple[Any, ...], other: Any) -> Raw:
    """With something else at a place; `...` takes it away."""
    whole = copy.deepcopy(WHOLE)
    thing: Any = whole
    for step in path[:-1]:
        thing = thing[step]
    if other is ...:
        del thing[path[-1]]
    else:
        thing[path[-1]] = other
    return whole


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.name)
def test_one_thing_that_is_missing_or_another_breaks_no_reader(resource: Resource) -> None:
    assert resource.object_of(WHOLE) is not None
    for path in PLACES:
        for other in (*OTHERS, ...):
            # What cannot be compared cannot be kept.
            found = resource.object_of(changed(path, other))
            assert found is None or hash(found) == hash(found)
