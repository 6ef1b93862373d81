"""The graph is what happened: every number of every edge, from both ends, and not one edge or node more."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agent.routes import fold
from tests.cluster.cluster import Cluster
from tests.cluster.estate import FILES, PAYMENTS_API, Estate
from tests.cluster.network import RESOLVER_IPV4, SILENT_IPV4, SILENT_IPV6, UNREACHABLE_IPV4
from tests.cluster.product import Graph, Product
from tests.cluster.traffic import UNOWNED_INSIDE
from tests.cluster.truth import EdgeKey, Truth, differences, expected, unequal

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
WHOLE, SMALL = 1.0, 0.02
SIDES = ("client_side", "server_side")


@dataclass
class Watched:
    estate: Estate
    truth: Truth
    graph: Graph


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """The whole load on services that ran before the agents came."""
    with Cluster() as cluster:
        estate = Estate(cluster)
        with Product(cluster) as product:
            yield _watch(estate, product, WHOLE)


def test_the_load_is_large_enough(watched: Watched) -> None:
    assert watched.truth.requests() >= 200_000
    inside = {one.node_id for one in watched.estate.cluster.workloads if one.host != "internet"}
    assert len({key.target for key in watched.truth.edges if key.target in inside and key.protocol == "http"}) >= 6


def test_every_edge_has_the_numbers_of_its_clients(watched: Watched) -> None:
    assert_none(differences(watched.truth, watched.graph["edges"]))


@pytest.mark.parametrize("side", SIDES)
def test_each_end_by_itself_has_them_too(watched: Watched, side: str) -> None:
    assert_none(_side_differences(watched, side))


def test_there_is_no_node_more_or_less(watched: Watched) -> None:
    assert_none(_node_differences(watched))


def test_nodes_are_what_they_are(watched: Watched) -> None:
    kinds = {node["id"]: node["kind"] for node in watched.graph["nodes"]}
    right = {one.node_id: one.kind for one in watched.estate.cluster.workloads if one.node_id in kinds}
    right |= {PAYMENTS_API: "third_party", FILES: "third_party", "beta": "host", UNOWNED_INSIDE: "unresolved"}
    right |= dict.fromkeys((RESOLVER_IPV4, SILENT_IPV4, SILENT_IPV6, UNREACHABLE_IPV4), "external")
    right |= dict.fromkeys((watched.estate.nameless.ipv4, watched.estate.browser.ipv4), "external")
    assert kinds == right
    sources = {node["id"]: node["name_source"] for node in watched.graph["nodes"] if node["name_source"]}
    assert sources == {PAYMENTS_API: "host", FILES: "dns"}


def test_who_listens_is_a_node_though_nobody_calls(watched: Watched) -> None:
    listens = {node["id"]: node["listens"] for node in watched.graph["nodes"]}
    assert listens[watched.estate.idle.node_id] == [8080]
    assert listens["beta/payments"] == listens["beta/ledger"] == [9090]


def test_every_route_has_its_requests(watched: Watched) -> None:
    lines = []
    for edge in watched.graph["edges"]:
        key = EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"])
        right = _folded(watched.truth, key)
        shown = Counter({(one["method"], one["route"]): one["requests"] for one in edge["routes"]})
        if right and right != shown:
            lines += [f"{key} {way}: {right[way]} in truth, {shown[way]} shown" for way in right.keys() | shown.keys()]
    assert_none(lines)


def test_nothing_is_lost_or_dropped(watched: Watched) -> None:
    assert [host["name"] for host in watched.graph["hosts"]] == ["alpha", "beta"]
    for host in watched.graph["hosts"]:
        assert not host["stale"] and not any(host["lost"].values()) and not any(host["dropped"].values()), host


def test_services_that_start_after_the_agents_are_exact_too() -> None:
    with Cluster() as cluster, Product(cluster) as product:
        watched = _watch(Estate(cluster), product, SMALL)
    assert_none(differences(watched.truth, watched.graph["edges"]) + _node_differences(watched))
    assert_none(_side_differences(watched, "client_side") + _side_differences(watched, "server_side"))


def assert_none(lines: list[str]) -> None:
    assert not lines, "\n" + "\n".join(lines)


def _watch(estate: Estate, product: Product, share: float) -> Watched:
    truth = estate.load(share)

    def is_complete(graph: Graph) -> bool:
        """An end that does not count for the sum may be told later than the one that does."""
        sides = (_side_differences(Watched(estate, truth, graph), side) for side in SIDES)
        return not differences(truth, graph["edges"]) and not any(sides)

    return Watched(estate, truth, product.graph_when(is_complete))


def _side_differences(watched: Watched, side: str) -> list[str]:
    """Where an agent stood at that end, and its address tells the other end apart."""
    inside = {one.node_id for one in watched.estate.cluster.workloads if one.host != "internet"}
    lines = []
    for edge in watched.graph["edges"]:
        key = EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"])
        seen = key.source in inside if side == "client_side" else key.target in inside and not _is_shared(watched, key)
        truth = watched.truth.edges.get(key)
        if not seen or truth is None or not (truth.connections or truth.requests):
            continue
        found = edge[side]
        lines += [f"{key}: no {side}"] if found is None else unequal(key, expected(key, truth), found, f"{side}.")
    return lines


def _is_shared(watched: Watched, key: EdgeKey) -> bool:
    """Whether another unit of the same host, and so of the same address, calls that server too."""
    units = {one.node_id: one.host for one in watched.estate.cluster.workloads if one.kind in ("unit", "process")}
    return any(
        units.get(other.source) == units[key.source] and other.source != key.source
        for other in watched.truth.edges
        if key.source in units and (other.target, other.port) == (key.target, key.port)
    )


def _node_differences(watched: Watched) -> list[str]:
    right, shown = watched.truth.nodes(), {node["id"] for node in watched.graph["nodes"]}
    return [f"missing: {node}" for node in sorted(right - shown)] + [
        f"not in the truth: {node}" for node in sorted(shown - right)
    ]


def _folded(truth: Truth, key: EdgeKey) -> Counter[tuple[str, str]]:
    routes: Counter[tuple[str, str]] = Counter()
    edge = truth.edges.get(key)
    for (method, path, _), count in (edge.routes if edge and key.protocol == "http" else {}).items():
        routes[method, fold(path.partition("?")[0].encode())] += count
    return routes
