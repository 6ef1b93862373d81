"""What becomes of third parties under real faults: told to who watches, once, with since when and for whom."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, wait_until
from tests.cluster.product import PLUMB, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT = 8080
PAY, MAIL, BANK, FRESH = "api.pay.example", "smtp.mail.example", "api.bank.example", "fresh.example"
ADDRESSES = {PAY: "203.0.113.81", MAIL: "203.0.113.82", BANK: "203.0.113.83", FRESH: "203.0.113.84"}
SERVFAIL, A = 2, 1
USUAL_SECONDS = 13


class Town:
    """Three pods, each with a third party of its own, and somebody who watches."""

    def __init__(self, cluster: Cluster, product: Product) -> None:
        self.cluster, self.product = cluster, product
        self.sites: dict[str, Workload] = {}
        for name, address in ADDRESSES.items():
            self.sites[name] = site = cluster.outsider(name, [address])
            command = [PYTHON, APPS / "server.py", "--listen", f"{address}:{PORT}"]
            counts = cluster.directory / f"{name}.json"
            site.start("server", [*command, "--counts", counts], listens=[f"{address}:{PORT}"])
        cluster.publish({name: {"A": [address]} for name, address in ADDRESSES.items()})
        self.shop, self.cart, self.till = (cluster.pod("alpha", name) for name in ("shop", "cart", "till"))
        self.told = cluster.directory / "told"

    def watch(self) -> "subprocess.Popen[bytes]":
        command = [*PLUMB, "watch", "-o", "json", "--aggregator", self.product.address]
        with self.told.open("ab") as told:
            return subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL)

    def events(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By third party and what became of it. A machine that is busy makes others slow too, for a while."""
        rows = [json.loads(line) for line in self.told.read_text().splitlines()]
        told = [row["happened"]["third_party"] | row["happened"] for row in rows if row["event"] == "third_party"]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in told:
            key = one["node"], one["third_party"]["state"]
            assert key not in found or key[1] in ("slow", "back"), told
            found.setdefault(key, one)
        return found

    def certain(self) -> set[tuple[str, str]]:
        """What became of them that has nothing to do with how busy the machine is."""
        return {key for key in self.events() if key[1] not in ("slow", "back")}

    def states(self) -> dict[str, str]:
        return {name: row["state"] for name, row in self.rows().items()}

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["id"]: row for row in self.product.answer("thirdparties")["third_parties"]}


def patron(*arguments: object) -> list[object]:
    return [PYTHON, APPS / "patron.py", *arguments]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Cluster() as cluster, Product(cluster) as product:
        town = Town(cluster, product)
        watching = town.watch()
        try:
            yield town
        finally:
            watching.kill()
            watching.wait()


def refused_lookups(counts: Path, client: str) -> int:
    rows = json.loads(counts.read_text())["queries"]
    return sum(row[5] for row in rows if row[0] == client and row[2:5] == [BANK, A, SERVFAIL])


def test_faults_are_told_once_with_since_when_and_for_whom(town: Town) -> None:
    begun = time.time()
    town.shop.start("patron", patron(f"{PAY}:{PORT}", "/", USUAL_SECONDS, "/delay/150"))
    town.cart.start("patron", patron(f"{MAIL}:{PORT}", "/"))
    lookups = town.till.start("patron", patron(f"{BANK}:{PORT}", "/"))
    time.sleep(5)
    faults = {PAY: begun + USUAL_SECONDS, MAIL: time.time(), BANK: time.time()}
    town.sites[MAIL].programs[0].end()
    town.cluster.publish({BANK: {"rcode": SERVFAIL}})
    expected = {(PAY, "slow"): town.shop, (MAIL, "failing"): town.cart, (BANK, "failing"): town.till}
    wait_until(lambda: town.events().keys() >= expected.keys(), "all are told", 30)
    told = town.events()
    assert town.certain() == {(MAIL, "failing"), (BANK, "failing")}
    for (name, state), client in expected.items():
        one = told[name, state]
        assert one["affected"] == [client.node_id]
        assert -2.5 < seconds(one["since"]) - faults[name] < 5, (name, one["since"], faults)
    assert set(told[MAIL, "failing"]["reasons"]) == {"refused"} and set(told[BANK, "failing"]["reasons"]) == {"dns"}
    assert told[PAY, "slow"]["usual_ms"] < 50 < 140 < told[PAY, "slow"]["now_ms"]
    lookups.end()
    # What the resolver says it refused, the client could not look up.
    town.cluster.resolver.programs[0].tell(signal.SIGUSR1)
    wait_until(town.cluster.resolver_counts.exists, "the resolver tells")
    refused = refused_lookups(town.cluster.resolver_counts, town.till.ipv4)
    wait_until(lambda: town.rows()[BANK]["dns_failures"] == refused, f"{refused} look-ups failed", 10)
    rows = town.rows()
    assert {name: row["state"] for name, row in rows.items()} == {PAY: "slow", MAIL: "failing", BANK: "failing"}
    assert rows[BANK]["dns_reasons"] == {"refused": refused} and rows[PAY]["dns_failures"] == 0
    assert 0 < rows[PAY]["connect_ms"]["mean"] < 50
    assert [(one["id"], one["state"]) for one in rows[MAIL]["dependants"]] == [(town.cart.node_id, "failing")]


def test_after_a_restart_they_go_on_and_who_comes_then_is_new(town: Town) -> None:
    before = town.states()
    town.product.aggregator.end(timeout_seconds=15)
    town.product.start_aggregator()
    town.product.await_ready()
    town.till.start("patron", patron(f"{FRESH}:{PORT}", "/"))
    wait_until(lambda: (FRESH, "new") in town.events(), "it is told", 20)
    assert town.events()[FRESH, "new"]["affected"] == [town.till.node_id]
    assert town.certain() == {(FRESH, "new"), (MAIL, "failing"), (BANK, "failing")}
    assert town.states() == {**before, FRESH: "new"}


@pytest.mark.long
def test_a_resolver_that_is_dead_is_seen_in_who_cannot_be_looked_up(town: Town) -> None:
    """And nobody calls them any more."""
    town.cluster.resolver.programs[0].end()
    wait_until(lambda: (FRESH, "failing") in town.events(), "it is told", 40)
    assert set(town.events()[FRESH, "failing"]["reasons"]) == {"dns"}
    row = town.rows()[FRESH]
    assert row["state"] == "failing" and row["dns_reasons"].keys() == {"unanswered"}
