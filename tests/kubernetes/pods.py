"""Two small pods: a server, and a load generator that says what it did. They run on the aggregator's image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.cluster import Cluster, app, await_true

PLACE = "shop"
PATHS = [["GET", "/items/1"], ["GET", "/items/2"], ["POST", "/orders"], ["GET", "/status/503"], ["GET", "/status/404"]]


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    uid: str
    node: str
    address: str

    def is_node(self, node_id: str) -> bool:
        """Whether an id of the graph is this pod's: by its uid, or by its name where the API has told it."""
        return node_id == f"{self.node}/pod-{self.uid}" or node_id.lower() == f"{PLACE}/pod/{self.name}"


def prepare(cluster: Cluster) -> None:
    """The namespace, and the programs as a ConfigMap in it."""
    programs = {name: app(name) for name in ("server.py", "load.py")}
    apply(
        cluster,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("apps"), "data": programs},
    )


def start_server(cluster: Cluster, node: str) -> Pod:
    """Behind the Service `cart`, port 80."""
    script = "exec python3 /apps/server.py --listen [::]:8080 --counts /tmp/counts"
    ports = {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": 8080}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": _meta("cart"), "spec": ports}
    apply(cluster, _pod("cart", node, cluster.aggregator_image, script), service)
    await_true("the Service has an endpoint", lambda: _endpoints(cluster))
    return find(cluster, "cart")


def address_of_service(cluster: Cluster) -> str:
    address: str = cluster.get("service", "cart", "--namespace", PLACE)["spec"]["clusterIP"]
    return address


def start_load(cluster: Cluster, node: str, name: str, job: Mapping[str, Any]) -> Pod:
    """Begins at once. `job` is one of load.py: "address", "port", "connections", ..."""
    plan = {"jobs": [{"host": "cart", "kind": "requests", "paths": PATHS, **job}]}
    # It stays until its last counts have been read: whose they are when it is gone by then is another question.
    run = "python3 /apps/load.py /tmp/plan /tmp/out && cat /tmp/out && sleep 4"
    script = f"cat > /tmp/plan <<'PLAN'\n{json.dumps(plan)}\nPLAN\n{run}"
    apply(cluster, _pod(name, node, cluster.aggregator_image, script))
    return find(cluster, name)


def counts(cluster: Cluster, load: Pod, seconds: float = 120) -> Any:
    """What it did, when it has ended: {"requests", "statuses", "connections", ...}."""

    def ended() -> bool:
        phase = cluster.get("pod", load.name, "--namespace", PLACE)["status"]["phase"]
        assert phase != "Failed", cluster.kubectl("logs", "--namespace", PLACE, load.name)
        return bool(phase == "Succeeded")

    await_true(f"{load.name} has ended", ended, seconds)
    (row,) = json.loads(cluster.kubectl("logs", "--namespace", PLACE, load.name))["rows"]
    return row


def settled_edge(cluster: Cluster, client: Pod, server: Pod, requests: int) -> Any:
    """The one edge between two pods, when it has as many requests as were made; more is never right."""
    found: list[Any] = []

    def complete() -> bool:
        edges = cluster.plumb("graph")["edges"]
        found[:] = [one for one in edges if client.is_node(one["source"]) and server.is_node(one["target"])]
        return bool(sum(one["requests"] for one in found) >= requests)

    try:
        await_true(f"{requests} requests to {server.name}", complete, 30)
    except Exception as late:
        graph = cluster.plumb("graph")
        raise AssertionError(json.dumps(graph, indent=1)[:20000] + cluster.diagnosis()) from late
    (edge,) = found
    assert edge["requests"] == requests
    return edge


def find(cluster: Cluster, name: str) -> Pod:
    """When it runs, or has run."""

    def running() -> bool:
        return bool(cluster.get("pod", name, "--namespace", PLACE)["status"]["phase"] in ("Running", "Succeeded"))

    await_true(f"{name} runs", running)
    pod = cluster.get("pod", name, "--namespace", PLACE)
    return Pod(name, pod["metadata"]["uid"], pod["spec"]["nodeName"], pod["status"].get("podIP", ""))


def apply(cluster: Cluster, *objects: Mapping[str, Any]) -> None:
    cluster.kubectl("apply", "-f-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def _endpoints(cluster: Cluster) -> list[Any]:
    found = cluster.get("endpointslices", "--namespace", PLACE, "--selector=kubernetes.io/service-name=cart")["items"]
    return [one for part in found for one in part["endpoints"] or [] if one["conditions"].get("ready")]


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": PLACE, "labels": {"app": name}}


def _pod(name: str, node: str, image: str, script: str) -> dict[str, Any]:
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "env": [{"name": "PYTHONPATH", "value": ""}],
        "volumeMounts": [{"name": "apps", "mountPath": "/apps"}],
    }
    spec = {
        "nodeName": node,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "apps", "configMap": {"name": "apps"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _meta(name), "spec": spec}
