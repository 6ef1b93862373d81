"""Third parties by the name in a client's QUIC hello: many at one address, over IPv4 and IPv6, whatever DNS had said;
their bytes are what the client's socket counted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import APPS, Cluster
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.processes import wait_until
from tests.cluster.product import Graph, Product
from tests.kernel.test_cases_proxy import CERTIFICATE

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
ALONE = ["203.0.113.101", "2001:db8:99::102"]
SHARED = ["203.0.113.103", "2001:db8:99::104"]
PLACES = {f"alone-{at}.example": address for at, address in enumerate(ALONE)} | {
    f"s{at}.shared-{number}.example": address for number, address in enumerate(SHARED) for at in range(4)
}
# What each is sent: an odd number of bytes by a client whose hello needs two datagrams.
SIZES = {name: (40_000 if at % 3 else 3_000) + at for at, name in enumerate(PLACES)}
# DNS calls the first shared address by a name that nobody asks by; the last name is said in capitals.
FALSE_FRIEND, LOUD = "cdn.elsewhere.example", "s3.shared-1.example"
SILENT = "never.called.example"
QUIC = APPS / "quic.py"


def declared(name: str) -> str:
    lines = ["apiVersion: backstage.io/v1alpha1", "kind: Resource", "metadata:", f"  name: {name}"]
    lines += ["  annotations:", f"    plumbline.dev/host: {name}", "spec:", "  type: third-party", "  owner: team"]
    return "\n".join([*lines, "  dependencyOf: [component:browser]"])


def catalog(directory: Path, node_id: str) -> Path:
    lines = ["apiVersion: backstage.io/v1alpha1", "kind: Component", "metadata:", "  name: browser", "  annotations:"]
    lines += [f"    plumbline.dev/node: {node_id}", "spec:", "  type: service"]
    lines += ["  lifecycle: production", "  owner: team"]
    path = directory / "quic-catalog.yaml"
    path.write_text("\n---\n".join(["\n".join(lines), *map(declared, [*PLACES, SILENT])]) + "\n")
    return path


class Internet:
    def __init__(self, cluster: Cluster) -> None:
        directory = cluster.directory
        addresses = [*ALONE, *SHARED]
        sites = cluster.outsider("sites", addresses)
        files = ["-keyout", directory / "key.pem", "-out", directory / "certificate.pem"]
        subprocess.run([*CERTIFICATE, *files], capture_output=True, check=True)
        sites.start("quic", [sys.executable, QUIC, "server", directory, *addresses], listens=["0.0.0.0:4433"])
        cluster.publish({FALSE_FRIEND: {"A": [SHARED[0]]}})
        self.browser = cluster.pod("alpha", "browser")
        self.catalog = catalog(directory, self.browser.node_id)
        # (bytes sent, bytes received) of each name.
        self.counted: dict[str, tuple[int, int]] = dict.fromkeys(PLACES, (0, 0))

    def call(self) -> None:
        """Each once, over one socket after the other."""
        jobs = [f"{name.upper() if name == LOUD else name},{place},443,{SIZES[name]}" for name, place in PLACES.items()]
        said = self.browser.run(f"quic-{len(self.browser.programs)}", [sys.executable, QUIC, "client", *jobs])
        for name, sent, received in json.loads(said.splitlines()[-1]):
            before = self.counted[name.lower()]
            self.counted[name.lower()] = before[0] + sent, before[1] + received


@pytest.fixture(scope="module")
def seen() -> Iterator[tuple[Internet, Product]]:
    with Cluster() as cluster:
        internet = Internet(cluster)
        with Product(cluster, catalog=[internet.catalog]) as product:
            internet.browser.start("lookup", ["sh", "-c", f"curl -s -m 2 http://{FALSE_FRIEND}:81/; true"]).wait()
            for _ in range(3):
                internet.call()
            yield internet, product


def bytes_by_name(graph: Graph, internet: Internet) -> dict[str, tuple[int, int]]:
    edges = [one for one in graph["edges"] if one["source"] == internet.browser.node_id and one["protocol"] == "quic"]
    assert len({one["target"] for one in edges}) == len(edges), [one["id"] for one in edges]
    assert all(one["encrypted"] for one in edges)
    return {one["target"]: (one["bytes_sent"], one["bytes_received"]) for one in edges}


def test_each_has_its_own_bytes_under_what_its_client_said(seen: tuple[Internet, Product]) -> None:
    internet, product = seen
    graph = product.graph_when(lambda graph: bytes_by_name(graph, internet) == internet.counted)
    assert bytes_by_name(graph, internet) == internet.counted
    assert len(internet.counted) == 10 and all(sent > 3 * 3_000 for sent, _ in internet.counted.values())
    nodes = {one["id"]: one for one in graph["nodes"] if one["kind"] in ("third_party", "external")}
    # What was looked up, and refused, is one more; and who was asked has an address alone.
    assert {name: (one["name_source"], one["ambiguous"]) for name, one in nodes.items()} == {
        **dict.fromkeys(PLACES, ("sni", False)),
        FALSE_FRIEND: ("dns", False),
        RESOLVER_IPV4: ("", False),
    }


def test_thirdparties_have_them(seen: tuple[Internet, Product]) -> None:
    internet, product = seen
    product.graph_when(lambda graph: bytes_by_name(graph, internet) == internet.counted)
    rows = {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}
    for name in PLACES:
        assert [one["id"] for one in rows[name]["dependants"]] == [internet.browser.node_id]
        assert rows[name]["name_source"] == "sni" and rows[name]["availability"] in (None, 1)


def test_a_declared_one_that_is_called_by_quic_alone_is_never_not_observed(seen: tuple[Internet, Product]) -> None:
    internet, product = seen
    product.graph_when(lambda graph: bytes_by_name(graph, internet) == internet.counted)

    def missed() -> set[str]:
        answer: dict[str, list[dict[str, Any]]] = product.answer("drift", statuses=(0, 3))
        rows = [one for part in ("findings", "withheld") for one in answer[part] if one["kind"] == "not_observed"]
        return {str(one["object"]).rpartition("/")[2] for one in rows}

    # The same question about one that is not called has an answer: so it is asked, and well.
    wait_until(lambda: SILENT in missed(), f"{SILENT} is missed", 60, pause_seconds=1)
    assert missed() == {SILENT}


def test_no_flow_of_a_single_connection_is_left(seen: tuple[Internet, Product]) -> None:
    """30 connections were made; their own flows have gone, and what was lost is nothing."""
    internet, product = seen
    graph = product.graph_when(lambda graph: bytes_by_name(graph, internet) == internet.counted)
    hosts = {one["name"]: one for one in graph["hosts"]}
    reasons = [one for host in hosts.values() for part in ("lost", "dropped") for one in host[part]]
    assert not [reason for reason in reasons if reason.startswith("quic")], hosts
