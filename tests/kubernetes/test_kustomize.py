"""The overlays, applied as docs/deploy.md says, with images of one's own: ready, exact, gone without a trace."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.kubernetes import firstedge, pods, traces
from tests.kubernetes.cluster import NAMESPACE, Cluster, await_true
from tests.kubernetes.lab.images import TREE
from tests.kubernetes.lab.lab import Lab

VOLUME, VOLUME_PLACE = "plumbline-test", "/var/lib/kubelet/plumbline-test"
REQUESTS = 500


@dataclass(slots=True)
class Applied:
    cluster: Cluster
    name: str
    overlay: Path
    times: firstedge.Times


@pytest.fixture(scope="module", params=["ephemeral", "persistent"])
def applied(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Applied]:
    overlay = own_overlay(cluster, request.param, tmp_path_factory.mktemp(request.param))
    if request.param == "persistent" and cluster.lab:
        offer_volume(cluster, cluster.lab)
    try:
        with firstedge.traffic(cluster) as town:
            times = firstedge.measured(town, lambda: cluster.kubectl("apply", "-k", str(overlay)))
        print(f"\nkustomize {request.param}: {times}", flush=True)
    except Exception as failed:
        raise AssertionError(cluster.diagnosis()) from failed
    yield Applied(cluster, request.param, overlay, times)
    cluster.kubectl("delete", "-k", str(overlay), "--ignore-not-found", "--wait")
    cluster.kubectl("delete", "persistentvolume", VOLUME, "--ignore-not-found")


def test_it_is_ready_and_shows_its_first_edge_soon(applied: Applied) -> None:
    assert applied.times.ready < 120
    assert applied.times.named < 150


def test_every_request_is_counted_and_the_volume_keeps_it(applied: Applied) -> None:
    cluster = applied.cluster
    pods.prepare(cluster)
    server = pods.start_server(cluster, cluster.nodes[1])
    job = {"address": server.address, "port": 8080, "connections": 2, "requests": REQUESTS}
    load = pods.start_load(cluster, cluster.nodes[0], f"load-{applied.name}", job)
    assert pods.counts(cluster, load)["requests"] == REQUESTS
    pods.settled_edge(cluster, load, server, REQUESTS)
    if applied.name == "persistent":
        replace_aggregator(cluster)
        pods.settled_edge(cluster, load, server, REQUESTS)


def test_what_is_deleted_leaves_nothing(applied: Applied) -> None:
    cluster = applied.cluster
    assert traces.attached(cluster) or not cluster.lab
    cluster.kubectl("delete", "-k", str(applied.overlay), "--wait")
    traces.await_nothing(cluster)
    assert NAMESPACE not in {one["metadata"]["name"] for one in cluster.get("namespaces")["items"]}


def own_overlay(cluster: Cluster, name: str, place: Path) -> Path:
    """As anybody has it who has images of their own."""
    images = [
        image("plumbline/agent", cluster.agent_image),
        image("plumbline/aggregator", cluster.aggregator_image),
    ]
    shipped = os.path.relpath(TREE / "deploy" / "kustomize" / "overlays" / name, place)
    whole = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [shipped]}
    (place / "kustomization.yaml").write_text(yaml.safe_dump({**whole, "images": images}))
    return place


def image(name: str, reference: str) -> dict[str, str]:
    bare, _, digest = reference.partition("@")
    place, _, tag = bare.rpartition(":") if ":" in bare.rpartition("/")[2] else (bare, "", "latest")
    return {"name": name, "newName": place, **({"digest": digest} if digest else {"newTag": tag})}


def offer_volume(cluster: Cluster, lab: Lab) -> None:
    """There is nobody in the lab who makes volumes: it offers one, on its first node."""
    node = cluster.nodes[0]
    lab.on_node(1, "mkdir", "-p", VOLUME_PLACE)
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "local": {"path": VOLUME_PLACE},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME}, "spec": spec}
    cluster.kubectl("apply", "-f-", text=json.dumps(volume))


def replace_aggregator(cluster: Cluster) -> None:
    name = f"{NAMESPACE}-aggregator-0"
    before = cluster.get("pod", name, "--namespace", NAMESPACE)["metadata"]["uid"]
    cluster.kubectl("delete", "pod", name, "--namespace", NAMESPACE, "--wait")

    def is_back() -> bool:
        for one in cluster.get("pods", "--namespace", NAMESPACE)["items"]:
            if one["metadata"]["name"] == name and one["metadata"]["uid"] != before:
                return firstedge.is_ready(one)
        return False

    await_true("a new aggregator is ready", is_back, 120)
