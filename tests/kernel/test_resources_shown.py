"""From cgroups to `plumb show`: a pod that is throttled, that holds memory, that the kernel ends for want of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.leftovers import cgroup_mount
from tests.cluster.limited import Limited, limited
from tests.cluster.processes import PYTHON, ProgramFailed, wait_until
from tests.cluster.product import Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]
MB = 1 << 20
REQUESTS = 200
# Out of their CPU limit all the time; out of memory soon; neither.
BUSY = "while True: pass"
LOAD = "import urllib.request\nfor _ in range({count}): urllib.request.urlopen('http://{address}:8080/').read()"
GREEDY = "kept = [b'1' * (100 << 20)]\ntime.sleep(5)\nwhile True: kept.append(b'1' * (1 << 20))"


@dataclass
class Shop:
    product: Product
    cart: Workload
    cgroup: Limited

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.product.answer("show", self.cart.node_id)
        return found

    def run(self, name: str, code: str) -> Any:
        """A program of the pod, under the pod's limits in every hierarchy."""
        # It waits until it is in all of them.
        program = self.cart.start(name, [PYTHON, "-c", f"import sys, time\ntime.sleep(1)\n{code}"])
        self.cgroup.take_in(program.pid)
        return program


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Cluster(hosts=["alpha"]) as cluster:
        cart, client = cluster.pod("alpha", "cart"), cluster.unit("alpha", "client")
        path = str(cart.place.cgroup.relative_to(cgroup_mount()))
        with limited(path, beside=True) as cgroup:
            cgroup.limit_cpu(0.2)
            cgroup.limit_memory(150 * MB)
            server = cart.start("server", [PYTHON, "-m", "http.server", "8080"], ["0.0.0.0:8080"])
            cgroup.take_in(server.pid)
            with Product(cluster) as product:
                client.run("load", [PYTHON, "-c", LOAD.format(count=REQUESTS, address=cart.ipv4)])
                yield Shop(product, cart, cgroup)
            for program in cart.programs:
                program.kill()


def test_a_pod_that_is_throttled_is_shown_as_that(shop: Shop) -> None:
    busy = shop.run("busy", BUSY)
    wait_until(lambda: shop.cgroup.throttled()[1] > 200, "throttled for long", 60)
    answer = shop.product.answer("show", shop.cart.node_id, "--window", "10s")
    found = answer["resources"]
    assert found["cpu_limit_cores"] == 0.2
    assert 0.1 < found["cpu_cores"] < 0.25
    assert found["cpu_throttled_share"] > 0.5
    assert "limit 0.20 cores, throttled in" in shop.product.plumb("show", shop.cart.node_id)
    busy.kill()


def test_memory_and_network_are_shown_beside_it(shop: Shop) -> None:
    answer = shop.shown()
    found = answer["resources"]
    assert found["memory_limit_bytes"] == 150 * MB
    assert 0 < found["memory_bytes"] < found["memory_limit_bytes"]
    assert found["network_sent_bytes"] == sum(edge["bytes_received"] for edge in answer["callers"]) > 0
    assert found["network_received_bytes"] == sum(edge["bytes_sent"] for edge in answer["callers"])
    assert sum(edge["requests"] for edge in answer["callers"]) == REQUESTS


def test_an_oom_kill_is_shown(shop: Shop) -> None:
    assert not shop.shown()["resources"]["oom_kills"]
    greedy = shop.run("greedy", GREEDY)
    with pytest.raises(ProgramFailed, match="status -9"):
        greedy.wait(60)
    assert shop.cgroup.oom_kills() == 1
    wait_until(lambda: shop.shown()["resources"]["oom_kills"] == 1, "the kill is told", 15, 0.5)
    assert shop.shown()["resources"]["memory_peak_share"] > 0.5
    assert "1 process(es) ended for want of memory" in shop.product.plumb("show", shop.cart.node_id)
