"""Where an address means something: loopback in its namespace, the rest in its cluster."""

import pytest
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.resolve.podnames import PodName
from tests.unit.aggregator.agents import World, ns


@pytest.fixture
def world() -> World:
    return World()


def test_loopback_means_something_in_its_own_namespace_only(world: World) -> None:
    for name in ("alpha", "beta"):
        agent = world.agent(name, "10.0.0.1" if name == "alpha" else "10.0.0.2")
        server, client = agent.unit("db"), agent.unit("web")
        agent.listens(server, "127.0.0.1", 5432, realm=flow.REALM_NAMESPACE)
        pod = agent.pod(f"p-{name}", "10.1.0.1" if name == "alpha" else "10.1.0.2")
        agent.listens(
            pod, "127.0.0.1", 5432, realm=flow.REALM_NAMESPACE, network_namespace=1000 + sum(map(ord, f"p-{name}"))
        )
        for loopback in ("127.0.0.1", "127.0.0.53"):
            agent.calls(client, loopback, 5432, 1, local="127.0.0.1")
            agent.calls(pod, loopback, 5432, 10, local="127.0.0.1")
        agent.tells()
    expected = {}
    for name in ("alpha", "beta"):
        expected[f"{name}/web", f"{name}/db"] = 2
        expected[f"{name}/pod-p-{name}", f"{name}/pod-p-{name}"] = 20
    assert world.requests() == expected


def test_any_number_of_hosts_may_listen_on_one_loopback_address(world: World) -> None:
    for number in range(100):
        agent = world.agent(f"host-{number}", f"10.0.1.{number}")
        agent.listens(agent.unit("db"), "127.0.0.1", 5432, realm=flow.REALM_NAMESPACE)
        agent.calls(agent.unit("web"), "127.0.0.1", 5432, 1, local="127.0.0.1")
        agent.tells()
    assert world.requests() == {(f"host-{number}/web", f"host-{number}/db"): 1 for number in range(100)}


def test_clusters_have_their_own_addresses_and_foreign_names_are_prefixed(world: World) -> None:
    for cluster in ("", "east"):
        alpha, beta = (
            world.agent(name, own, cluster=cluster) for name, own in (("alpha", "10.0.0.1"), ("beta", "10.0.0.2"))
        )
        shop = beta.unit("shop")
        beta.listens(shop, "10.0.0.2", 80)
        alpha.calls(alpha.unit("web"), "10.0.0.2", 80, 3 if cluster else 40)
        alpha.tells()
        beta.tells()
    assert world.requests() == {("alpha/web", "beta/shop"): 40, ("east:alpha/web", "east:beta/shop"): 3}
    assert world.nodes()["east:beta/shop"].cluster == "east"
    assert [host.name for host in world.topology().hosts] == ["alpha", "beta", "east:alpha", "east:beta"]


@pytest.mark.parametrize("before", [0, 1001, 999])
def test_a_namespace_that_is_known_later_is_where_the_calls_before_were_made(world: World, before: int) -> None:
    """`before`: it was not known, was taken for another pod's, or for one in which nobody listens."""
    alpha = world.agent("alpha", "10.0.0.1")
    for uid, namespace in (("a", 1001), ("b", 1002)):
        server = alpha.endpoint(flow.ENDPOINT_KIND_POD, namespace, pod_uid=uid, container_id="server")
        alpha.listens(server, "127.0.0.1", 8080, realm=flow.REALM_NAMESPACE, network_namespace=namespace)
    client = {"kind": flow.ENDPOINT_KIND_POD, "pod_uid": "b", "container_id": "client"}
    load = alpha.endpoint(network_namespace=before, **client)
    alpha.calls(load, "127.0.0.1", 8080, 3, local="127.0.0.1")
    alpha.tells()
    assert world.requests() != {("alpha/pod-b", "alpha/pod-b"): 3}
    alpha.redefine(load, network_namespace=1002, **client)
    alpha.tells()
    assert world.requests() == {("alpha/pod-b", "alpha/pod-b"): 3}


def test_what_is_known_later_of_one_is_looked_at_for_that_one_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a large cluster some container's namespace is known later at any time: all others are not named anew."""
    alpha = world.agent("alpha", "10.0.0.1")
    server = alpha.pod("server", "10.1.1.1")
    alpha.listens(server, "10.1.1.1", 80)
    uids = [f"p{number}" for number in range(50)]
    for number, uid in enumerate(uids):
        alpha.calls(alpha.pod(uid, f"10.1.0.{number}"), "10.1.1.1", 80, 1, local=f"10.1.0.{number}")
    names = [PodName(uid, "shop", "deployment", "web", f"web-{uid}", "old", "n1") for uid in uids]
    world.estate.pods.learn(names)
    alpha.tells()
    revisions = {one.revision: one.requests for one in edge_of(world).revisions if one.revision}
    assert revisions == {"old": 50}
    asked: list[str] = []
    of = world.estate.pods.of
    monkeypatch.setattr(world.estate.pods, "of", lambda uid: (asked.append(uid), of(uid))[1])
    alpha.redefine(
        alpha.pod("p7", "10.1.0.7"), flow.ENDPOINT_KIND_POD, network_namespace=77, pod_uid="p7", container_id="c1"
    )
    alpha.tells(1, 2)
    world.estate._snapshots._looks.resolved(ns(3))
    assert set(asked) == {"p7"}
    monkeypatch.undo()
    world.estate.pods.learn([names[7]._replace(revision="new"), names[8]._replace(revision="new")])
    assert {one.revision: one.requests for one in edge_of(world).revisions if one.revision} == {"old": 48, "new": 2}


def edge_of(world: World) -> pb.Edge:
    return world.edges(3)["shop/deployment/web", "alpha/pod-server"]
