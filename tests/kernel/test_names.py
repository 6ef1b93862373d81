"""Third parties by the name that their clients used: many at one address, over IPv4 and IPv6, by TCP, by QUIC and by a
proxy, whatever DNS had said."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.internet import Internet, by_proxy, start_proxy
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
ALONE = ["203.0.113.101", "203.0.113.102", "2001:db8:99::103", "2001:db8:99::104"]
SHARED = ["203.0.113.105", "203.0.113.106", "2001:db8:99::107", "2001:db8:99::108"]
# Each name with its address: four have one of their own, nine are at each of the others.
PLACES = {f"alone-{at}.example": address for at, address in enumerate(ALONE)} | {
    f"s{at}.shared-{number}.example": address for number, address in enumerate(SHARED) for at in range(9)
}
TIMES = {name: 1 + at % 3 for at, name in enumerate(PLACES)}
# Some are asked for by way of a proxy, which asks for them in its client's stead.
BY_PROXY = {name: times for name, times in TIMES.items() if name.startswith(("s3", "s4"))}
# Some are called by QUIC alone.
BY_QUIC = {name: times for name, times in TIMES.items() if name.startswith(("s5", "s6"))}
DIRECT = {name: times for name, times in TIMES.items() if name not in (*BY_PROXY, *BY_QUIC)}
# DNS calls the first shared address by a name that nobody asks by; the last name is said in capitals.
FALSE_FRIEND = "cdn.elsewhere.example"
LOUD = "s8.shared-3.example"
# Two that its client does not trust, and one that does not speak TLS at all.
UNTRUSTED, PLAIN = "s7.shared-2.example", "plain.example"
BROKEN = {UNTRUSTED: 4, PLAIN: 3}
CURL = 'curl -s $3 -o /dev/null --resolve "$0:$2:$1" "https://$0:$2/"'
LEAST_SHARE = 0.999
QUIC_BYTES = 3_000


class Callers:
    """curl says whom it means."""

    def __init__(self, cluster: Cluster) -> None:
        self.internet = Internet(cluster, PLACES)
        self.by_quic: dict[str, int] = {}
        cluster.publish({FALSE_FRIEND: {"A": [SHARED[0]]}})
        self.shop, self.desk = cluster.pod("alpha", "shop"), cluster.pod("beta", "desk")
        self.proxy = cluster.pod("beta", "proxy")
        start_proxy(self.proxy, cluster.directory)
        self._serve_quic()

    def call(self, client: Workload, name: str, trusting: str = "-k", port: int = 443) -> None:
        address = PLACES.get(name, ALONE[0])
        said = name.upper() if name == LOUD else name
        where = f"[{address}]" if ":" in address else address
        command = ["sh", "-c", f"{CURL}; true", said, where, str(port), trusting]
        client.start(f"curl-{len(client.programs)}", command).wait()

    def call_by_quic(self) -> dict[str, int]:
        """Returns how many bytes of each name went over its clients' sockets."""
        jobs = [f"{name},{PLACES[name]},443,{QUIC_BYTES}" for name, times in BY_QUIC.items() for _ in range(times)]
        said = self.shop.run("quic", [sys.executable, APPS / "quic.py", "client", *jobs])
        counted = Counter[str]()
        for name, sent, received in json.loads(said.splitlines()[-1]):
            counted[name] += sent + received
        return dict(counted)

    def _serve_quic(self) -> None:
        directory = self.internet.cluster.directory
        for name, made in (("certificate.pem", "good.pem"), ("key.pem", "good.key")):
            (directory / name).symlink_to(directory / made)
        addresses = sorted({PLACES[name] for name in BY_QUIC})
        place = self.internet.cluster.outsider("quic", [])
        command = [sys.executable, APPS / "quic.py", "server", directory, *addresses]
        place.start("quic", command, listens=["0.0.0.0:4433"])

    def call_by_proxy(self, name: str, times: int) -> None:
        command = ["curl", "-sk", "-o", "/dev/null", f"https://{name}/#[1-{times}]"]
        self.shop.start(f"proxied-{name}", command, environment=by_proxy(self.proxy)).wait()


@pytest.fixture(scope="module")
def seen() -> Iterator[tuple[Callers, Product]]:
    with Cluster() as cluster:
        callers = Callers(cluster)
        with Product(cluster) as product:
            callers.shop.start("lookup", ["sh", "-c", f"curl -s -m 2 http://{FALSE_FRIEND}:81/; true"]).wait()
            for name, times in DIRECT.items():
                for _ in range(times):
                    callers.call(callers.shop, name)
            for name, times in BY_PROXY.items():
                callers.call_by_proxy(name, times)
            callers.by_quic = callers.call_by_quic()
            callers.call(callers.desk, "s0.shared-0.example")
            for _ in range(BROKEN[UNTRUSTED]):
                callers.call(callers.desk, UNTRUSTED, trusting="")
            for _ in range(BROKEN[PLAIN]):
                callers.call(callers.desk, PLAIN, port=80)
            yield callers, product


def tls_edges(graph: Graph, client: Workload) -> dict[str, dict[str, int]]:
    edges = [one for one in graph["edges"] if one["source"] == client.node_id and one["protocol"] == "tls"]
    assert len({one["target"] for one in edges}) == len(edges), [one["id"] for one in edges]
    return {one["target"]: one for one in edges}


