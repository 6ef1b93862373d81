"""Deployments and what belongs to them as an API server gives them, as far as tests need them."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from aggregator.resolve.deployed.specs import Generation, Spec, read_generation, read_spec
from aggregator.resolve.objects import Pod, read_pod

Raw = dict[str, Any]
TIMES = "2026-11-26T10:00:{:02d}Z"

_CONTAINER_NOTES = {
    ".": {},
    "f:args": {},
    "f:env": {
        ".": {},
        'k:{"name":"LOG_LEVEL"}': {".": {}, "f:name": {}, "f:value": {}},
        'k:{"name":"PASSWORD"}': {
            ".": {},
            "f:name": {},
            "f:valueFrom": {".": {}, "f:secretKeyRef": {}},
        },
    },
    "f:image": {},
    "f:imagePullPolicy": {},
    "f:livenessProbe": {
        ".": {},
        "f:httpGet": {".": {}, "f:path": {}, "f:port": {}, "f:scheme": {}},
        "f:periodSeconds": {},
    },
    "f:name": {},
    "f:ports": {".": {}, 'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
    "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}},
}
NOTES = {
    "f:progressDeadlineSeconds": {},
    "f:replicas": {},
    "f:revisionHistoryLimit": {},
    "f:selector": {},
    "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
    "f:template": {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:containers": {'k:{"name":"app"}': _CONTAINER_NOTES},
            "f:dnsPolicy": {},
            "f:restartPolicy": {},
        },
    },
}
LIMIT = {
    "f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:resources": {"f:limits": {"f:memory": {}}}}}}}
}
RESTART = {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}
ENV = {
    "f:template": {
        "f:spec": {"f:containers": {'k:{"name":"app"}': {"f:env": {'k:{"name":"LOG_LEVEL"}': {"f:value": {}}}}}}
    }
}


def noted(manager: str, fields: Mapping[str, Any], second: int = 0, part: str = "", operation: str = "Update") -> Raw:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "time": TIMES.format(second),
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": copy.deepcopy(fields)},
        **({"subresource": part} if part else {}),
    }


def deployment(name: str = "web", manager: str = "helm", generation: int = 1) -> Raw:
    """All of it was set by one manager; it is done."""
    container = {
        "name": "app",
        "image": "registry.example/web:1",
        "imagePullPolicy": "IfNotPresent",
        "args": ["--token=abc"],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "web", "key": "password"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 77}}},
        ],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "1", "memory": "128Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "generation": generation,
            "creationTimestamp": TIMES.format(0),
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "managedFields": [noted(manager, NOTES)],
        },
        "spec": {
            "progressDeadlineSeconds": 600,
            "replicas": 3,
            "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always"},
            },
        },
        "status": {
            "observedGeneration": generation,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
        },
    }


def changed(raw: Raw, how: Callable[[Raw], object], manager: str = "", fields: Mapping[str, Any] = {}, second: int = 1,
            part: str = "") -> Raw:  # fmt: skip
    """As it is after that: its generation is the next one, nobody observed it, and the manager's notes are added."""
    found = copy.deepcopy(raw)
    how(found)
    found["metadata"]["generation"] += 1
    if manager:
        for one in found["metadata"]["managedFields"]:
            _take(one["fieldsV1"]["f:spec"], fields)
        found["metadata"]["managedFields"].append(noted(manager, fields, second, part))
    return found


def container_of(raw: Raw) -> Raw:
    found: Raw = raw["spec"]["template"]["spec"]["containers"][0]
    return found


def limit(memory: str) -> Callable[[Raw], object]:
    return lambda raw: container_of(raw)["resources"]["limits"].update(memory=memory)


def image(name: str) -> Callable[[Raw], object]:
    return lambda raw: container_of(raw).update(image=name)


def observed(raw: Raw, updated: int, available: int = 3, replicas: int = 3, revision: str = "", **failure: str) -> Raw:
    """As its controller says by now. `failure`: a condition's reason and message."""
    found = copy.deepcopy(raw)
    status = {"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available}
    found["status"] = {"observedGeneration": found["metadata"]["generation"], **status}
    if revision:
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = revision
    if failure:
        found["status"]["conditions"] = [{"type": "Progressing", "status": "False", **failure}]
    return found


def spec(raw: Raw, kind: str = "Deployment") -> Spec:
    return read_spec(raw, kind)


def replica_set(of: str, number: int, second: int = 0, marked: str = "", scaled: int = 0) -> Generation:
    """`scaled`: how often it was."""
    name = marked or f"hash{number}"
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": of, "uid": f"uid-{of}", "controller": True}
    meta = {
        "name": f"{of}-{name}",
        "namespace": "shop",
        "uid": f"uid-{of}-{name}",
        "generation": 1 + scaled,
        "creationTimestamp": TIMES.format(second),
        "labels": {"pod-template-hash": name},
        "annotations": {"deployment.kubernetes.io/revision": str(number)},
        "ownerReferences": [owner],
    }
    return read_generation({"metadata": meta}, "ReplicaSet")


def pod(name: str, of: str, marked: str, node: str = "n1", ready: bool = True, **waiting: str) -> Pod:
    state = {"waiting": waiting} if waiting else {"running": {}}
    return read_pod(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": f"uid-{name}",
                "creationTimestamp": TIMES.format(0),
                "labels": {"pod-template-hash": marked},
            },
            "spec": {"nodeName": node, "containers": [{"name": "app", "image": f"registry.example/{of}:{marked}"}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [
                    {
                        "name": "app",
                        "state": state,
                        "imageID": "" if waiting else f"registry.example/{of}@sha256:{marked}",
                    }
                ],
            },
        }
    )


def _take(notes: Raw, fields: Mapping[str, Any]) -> None:
    """Whoever sets a field to another value takes it from those who held it."""
    for key, below in fields.items():
        if below and key in notes:
            _take(notes[key], below)
        elif key != ".":
            notes.pop(key, None)
