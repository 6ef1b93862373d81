"""The shop's catalog is wrong in six stated ways: these six are found, and nothing else."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.cluster.cluster import Cluster
from tests.cluster.processes import wait_until
from tests.cluster.product import Product
from tests.cluster.shop import CATALOG, THIRD_PARTIES, Shop
from tests.portal.portal import verdict

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
DONE, TOO_EARLY = 0, 3
EVERY_STATUS = (DONE, TOO_EARLY)


@pytest.fixture(scope="module")
def shop() -> Iterator[Product]:
    with Cluster() as cluster:
        shop = Shop(cluster)
        with Product(cluster, catalog=[CATALOG]) as product:
            shop.open()
            yield product


def test_drift_finds_the_six_and_nothing_else(shop: Product) -> None:
    stated = sorted((str(one["kind"]), str(one["subject"]), str(one["object"])) for one in Shop.findings())
    assert len(stated) == 6

    def found() -> list[tuple[str, str, str]]:
        rows = shop.answer("drift", statuses=EVERY_STATUS)["findings"]
        return sorted((str(one["kind"]), str(one["subject"]), str(one["object"])) for one in rows)

    def is_all_found() -> bool:
        """At a start less may be found, and never anything else."""
        so_far = found()
        assert set(so_far) <= set(stated), so_far
        return so_far == stated

    wait_until(is_all_found, "all six are found", 60, pause_seconds=0.5)
    # It stays so while the same traffic goes on.
    wait_until(lambda: seconds_in_view(shop) > 40, "the shop was watched for a while", 60, pause_seconds=1)
    assert found() == stated


def test_findings_have_evidence_and_a_status_for_scripts(shop: Product) -> None:
    answer = shop.answer("drift", statuses=(DONE,))
    edges = {edge["id"] for edge in shop.graph("5m")["edges"]}
    for finding in answer["findings"]:
        assert set(finding["evidence"].get("edges", ())) <= edges, finding
    seen = [one for one in answer["findings"] if one["kind"] in ("observed_only", "undeclared_third_party")]
    assert len(seen) == 2 and all(one["evidence"]["edges"] for one in seen)


def test_third_parties_are_named_and_judged(shop: Product) -> None:
    rows = {row["id"]: row for row in shop.answer("thirdparties")["third_parties"]}
    assert set(rows) == set(THIRD_PARTIES)
    assert rows["rates.carrier.example"]["errors"] > 0 and rows["api.bank.example"]["errors"] == 0
    assert rows["api.bank.example"]["latency_ms"]["mean"] > 170
    users = {name: [one["id"] for one in row["dependants"]] for name, row in rows.items()}
    assert users["api.bank.example"] == ["beta/payments"] and users["feed.supplier.example"] == ["beta/stock-sync"]


def test_the_failure_of_the_bank_reaches_the_gateway(shop: Product) -> None:
    affected = {row["id"]: row for row in shop.answer("impact", "api.bank.example")["affected"]}
    assert affected["alpha/gateway"]["path"] == [
        "alpha/gateway",
        "alpha/frontend",
        "beta/checkout",
        "beta/payments",
        "api.bank.example",
    ]


def test_the_portal_is_told_of_the_third_parties(shop: Product) -> None:
    feed = feed_with_all(shop)
    entities = list(yaml.safe_load_all(feed))
    hosts = {entity["metadata"]["annotations"]["plumbline.dev/host"] for entity in entities}
    assert hosts == set(THIRD_PARTIES)
    assert shop.plumb("export", "backstage").encode() == feed
    assert verdict(feed) == (len(entities), [])


def test_the_portal_takes_what_we_serve_beside_what_the_shop_declares(shop: Product) -> None:
    """In one catalog no two have the same reference, and every caller that we name is somebody there."""
    feed = feed_with_all(shop)
    stream = b"---\n".join([*(file.read_bytes() for file in sorted(CATALOG.iterdir())), feed])
    everything = [one for one in yaml.safe_load_all(stream) if one is not None]
    assert verdict(stream) == (len(everything), [])
    references = {f"{one['kind']}:default/{one['metadata']['name']}".lower() for one in everything}
    callers = [caller for one in yaml.safe_load_all(feed) for caller in one["spec"].get("dependencyOf", ())]
    assert callers and set(callers) <= references


def test_a_declaration_that_is_mended_is_no_finding_any_more(tmp_path: Path) -> None:
    """In a catalog of its own: the shop's stays wrong."""
    for file in CATALOG.iterdir():
        text = file.read_text()
        (tmp_path / file.name).write_text(
            text.replace("[component:catalog, component:checkout]", "[component:catalog]")
        )
    with Cluster() as cluster:
        shop = Shop(cluster)
        with Product(cluster, catalog=[tmp_path]) as product:
            shop.open()
            undeclared = ("component:default/frontend", "component:default/checkout")

            def is_found() -> bool:
                rows = product.answer("drift", statuses=EVERY_STATUS)["findings"]
                return undeclared in [(one["subject"], one["object"]) for one in rows if one["kind"] == "observed_only"]

            wait_until(is_found, "the undeclared dependency is found", 30, pause_seconds=0.5)
            for file in CATALOG.iterdir():
                (tmp_path / file.name).write_text(file.read_text())
            wait_until(lambda: not is_found(), "the mended catalog is read", 30, pause_seconds=0.5)


def seconds_in_view(shop: Product) -> float:
    graph = shop.graph("5m")
    first = min(datetime.fromisoformat(node["first_seen"]) for node in graph["nodes"])
    return (datetime.fromisoformat(graph["window"]["to"]) - first).total_seconds()


def feed_with_all(shop: Product) -> bytes:
    def has_all() -> bool:
        seen = {node["id"] for node in shop.graph("5m")["nodes"]}
        return set(THIRD_PARTIES) <= seen

    wait_until(has_all, "all third parties were called", 30, pause_seconds=0.5)
    return shop.http("/catalog/backstage.yaml")
