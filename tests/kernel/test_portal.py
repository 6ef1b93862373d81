"""A real portal reads the feed of the shop's third parties: what it shows, when that goes, and what it never loses.

The times that it prints are those of docs/portal.md.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from aggregator.outputs.backstage import entity_name
from tests.cluster.cluster import APPS, Cluster
from tests.cluster.processes import PYTHON, Program, wait_until
from tests.cluster.product import Product
from tests.portal.headless import Entity, Portal, installed, lacking

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(lacking()), reason=lacking() or "it lacks nothing"),
]
FEED = "/catalog/backstage.yaml"
RETENTION_SECONDS = 50
# What a portal needs from POST /refresh to what its page shows.
SHOWN_SECONDS = 3
# The portal deletes what is in no file any more at a look of its own, every 30 s. It shows nothing of that before.
DELETED_SECONDS = 36

BANK, SUPPLIER, TAKEN = "api.bank.example", "feed.supplier.example", "rates.carrier.example"
LONG = f"{'l' * 40}.{'o' * 30}.under_score.example"
HOSTS = {BANK: "203.0.113.10", SUPPLIER: "203.0.113.20", TAKEN: "203.0.113.30", LONG: "203.0.113.40"}
CART, JOB = "component:default/cart", "component:default/job"
# Two names that ours have: one in the common namespace, and one in the namespace that is ours.
SAME_NAME, SAME_REFERENCE = f"resource:default/{BANK}", f"resource:runtime/{TAKEN}"
THEIRS = f"""
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {{name: cart}}
spec: {{type: service, lifecycle: production, owner: team-web, dependsOn: ["{SAME_NAME}"]}}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {{name: job}}
spec: {{type: service, lifecycle: production, owner: team-web}}
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {{name: {BANK}, description: What a person wrote}}
spec: {{type: external, owner: team-money}}
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {{name: {TAKEN}, namespace: runtime, description: What a person wrote too}}
spec: {{type: external, owner: team-money}}
"""


def ours(host: str) -> str:
    return f"resource:runtime/{entity_name(host)}"


@dataclass
class Estate:
    """Cart on alpha and job on beta call outside when they are told to; a portal reads what is seen of it."""

    cluster: Cluster
    product: Product
    portal: Portal
    before: dict[str, Entity | None] = field(default_factory=dict)
    calling: dict[tuple[str, str], Program] = field(default_factory=dict)

    def call(self, caller: str, host: str) -> None:
        """From now on, twice a second."""
        if (caller, host) not in self.calling:
            unit = next(one for one in self.cluster.workloads if one.name == caller)
            loop = f"while :; do curl -s -m 2 -o /dev/null http://{host}/; sleep 0.5; done"
            self.calling[caller, host] = unit.start(f"calls-{host[:20]}", ["bash", "-c", loop])

    def stop(self, caller: str, host: str) -> None:
        self.calling.pop((caller, host)).kill()

    def feed(self) -> dict[str, Any]:
        """What is served now, by reference."""
        entities = yaml.safe_load_all(self.product.http(FEED))
        return {f"resource:{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in entities}

    def await_shown(self, component: str, *hosts: str) -> float:
        """Seconds from a refresh until the component's page has them all."""
        wanted = {ours(host) for host in hosts}
        wait_until(lambda: self.is_served(component, wanted), f"{hosts} are served", 30, pause_seconds=0.5)
        began = time.monotonic()
        self.portal.refresh()
        wait_until(lambda: wanted <= self.portal.depends_on(component), f"the page has {hosts}", 20, pause_seconds=0.05)
        return time.monotonic() - began

    def is_served(self, component: str, wanted: set[str]) -> bool:
        try:
            served = self.feed()
        except OSError:
            return False
        return all(component in served.get(one, {}).get("spec", {}).get("dependencyOf", ()) for one in wanted)

    def refusals(self) -> list[str]:
        return [line for line in self.portal.log().splitlines() if "conflicting entityRef" in line]

    def keeps_all(self, seconds: float) -> None:
        """The portal looks again and again, and nothing that it shows is taken away, nor about to be."""
        shown = {one["metadata"]["name"]: one["metadata"]["uid"] for one in self.portal.entities(kind="resource")}
        dependencies = {one: self.portal.depends_on(one) for one in (CART, JOB)}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.portal.refresh()
            time.sleep(2)
            now = self.portal.entities(kind="resource")
            assert {one["metadata"]["name"]: one["metadata"]["uid"] for one in now} == shown
            assert {one: self.portal.depends_on(one) for one in (CART, JOB)} == dependencies