def asked_by_proxy(graph: Graph, callers: Callers) -> dict[str, int]:
    way = [callers.proxy.node_id]
    return {one["target"]: one["requests"] for one in graph["edges"] if one["through"] == way}


def quic_bytes(graph: Graph, callers: Callers) -> dict[str, int]:
    edges = [one for one in graph["edges"] if one["source"] == callers.shop.node_id and one["protocol"] == "quic"]
    return {one["target"]: one["bytes_sent"] + one["bytes_received"] for one in edges}


def test_each_is_called_by_what_its_client_said(seen: tuple[Callers, Product]) -> None:
    callers, product = seen
    assert callers.internet.met() == Counter(TIMES) - Counter(BY_QUIC) + Counter(["s0.shared-0.example"])

    def connections(graph: Graph) -> dict[str, int]:
        return {name: one["connections"] for name, one in tls_edges(graph, callers.shop).items()}

    def is_whole(graph: Graph) -> bool:
        by_proxy, by_quic = asked_by_proxy(graph, callers), quic_bytes(graph, callers)
        return (connections(graph), by_proxy, by_quic) == (DIRECT, BY_PROXY, callers.by_quic)

    graph = product.graph_when(is_whole)
    assert connections(graph) == DIRECT
    assert quic_bytes(graph, callers) == callers.by_quic
    edges = tls_edges(graph, callers.shop)
    assert all(one["encrypted"] and one["bytes_sent"] and one["bytes_received"] for one in edges.values())
    assert {name: one["active_connections"] for name, one in edges.items()} == dict.fromkeys(DIRECT, 0)
    nodes = {one["id"]: one for one in graph["nodes"] if one["kind"] in ("third_party", "external")}
    # What was looked up, and refused, is one more; and who was asked has an address alone.
    assert {name: (one["name_source"], one["ambiguous"]) for name, one in nodes.items()} == {
        **dict.fromkeys(DIRECT, ("sni", False)),
        **dict.fromkeys(BY_QUIC, ("sni", False)),
        **dict.fromkeys(BY_PROXY, ("proxy", False)),
        PLAIN: ("sni", False),
        FALSE_FRIEND: ("dns", False),
        RESOLVER_IPV4: ("", False),
    }


def test_the_share_of_bytes_and_of_edges_that_have_the_right_name(seen: tuple[Callers, Product]) -> None:
    """Of all that leaves the cluster but the look-ups themselves, whichever way it goes."""
    callers, product = seen
    meant = {(callers.shop.node_id, name) for name in [*TIMES, FALSE_FRIEND]}
    meant |= {(callers.proxy.node_id, name) for name in BY_PROXY}
    meant |= {(callers.desk.node_id, name) for name in ("s0.shared-0.example", *BROKEN)}

    def leaving(graph: Graph) -> dict[tuple[str, str], int]:
        outside = {one["id"] for one in graph["nodes"] if one["kind"] in ("third_party", "external")}
        found = Counter[tuple[str, str]]()
        for one in graph["edges"]:
            if one["target"] in outside - {RESOLVER_IPV4}:
                found[one["source"], one["target"]] += one["bytes_sent"] + one["bytes_received"]
        return found

    edges = leaving(product.graph_when(lambda graph: leaving(graph).keys() == meant))
    right = edges.keys() & meant
    of_bytes = sum(edges[one] for one in right) / sum(edges.values())
    shares = f"{len(right)} of {len(edges)} edges, {100 * of_bytes:.2f} % of {sum(edges.values())} bytes"
    sys.stdout.write(f"right names: {shares}\n")
    assert len(right) / len(edges) >= LEAST_SHARE and of_bytes >= LEAST_SHARE
    assert edges.keys() == meant


def test_a_proxy_is_the_way_to_whom_it_is_asked_for(seen: tuple[Callers, Product]) -> None:
    callers, product = seen

    graph = product.graph_when(lambda graph: asked_by_proxy(graph, callers) == BY_PROXY)
    assert asked_by_proxy(graph, callers) == BY_PROXY


def test_thirdparties_tell_who_depends_on_them(seen: tuple[Callers, Product]) -> None:
    callers, product = seen
    both = sorted([callers.shop.node_id, callers.desk.node_id])

    def dependants(name: str) -> list[str]:
        rows = {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}
        return sorted(one["id"] for one in rows[name]["dependants"])

    product.graph_when(lambda graph: "s0.shared-0.example" in tls_edges(graph, callers.desk))
    assert dependants("s0.shared-0.example") == both
    assert dependants("s1.shared-0.example") == [callers.shop.node_id]


def test_those_that_nobody_trusts_are_told_apart_from_those_that_answer_otherwise(
    seen: tuple[Callers, Product],
) -> None:
    callers, product = seen

    def rows() -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}

    def is_whole(graph: Graph) -> bool:
        edges = tls_edges(graph, callers.desk)
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
    edges = tls_edges(product.graph(), callers.shop)
    assert {name: one["handshakes"]["done"] for name, one in edges.items()} == DIRECT
    assert all(one["handshakes"]["latency_ms"]["p50"] > 0 for one in edges.values())
    assert (plain["availability"], plain["tls_versions"]) == (0, {})
