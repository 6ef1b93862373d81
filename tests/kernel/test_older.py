"""Connections that are older than the agents: followed from then on, in the right direction, on both ends."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.cluster import APPS, Cluster
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
# Never quiet while the agents start: a packet may come before they know whose connection it is.
CLIENT = (
    "import http.client, sys, time\n"
    "connection = http.client.HTTPConnection(sys.argv[1], 8080)\n"
    "for one in range(10**9):\n"
    "    connection.request('GET', f'/cart/{one}')\n"
    "    connection.getresponse().read()\n"
    "    print(flush=True)\n"
    "    time.sleep(0.005)\n"
)


@dataclass
class Older:
    product: Product
    clients: dict[str, Program]
    server: str
    known_from: dict[str, int]

    def answered(self) -> dict[str, int]:
        return {source: client.output.read_bytes().count(b"\n") for source, client in self.clients.items()}


@pytest.fixture(scope="module")
def older() -> Iterator[Older]:
    with Cluster() as cluster:
        pod, unit = cluster.pod("alpha", "caller"), cluster.unit("alpha", "caller")
        server = cluster.pod("beta", "server")
        command = [PYTHON, APPS / "server.py", "--listen", "[::]:8080", "--counts", cluster.directory / "counts"]
        server.start("server", command, listens=["[::]:8080"])
        calls = ((pod, server.ipv4), (unit, server.ipv6))
        clients = {one.node_id: one.start("client", [PYTHON, "-c", CLIENT, address]) for one, address in calls}
        wait_until(lambda: all(client.output.read_bytes() for client in clients.values()), "requests are answered", 20)
        with Product(cluster) as product:
            found = Older(product, clients, server.node_id, {})
            found.known_from = found.answered()
            yield found


def test_they_are_followed_from_both_ends(older: Older) -> None:
    time.sleep(3)
    least = {source: count - older.known_from[source] for source, count in older.answered().items()}

    def is_complete(graph: Graph) -> bool:
        shown = {edge["source"]: edge["requests"] for edge in graph["edges"]}
        return all(shown.get(source, 0) >= count for source, count in least.items())

    graph = older.product.graph_when(is_complete)
    most = older.answered()
    edges = {edge["source"]: edge for edge in graph["edges"]}
    assert set(edges) == set(older.clients), graph["edges"]
    for source, edge in edges.items():
        assert (edge["target"], edge["protocol"], edge["port"]) == (older.server, "http", 8080)
        assert least[source] <= edge["requests"] <= most[source]
        assert edge["seen_from"] == "both" and edge["active_connections"] == 1
        assert abs(edge["client_side"]["requests"] - edge["server_side"]["requests"]) < 500
        assert [(one["method"], one["route"]) for one in edge["routes"]] == [("GET", "/cart/*")]
