"""Third parties by the name in a client's TLS hello: many at one address, over IPv4 and IPv6, whatever DNS had said."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.product import Graph, Product
from tests.kernel.test_cases_proxy import CERTIFICATE, filled

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
ALONE = ["203.0.113.101", "203.0.113.102", "2001:db8:99::103", "2001:db8:99::104"]
SHARED = ["203.0.113.105", "203.0.113.106", "2001:db8:99::107", "2001:db8:99::108"]
# Each name with its address: four have one of their own, nine are at each of the others.
PLACES = {f"alone-{at}.example": address for at, address in enumerate(ALONE)} | {
    f"s{at}.shared-{number}.example": address for number, address in enumerate(SHARED) for at in range(9)
}
TIMES = {name: 1 + at % 3 for at, name in enumerate(PLACES)}
# DNS calls the first shared address by a name that nobody asks by; the last name is said in capitals.
FALSE_FRIEND = "cdn.elsewhere.example"
LOUD = "s8.shared-3.example"
# Two that its client does not trust, and one that does not speak TLS at all.
UNTRUSTED, PLAIN = "s7.shared-2.example", "plain.example"
BROKEN = {UNTRUSTED: 4, PLAIN: 3}
CURL = 'curl -s $3 -o /dev/null --resolve "$0:$2:$1" "https://$0:$2/"'


class Internet:
    """curl says whom it means, nginx notes it."""

    def __init__(self, cluster: Cluster) -> None:
        self._directory = cluster.directory
        sites = cluster.outsider("sites", [*ALONE, *SHARED])
        files = ["-keyout", self._directory / "key.pem", "-out", self._directory / "certificate.pem"]
        subprocess.run([*CERTIFICATE, *files], capture_output=True, check=True)
        command = ["nginx", "-e", "stderr", "-c", filled("names.conf", self._directory)]
        sites.start("nginx", command, listens=["0.0.0.0:443", ":::443"])
        cluster.publish({FALSE_FRIEND: {"A": [SHARED[0]]}})
        self.shop, self.desk = cluster.pod("alpha", "shop"), cluster.pod("beta", "desk")

    def call(self, client: Workload, name: str, trusting: str = "-k", port: int = 443) -> None:
        address = PLACES.get(name, ALONE[0])
        said = name.upper() if name == LOUD else name
        where = f"[{address}]" if ":" in address else address
        command = ["sh", "-c", f"{CURL}; true", said, where, str(port), trusting]
        client.start(f"curl-{len(client.programs)}", command).wait()

    def met(self) -> Counter[str]:
        """Not by what it took for HTTP without a request."""
        lines = (self._directory / "names.log").read_text().splitlines()
        return Counter(line.lower() for line in lines if line != "-")


@pytest.fixture(scope="module")
def seen() -> Iterator[tuple[Internet, Product]]:
    with Cluster() as cluster:
        internet = Internet(cluster)
        with Product(cluster) as product:
            internet.shop.start("lookup", ["sh", "-c", f"curl -s -m 2 http://{FALSE_FRIEND}:81/; true"]).wait()
            for name, times in TIMES.items():
                for _ in range(times):
                    internet.call(internet.shop, name)
            internet.call(internet.desk, "s0.shared-0.example")
            for _ in range(BROKEN[UNTRUSTED]):
                internet.call(internet.desk, UNTRUSTED, trusting="")
            for _ in range(BROKEN[PLAIN]):
                internet.call(internet.desk, PLAIN, port=80)
            yield internet, product


def tls_edges(graph: Graph, client: Workload) -> dict[str, dict[str, int]]:
    edges = [one for one in graph["edges"] if one["source"] == client.node_id and one["protocol"] == "tls"]
    assert len({one["target"] for one in edges}) == len(edges), [one["id"] for one in edges]
    return {one["target"]: one for one in edges}


def test_each_is_called_by_what_its_client_said(seen: tuple[Internet, Product]) -> None:
    internet, product = seen
    assert internet.met() == Counter(TIMES) + Counter(["s0.shared-0.example"])

    def connections(graph: Graph) -> dict[str, int]:
        return {name: one["connections"] for name, one in tls_edges(graph, internet.shop).items()}

    graph = product.graph_when(lambda graph: connections(graph) == TIMES)
    assert connections(graph) == TIMES
    edges = tls_edges(graph, internet.shop)
    assert all(one["encrypted"] and one["bytes_sent"] and one["bytes_received"] for one in edges.values())
    assert {name: one["active_connections"] for name, one in edges.items()} == dict.fromkeys(TIMES, 0)
    nodes = {one["id"]: one for one in graph["nodes"] if one["kind"] in ("third_party", "external")}
    # What was looked up, and refused, is one more; and who was asked has an address alone.
    assert {name: (one["name_source"], one["ambiguous"]) for name, one in nodes.items()} == {
        **dict.fromkeys(TIMES, ("sni", False)),
        PLAIN: ("sni", False),
        FALSE_FRIEND: ("dns", False),
        RESOLVER_IPV4: ("", False),
    }


def test_thirdparties_tell_who_depends_on_them(seen: tuple[Internet, Product]) -> None:
    internet, product = seen
    both = sorted([internet.shop.node_id, internet.desk.node_id])

    def callers(name: str) -> list[str]:
        rows = {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}
        return sorted(one["id"] for one in rows[name]["dependants"])

    product.graph_when(lambda graph: "s0.shared-0.example" in tls_edges(graph, internet.desk))
    assert callers("s0.shared-0.example") == both
    assert callers("s1.shared-0.example") == [internet.shop.node_id]


def test_those_that_nobody_trusts_are_told_apart_from_those_that_answer_otherwise(
    seen: tuple[Internet, Product],
) -> None:
    internet, product = seen

    def rows() -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}

    def is_whole(graph: Graph) -> bool:
        edges = tls_edges(graph, internet.desk)
        return {name: edges[name]["connections"] for name in BROKEN if name in edges} == BROKEN

    assert is_whole(product.graph_when(is_whole))
    found = rows()
    untrusted, plain, well = found[UNTRUSTED], found[PLAIN], found["alone-2.example"]
    assert (untrusted["tls_failures"], untrusted["tls_alerts"]) == (
        BROKEN[UNTRUSTED],
        {"unknown_ca": BROKEN[UNTRUSTED]},
    )
    assert untrusted["tls_versions"] == {"1.3": TIMES[UNTRUSTED]}
    assert untrusted["availability"] == round(TIMES[UNTRUSTED] / (TIMES[UNTRUSTED] + BROKEN[UNTRUSTED]), 6)
    assert (well["tls_failures"], well["tls_alerts"], well["availability"]) == (0, {}, 1)
    edges = tls_edges(product.graph(), internet.shop)
    assert {name: one["handshakes"]["done"] for name, one in edges.items()} == TIMES
    assert all(one["handshakes"]["latency_ms"]["p50"] > 0 for one in edges.values())
    assert (plain["availability"], plain["tls_versions"]) == (0, {})