def written(entity: Entity | None) -> Any:
    """What a person's file made of it: all but what the portal derives from others."""
    assert entity is not None
    metadata = {key: value for key, value in entity["metadata"].items() if key != "etag"}
    return metadata, entity["spec"]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    installed()
    theirs = tmp_path_factory.mktemp("theirs") / "theirs.yaml"
    theirs.write_text(THEIRS)
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        for host, address in HOSTS.items():
            server = [PYTHON, APPS / "service.py", "--listen", f"{address}:80"]
            cluster.outsider(host[:20], [address]).start("service", server, listens=[f"{address}:80"])
        cluster.publish({host: {"A": [address]} for host, address in HOSTS.items()})
        cluster.unit("alpha", "cart")
        cluster.unit("beta", "job")
        flags = ["--retention", f"{RETENTION_SECONDS}s", "--window", "20s"]
        product = stack.enter_context(Product(cluster, catalog=[theirs], aggregator_flags=flags))
        url = f"http://127.0.0.1:{product.http_port}{FEED}"
        cgroup = cluster.cgroup / "product" / "portal"
        portal = stack.enter_context(Portal(url, [theirs], cluster.directory / "logs", cgroup))
        yield Estate(cluster, product, portal)


def told(what: str, seconds: float) -> None:
    sys.stdout.write(f"portal: {what}: {seconds:.1f} s\n")


def test_a_third_party_is_on_the_page_of_a_component_that_is_not_ours(estate: Estate) -> None:
    references = (CART, JOB, SAME_NAME, SAME_REFERENCE)
    wait_until(lambda: all(map(estate.portal.entity, references)), "it has what is theirs", 30, pause_seconds=0.2)
    assert estate.portal.entities(**{"metadata.annotations.plumbline.dev/observed": "true"}) == []
    time.sleep(3)  # Until the portal has drawn all relations.
    estate.before.update({reference: estate.portal.entity(reference) for reference in references})
    began = time.monotonic()
    for caller, host in (("cart", BANK), ("cart", LONG), ("cart", TAKEN), ("job", SUPPLIER)):
        estate.call(caller, host)
    seconds = estate.await_shown(CART, BANK, LONG)
    told("from the first call to the page", time.monotonic() - began)
    told("from a refresh to the page", seconds)
    assert seconds < SHOWN_SECONDS
    assert estate.await_shown(JOB, SUPPLIER) < SHOWN_SECONDS
    assert estate.portal.trouble() == ""
    # Nobody wrote that: their own lists are as they were.
    assert estate.portal.depends_on(CART) == {SAME_NAME, ours(BANK), ours(LONG)}


def test_what_is_theirs_is_untouched(estate: Estate) -> None:
    """C43: also where ours have the same name, or even the same reference."""
    wait_until(lambda: ours(TAKEN) in estate.feed(), "ours of that name is served", 30, pause_seconds=0.5)
    estate.portal.refresh()
    refusals = estate.refusals
    wait_until(refusals, "the portal refuses it", 30, pause_seconds=0.5)
    for reference in (SAME_NAME, SAME_REFERENCE):
        # With its uid and its etag, which is of all that the portal has of it.
        assert estate.portal.entity(reference) == estate.before[reference]
    for reference in (CART, JOB):
        assert written(estate.portal.entity(reference)) == written(estate.before[reference])
    # Of ours the portal refuses that one alone, and says so; the others are there whole.
    served = estate.feed()
    assert set(served) == {ours(host) for host in HOSTS}
    assert all(TAKEN in line for line in refusals())
    for reference in set(served) - {SAME_REFERENCE}:
        entity = estate.portal.entity(reference)
        assert entity is not None and entity["spec"] == served[reference]["spec"]


