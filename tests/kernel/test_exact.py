"""The graph is what happened: every number of every edge, from both ends, and not one edge or node more."""

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.estate import FILES, PAYMENTS_API, Estate
from tests.cluster.network import RESOLVER_IPV4, SILENT_IPV4, SILENT_IPV6, UNREACHABLE_IPV4
from tests.cluster.product import Product
from tests.cluster.traffic import UNOWNED_INSIDE
from tests.cluster.truth import differences
from tests.cluster.watched import SIDES, Watched, node_differences, route_differences, side_differences, watch

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
WHOLE, SMALL = 1.0, 0.02


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """The whole load on services that ran before the agents came."""
    with Cluster() as cluster:
        estate = Estate(cluster)
        with Product(cluster) as product:
            yield watch(estate, product, estate.load(WHOLE))


def test_the_load_is_large_enough(watched: Watched) -> None:
    assert watched.truth.requests() >= 200_000
    inside = {one.node_id for one in watched.estate.cluster.workloads if one.host != "internet"}
    assert len({key.target for key in watched.truth.edges if key.target in inside and key.protocol == "http"}) >= 6


def test_every_edge_has_the_numbers_of_its_clients(watched: Watched) -> None:
    assert_none(differences(watched.truth, watched.graph["edges"]))


@pytest.mark.parametrize("side", SIDES)
def test_each_end_by_itself_has_them_too(watched: Watched, side: str) -> None:
    assert_none(side_differences(watched, side))


def test_there_is_no_node_more_or_less(watched: Watched) -> None:
    assert_none(node_differences(watched))


def test_nodes_are_what_they_are(watched: Watched) -> None:
    kinds = {node["id"]: node["kind"] for node in watched.graph["nodes"]}
    right = {one.node_id: one.kind for one in watched.estate.cluster.workloads if one.node_id in kinds}
    right |= {PAYMENTS_API: "third_party", FILES: "third_party", "beta": "host", UNOWNED_INSIDE: "unresolved"}
    right |= dict.fromkeys((RESOLVER_IPV4, SILENT_IPV4, SILENT_IPV6, UNREACHABLE_IPV4), "external")
    right |= dict.fromkeys((watched.estate.nameless.ipv4, watched.estate.browser.node_id), "external")
    assert kinds == right
    sources = {node["id"]: node["name_source"] for node in watched.graph["nodes"] if node["name_source"]}
    assert sources == {PAYMENTS_API: "host", FILES: "dns"}


def test_who_listens_is_a_node_though_nobody_calls(watched: Watched) -> None:
    listens = {node["id"]: node["listens"] for node in watched.graph["nodes"]}
    assert listens[watched.estate.idle.node_id] == [8080]
    assert listens["beta/payments"] == listens["beta/ledger"] == [9090]


def test_every_route_has_its_requests(watched: Watched) -> None:
    assert_none(route_differences(watched))


def test_nothing_is_lost_or_dropped(watched: Watched) -> None:
    assert [host["name"] for host in watched.graph["hosts"]] == ["alpha", "beta"]
    for host in watched.graph["hosts"]:
        assert not host["stale"] and not any(host["lost"].values()) and not any(host["dropped"].values()), host


def test_services_that_start_after_the_agents_are_exact_too() -> None:
    with Cluster() as cluster, Product(cluster) as product:
        estate = Estate(cluster)
        watched = watch(estate, product, estate.load(SMALL))
    assert_none(differences(watched.truth, watched.graph["edges"]) + node_differences(watched))
    assert_none(side_differences(watched, "client_side") + side_differences(watched, "server_side"))


def assert_none(lines: list[str]) -> None:
    assert not lines, "\n" + "\n".join(lines)
