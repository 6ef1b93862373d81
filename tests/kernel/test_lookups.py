"""A client that looks up names by the thousand, with a search list: none that it never called is a third party.

Cause: each name is tried in three search domains first, for both types (`ndots:5`, as in a Kubernetes); some exist
below a wildcard, each at an address of its own, some do not exist. Capture: the resolver counts what it was asked.
Compare: the client's edge to the resolver, the third parties, and the memory of those who keep them.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.internet import Internet
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.processes import PYTHON
from tests.cluster.product import Graph, Product
from tests.cluster.truth import RCODES

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
SITE, EARLY, LATE = "api.pay.example", "early.db.example", "late.db.example"
PLACES = {SITE: "203.0.113.101", EARLY: "203.0.113.102", LATE: "203.0.113.105"}
# Each name in every search domain and as it is, for both types.
QUERIES_A_NAME = 2 * (len(SEARCH) + 1)
MOST_GROWTH_MIB = {"agent-alpha": 40, "aggregator": 100}


@dataclass
class Storm:
    cluster: Cluster
    product: Product
    client: Workload

    def look_up(self, count: int) -> Counter[str]:
        command = [PYTHON, APPS / "lookups.py", count, "wild.example", "missing.example"]
        started = self.client.start("lookups", command)
        started.wait(1500)
        return Counter(json.loads(started.output.read_text()))

    def call(self, url: str) -> None:
        command = ["sh", "-c", 'curl -sk -m 5 -o /dev/null "$0"; true', url]
        self.client.start(f"curl-{len(self.client.programs)}", command).wait()

    def asked(self) -> Counter[str]:
        """By code, of this client."""
        queries = self.cluster.resolver.programs[0].counts(self.cluster.resolver_counts)["queries"]
        found: Counter[str] = Counter()
        for client, _, _, _, rcode, count in queries:
            if client == self.client.ipv4:
                found[RCODES[rcode]] += count
        return found

    def memory_mib(self) -> dict[str, float]:
        programs = {"agent-alpha": self.product.agents["alpha"], "aggregator": self.product.aggregator}
        return {name: resident_mib(program.pid) for name, program in programs.items()}


def resident_mib(pid: int) -> float:
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(rows["VmRSS"].split()[0]) / 1024


@pytest.mark.parametrize("count", [500, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_storm_of_look_ups_makes_no_third_party(count: int) -> None:
    with Cluster() as cluster:
        Internet(cluster, PLACES)
        cluster.publish({"*.wild.example": {"spread": "198.18.0.0/15"}})
        client = cluster.pod("alpha", "client")
        resolv_conf = cluster.directory / "search.conf"
        resolv_conf.write_text(
            f"nameserver {RESOLVER_IPV4}\nsearch {' '.join(SEARCH)}\noptions ndots:5 timeout:5 attempts:1\n"
        )
        client.place = replace(client.place, resolv_conf=resolv_conf)
        with Product(cluster) as product:
            storm = Storm(cluster, product, client)
            # What says no name itself is called as DNS said, before the storm and behind it.
            storm.call(f"http://{EARLY}:5432/")
            before = storm.memory_mib()
            assert storm.look_up(count) == {"found": count // 2, "missing": count // 2}
            for url in (f"https://{SITE}/", f"http://{EARLY}:5432/", f"http://{LATE}:5432/"):
                storm.call(url)
            asked = storm.asked()
            assert sum(asked.values()) == (count + 4) * QUERIES_A_NAME

            def codes(graph: Graph) -> dict[str, int]:
                found = [one for one in graph["edges"] if one["source"] == client.node_id and one["protocol"] == "dns"]
                return {code: n for one in found for code, n in one["codes"].items() if n}

            graph = product.graph_when(lambda graph: codes(graph) == asked)
            assert codes(graph) == asked
            after = storm.memory_mib()
        sys.stdout.write(f"{count} names, {sum(asked.values())} queries, MiB {before} -> {after}\n")
        outside = {
            one["id"]: one["name_source"] for one in graph["nodes"] if one["kind"] in ("third_party", "external")
        }
        assert outside == {SITE: "sni", EARLY: "dns", LATE: "dns", RESOLVER_IPV4: ""}
        grown = {name: after[name] - before[name] for name in after}
        assert all(grown[name] < MOST_GROWTH_MIB[name] for name in grown), grown