def test_it_goes_after_its_window_and_comes_back_under_the_same_reference(estate: Estate) -> None:
    estate.call("cart", BANK)
    estate.call("job", SUPPLIER)
    estate.await_shown(JOB, SUPPLIER)
    estate.stop("job", SUPPLIER)
    began = time.monotonic()
    supplier = ours(SUPPLIER)

    wait_until(lambda: supplier not in estate.feed(), "it left the feed", 3 * RETENTION_SECONDS, pause_seconds=0.5)
    told("from the last call until it left the feed", time.monotonic() - began)
    left = time.monotonic()
    estate.portal.refresh()
    wait_until(lambda: estate.portal.entity(supplier) is None, "it is deleted", DELETED_SECONDS, pause_seconds=0.5)
    told("from then until it is deleted", time.monotonic() - left)
    wait_until(lambda: not estate.portal.depends_on(JOB), "the page is without it", 10, pause_seconds=0.1)
    # What it was before we came, to the etag.
    assert estate.portal.entity(JOB) == estate.before[JOB]
    estate.call("job", SUPPLIER)
    assert estate.await_shown(JOB, SUPPLIER) < SHOWN_SECONDS
    assert estate.portal.entity(supplier) is not None


def test_an_aggregator_that_is_down_takes_nothing(estate: Estate) -> None:
    estate.call("cart", BANK)
    estate.call("job", SUPPLIER)
    estate.await_shown(JOB, SUPPLIER)
    estate.product.aggregator.end(timeout_seconds=15)
    estate.keeps_all(DELETED_SECONDS)
    assert estate.portal.trouble()
    estate.product.start_aggregator()
    estate.product.await_ready()
    estate.await_shown(JOB, SUPPLIER)
    estate.keeps_all(10)


def test_agents_that_are_all_gone_take_nothing(estate: Estate) -> None:
    """Nor when they come back, and have seen only a part of it yet."""
    estate.call("cart", BANK)
    estate.call("job", SUPPLIER)
    estate.await_shown(JOB, SUPPLIER)
    for agent in estate.product.agents.values():
        agent.end(timeout_seconds=15)
    # At its end nothing that they told is in any window.
    estate.keeps_all(RETENTION_SECONDS + 15)
    estate.stop("job", SUPPLIER)
    for host in ("alpha", "beta"):
        estate.product.start_agent(host)
    estate.product.await_ready()
    estate.keeps_all(DELETED_SECONDS)
    estate.call("job", SUPPLIER)


def test_an_aggregator_that_lost_its_data_takes_nothing_before_it_has_seen_a_whole_window(estate: Estate) -> None:
    estate.call("cart", BANK)
    estate.call("job", SUPPLIER)
    estate.await_shown(JOB, SUPPLIER)
    estate.stop("job", SUPPLIER)
    estate.product.aggregator.end(timeout_seconds=15)
    shutil.rmtree(Path(estate.cluster.directory / "data"))
    estate.product.start_aggregator()
    estate.product.await_ready()
    wait_until(lambda: estate.is_served(CART, {ours(BANK)}), "it sees something", 30, pause_seconds=0.2)
    assert ours(SUPPLIER) not in estate.feed()
    estate.keeps_all(DELETED_SECONDS)

    def is_gone() -> bool:
        estate.portal.refresh()
        return estate.portal.entity(ours(SUPPLIER)) is None

    # Nobody called it in a whole window: that is known now.
    wait_until(is_gone, "it goes in the end", 2 * RETENTION_SECONDS + DELETED_SECONDS, pause_seconds=1)
