"""A case of the field: behind a forward proxy the third parties are those that clients ask it for, not the proxy."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.internet import by_proxy, filled, start_proxy
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
API, BUSY, CDN, BAD = "api.pay.example", "busy.pay.example", "cdn.example", "bad.example"
ADDRESSES = {API: "203.0.113.81", BUSY: "203.0.113.82", CDN: "203.0.113.83"}
NOBODY_LISTENS = "203.0.113.84"
CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sites.example".split()
# The status of the tunnel and of the answer, 000 where there is none.
CURL = 'for n in $(seq {times}); do curl -sk -o /dev/null -w "%{{http_connect}} %{{http_code}}\\n" {url}; done; true'
REFUSED, UNREACHABLE = 5, 3
ASKED = {API: 30, BUSY: 10, CDN: 20, BAD: REFUSED + UNREACHABLE}


class Office:
    """A shop that reaches the internet by way of a proxy only; curl and nginx tell what happened."""

    def __init__(self, cluster: Cluster, where: str) -> None:
        self._directory = cluster.directory
        self._serve(cluster)
        self.shop = cluster.pod("alpha", "shop")
        inside = where == "inside"
        self.proxy = cluster.pod("beta", "proxy") if inside else cluster.outsider("203.0.113.90", ["203.0.113.90"])
        self._running = start_proxy(self.proxy, self._directory, refused="^bad\\.example$")
        self.said: dict[str, Counter[str]] = {}

    def _serve(self, cluster: Cluster) -> None:
        sites = cluster.outsider("sites", [*ADDRESSES.values(), NOBODY_LISTENS])
        files = ["-keyout", self._directory / "key.pem", "-out", self._directory / "certificate.pem"]
        subprocess.run([*CERTIFICATE, *files], capture_output=True, check=True)
        listens = [f"{address}:{80 if name == CDN else 443}" for name, address in ADDRESSES.items()]
        command = ["nginx", "-e", "stderr", "-c", filled("sites.conf", self._directory)]
        sites.start("nginx", command, listens=listens)
        cluster.publish({name: {"A": [one]} for name, one in {**ADDRESSES, BAD: NOBODY_LISTENS}.items()})

    def forgive(self) -> None:
        """From now on it tries whom it refused before."""
        self._running.end()
        self._running = start_proxy(self.proxy, self._directory)

    def ask(self, name: str, times: int, path: str = "/") -> None:
        scheme = "http" if name == CDN else "https"
        text = CURL.format(times=times, url=f"{scheme}://{name}{path}")
        asking = self.shop.start(
            f"curl-{len(self.shop.programs)}", ["sh", "-c", text], environment=by_proxy(self.proxy)
        )
        asking.wait()
        self.said.setdefault(name, Counter()).update(asking.output.read_text().splitlines())

    def served(self) -> Counter[str]:
        return Counter((self._directory / "sites.log").read_text().splitlines())


@pytest.fixture(scope="module", params=["inside", "outside"])
def office(request: pytest.FixtureRequest) -> Iterator[tuple[Office, Product]]:
    """Everybody was asked for; the proxy is a pod of ours, or somebody else's."""
    with Cluster() as cluster:
        office = Office(cluster, request.param)
        with Product(cluster) as product:
            office.ask(API, ASKED[API])
            office.ask(BUSY, ASKED[BUSY])
            office.ask(CDN, ASKED[CDN], "/x?user=secret")
            office.ask(BAD, REFUSED)
            office.forgive()
            office.ask(BAD, UNREACHABLE)
            yield office, product


def is_whole(graph: Graph, stage: Office) -> bool:
    """Both ends have told all."""
    requests = {name: edge["requests"] for name, edge in edges_from(graph, stage.shop).items()}
    return requests == {**ASKED, stage.proxy.node_id: sum(ASKED.values())}


def edges_from(graph: Graph, source: Workload) -> dict[str, dict[str, Any]]:
    edges = [edge for edge in graph["edges"] if edge["source"] == source.node_id and edge["protocol"] == "http"]
    assert len({edge["target"] for edge in edges}) == len(edges), [edge["id"] for edge in edges]
    return {edge["target"]: edge for edge in edges}


def test_third_parties_are_those_that_a_proxy_is_asked_for(office: tuple[Office, Product]) -> None:
    stage, product = office
    assert stage.said[API] == {"200 200": 30} and stage.said[BUSY] == {"200 503": 10}
    assert stage.said[CDN] == {"000 200": 20}
    assert stage.said[BAD]["403 000"] == REFUSED and stage.said[BAD]["500 000"] == UNREACHABLE
    assert stage.served() == {f"{API} 200": 30, f"{BUSY} 503": 10, f"{CDN} 200": 20}
    shop, proxy, total = stage.shop, stage.proxy.node_id, sum(ASKED.values())
    graph = product.graph_when(lambda graph: is_whole(graph, stage))
    edges = edges_from(graph, shop)
    way = edges.pop(proxy)
    assert {name: edge["requests"] for name, edge in edges.items()} == ASKED
    assert all(edge["through"] == [proxy] and not edge["way"] for edge in edges.values())
    assert all(edge["connections"] == edge["bytes_sent"] == 0 for edge in edges.values())
    assert (way["way"], way["through"], way["requests"], way["connections"]) == (True, [], total, total)
    assert (way["errors"], way["client_errors"]) == (UNREACHABLE, REFUSED)
    assert (edges[BAD]["errors"], edges[BAD]["client_errors"]) == (REFUSED + UNREACHABLE, 0)
    assert [one["route"] for one in edges[CDN]["routes"]] == ["/x"]
    assert "secret" not in str(graph)


def test_its_clients_are_the_dependants_and_nothing_counts_twice(office: tuple[Office, Product]) -> None:
    stage, product = office
    shop, proxy, total = stage.shop, stage.proxy.node_id, sum(ASKED.values())
    assert is_whole(product.graph_when(lambda graph: is_whole(graph, stage)), stage)
    rows = {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}
    assert {name: row["requests"] for name, row in rows.items()} == ASKED
    for name, row in rows.items():
        assert (row["name_source"], [one["id"] for one in row["dependants"]]) == ("proxy", [shop.node_id])
        assert row["availability"] == (0 if name == BAD else 1)  # what BUSY says inside TLS nobody else can read
    behind = product.answer("impact", API)["affected"]
    assert [(one["id"], one["share"]) for one in behind] == [(shop.node_id, round(30 / total, 6))]
    on_the_way = product.answer("impact", proxy)["affected"]
    assert [(one["id"], one["share"]) for one in on_the_way] == [(shop.node_id, 1)]
