"""Cases of the field: the helper beside a container, and containers inside containers."""

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.product import Graph, Product
from tests.cluster.roaming import Serving

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ONE, TWO, THREE, FOUR = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
POD_SLICE = f"kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
USER = "user.slice/user-1000.slice/user@1000.service/app.slice"
# Path of a cgroup -> the node that what runs there must be, and how many requests it makes.
PLACES = {
    f"kubepods.slice/{POD_SLICE}/crio-{ONE}.scope/container": (f"alpha/pod-{UID}", 1),
    f"kubepods.slice/{POD_SLICE}/crio-{ONE}.scope/made/inside": (f"alpha/pod-{UID}", 2),
    f"kubepods.slice/{POD_SLICE}/crio-conmon-{ONE}.scope": ("alpha/curl", 4),
    f"machine.slice/libpod-{TWO}.scope/container": (f"alpha/{TWO[:12]}", 8),
    f"machine.slice/libpod-conmon-{TWO}.scope": ("alpha/curl", 16),
    f"system.slice/docker-{THREE}.scope/kubelet.slice/kubelet-kubepods.slice/"
    f"kubelet-kubepods-pod{'9' + UID[1:]}.slice/cri-containerd-{FOUR}.scope": (f"alpha/pod-{'9' + UID[1:]}", 32),
    f"system.slice/docker-{THREE}.scope/system.slice/kubelet.service": (f"alpha/{THREE[:12]}", 64),
    f"{USER}/x.service": ("alpha/x", 128),
    f"{USER}/x.service/worker": ("alpha/x", 256),
    "lxc.payload.letterbox/system.slice/nginx.service": ("alpha/letterbox", 512),
    "lxc.payload.newspaper-stand": ("alpha/newspaper-stand", 1024),
    "system.slice/nginx.service": ("alpha/nginx", 2048),
}


def test_whoever_runs_where_is_one_node_by_the_innermost_container(cluster: Cluster) -> None:
    shop = Serving(cluster, cluster.pod("beta", "shop"), 8080)
    places = [(cluster.within("alpha", path, node, "unit"), count) for path, (node, count) in PLACES.items()]
    expected: dict[str, int] = {}
    with Product(cluster) as product:
        for place, count in places:
            call(place, shop.workload.ipv4, count)
            expected[place.node_id] = expected.get(place.node_id, 0) + count
        graph = product.graph_when(lambda graph: callers(graph, shop) == expected)
    assert callers(graph, shop) == expected
    assert {node["id"] for node in graph["nodes"]} == {*expected, shop.workload.node_id}


def call(place: Workload, address: str, count: int) -> None:
    place.run("curl", ["curl", "-sS", "-o", "/dev/null", f"http://{address}:8080/items/[1-{count}]"])


def callers(graph: Graph, shop: Serving) -> dict[str, int]:
    edges = [edge for edge in graph["edges"] if edge["target"] == shop.workload.node_id]
    return {edge["source"]: edge["requests"] for edge in edges}
