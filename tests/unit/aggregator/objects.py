"""Objects as the API server gives them, as far as tests need them."""

from collections.abc import Mapping, Sequence
from typing import Any

from aggregator.resolve.objects import Meta, Pod, Service, Slice, read_meta, read_pod, read_service, read_slice

Raw = dict[str, Any]


def meta(name: str, uid: str = "", namespace: str = "shop", owner: Raw | None = None, **more: Any) -> Raw:
    found = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": "1", **more}
    if owner is not None:
        found["ownerReferences"] = [{"kind": "Other", "name": "x", "uid": "x", "apiVersion": "v1"}, owner]
    return {"metadata": found}


def by(kind: str, name: str, version: str = "apps/v1", uid: str = "") -> Raw:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid or f"uid-{name}", "controller": True}


def owner(kind: str, name: str, above: Raw | None = None, **more: Any) -> Meta:
    return read_meta(meta(name, owner=above, **more), kind)


def raw_pod(name: str, above: Raw | None = None, labels: Mapping[str, str] | None = None, **more: Any) -> Raw:
    return {
        **meta(name, owner=above, labels=dict(labels or {}), **more),
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running",
            "podIP": "10.244.1.5",
            "podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00::5"}],
            "containerStatuses": [{"name": "app", "containerID": "containerd://" + "a" * 64, "restartCount": 2}],
        },
    }


def pod(name: str, above: Raw | None = None, **more: Any) -> Pod:
    return read_pod(raw_pod(name, above, **more))


def service(name: str, address: str, *ports: Raw, uid: str = "", **spec: Any) -> Service:
    body = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": list(ports), **spec}
    return read_service({**meta(name, uid), "spec": body})


def port(number: int, target: int = 0, name: str = "http", **more: Any) -> Raw:
    return {"name": name, "port": number, "protocol": "TCP", **({"targetPort": target} if target else {}), **more}


def endpoints(of: str, target: int, addresses: Sequence[str], name: str = "http", uid: str = "") -> Slice:
    return read_slice(
        {
            **meta(f"{of}-abc", uid or f"slice-{of}", labels={"kubernetes.io/service-name": of}),
            "addressType": "IPv4",
            "ports": [{"name": name, "port": target, "protocol": "TCP"}],
            "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in addresses],
        }
    )
