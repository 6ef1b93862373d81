"""What `plumb show` says of who may come to a node, who came, and by which names."""

from typing import Any

from plumbline.v1 import topology_pb2 as pb

from cli.sections.asked import names
from cli.sections.exposure import exposure

from .conftest import Served, run


def test_ways_in_and_who_came_by_them(served: Served) -> None:
    node = served.topology.nodes[1]
    node.exposure.openings.add(
        kind=pb.OPENING_KIND_INGRESS, name="front.shop", port=443, hosts=["a.example"], encrypted=True
    )
    node.exposure.openings.add(kind=pb.OPENING_KIND_NODE_PORT, name="web.shop", port=30080)
    node.exposure.openings.add(kind=pb.OPENING_KIND_LOAD_BALANCER, name="web.shop", port=80)
    node.exposure.openings.add(kind=pb.OPENING_KIND_HOST_PORT, port=8080)
    one = node.reached.add(port=8080, protocol="http", connections=3)
    one.first_seen.FromJsonString("2026-01-01T10:00:00Z")
    one.last_seen.FromJsonString("2026-01-01T10:05:00Z")
    text = run("show", node.id, "--aggregator", served.address).stdout
    assert "Exposure\nOPEN BY" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["ingress", "front.shop", "443", "a.example", "yes"] in rows
    assert ["node", "port", "web.shop", "30080", "every", "node", "no"] in rows
    assert ["load", "balancer", "web.shop", "80", "no", "address", "yet", "no"] in rows
    assert ["host", "port", "-", "8080", "its", "machines", "no"] in rows
    assert ["http:8080", "3", "no", "10:00:00", "10:05:00"] in rows


def test_what_is_unknown_is_not_told_as_closed() -> None:
    opening = {"kind": "host_network", "name": "", "port": 0, "hosts": [], "encrypted": False}
    assert exposure({"exposure": None, "reached": []}) == ""
    assert exposure({"exposure": {"openings": []}, "reached": []}).startswith("nothing that the cluster declares")
    text = exposure({"exposure": {"openings": [opening]}, "reached": []})
    assert "host network" in text
    assert "any" in text
    assert text.endswith("not reached from outside in this window, as far as addresses show")


def test_names_by_which_callers_ask() -> None:
    def way(name: str, connections: int, shared: bool) -> dict[str, Any]:
        return {"name": name, "connections": connections, "shared": shared}

    edges = [{"source": "shop/deployment/web", "via": [way("api.shop", 5, False), way("alias.shop", 5, True)]}]
    assert [line.split() for line in names({"callers": edges}).splitlines()[1:]] == [
        ["shop/deployment/web", "api.shop", "5"],
        ["shop/deployment/web", "alias.shop", "<=", "5"],
    ]
    assert names({"callers": [{"source": "x", "via": []}]}) == ""


def test_a_probe_and_a_scrape_are_marked(served: Served) -> None:
    setattr(served.topology.edges[0], "class", pb.EDGE_CLASS_PROBE)
    text = run("graph", "--background", "--aggregator", served.address).stdout
    assert "http:8080 (probe)" in text
