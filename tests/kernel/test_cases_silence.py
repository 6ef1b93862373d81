"""A case of the field: no data is not down. An agent that is silent, a stream that is cut, a load that has stopped."""

import signal
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.processes import wait_until
from tests.cluster.product import Graph, Product
from tests.cluster.roaming import Caller, Serving

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT, PAY = 8080, "api.pay.example"


class Gate:
    """A TCP relay on loopback that can hold back everything."""

    def __init__(self, port: int) -> None:
        self._to, self._open = port, threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self.open()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self._open.wait()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            end.close()


class Town:
    """A shop on alpha calls a store on beta, and the store calls a third party; everybody counts."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        self.shop, self.store = cluster.pod("alpha", "shop"), cluster.pod("beta", "store")
        self.pay = cluster.outsider(PAY, ["203.0.113.80"])
        cluster.publish({PAY: {"A": ["203.0.113.80"]}})
        Serving(cluster, self.store, PORT)
        Serving(cluster, self.pay, PORT)
        self.from_shop, self.from_store = (stack.enter_context(Caller(cluster, one)) for one in (self.shop, self.store))
        self.called = self.paid = 0

    def work(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.called += self.from_shop.call(self.store.ipv4, PORT, 5, keep=True)["requests"]
            self.paid += self.from_store.call(PAY, PORT, 3, keep=True)["requests"]
            time.sleep(0.05)

    def edge(self, graph: Graph, source: Workload) -> dict[str, Any]:
        edges = [edge for edge in asked(graph) if edge["source"] == source.node_id]
        assert len(edges) == 1, [edge["id"] for edge in edges]
        return dict(edges[0])

    def is_whole(self, graph: Graph) -> bool:
        counts = {edge["source"]: edge["requests"] for edge in asked(graph)}
        return counts == {self.shop.node_id: self.called, self.store.node_id: self.paid}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [8, pytest.param(180, marks=pytest.mark.long)])
def test_silence_is_not_failure_and_its_two_kinds_look_different(seconds: int) -> None:
    with Cluster() as cluster, ExitStack() as stack:
        town = Town(cluster, stack)
        product = Product(cluster)
        gate = Gate(product.agents_port)
        with product:
            product.agents["beta"].end()
            product.agents_port, own_port = gate.port, product.agents_port
            product.start_agent("beta")
            product.agents_port = own_port
            product.await_ready()
            town.work(3)
            assert town.is_whole(product.graph_when(town.is_whole))
            product.agents["beta"].tell(signal.SIGSTOP)
            silent(town, product, seconds)
            product.agents["beta"].tell(signal.SIGCONT)
            back(town, product)
            gate.shut()
            silent(town, product, seconds)
            gate.open()
            back(town, product)
            time.sleep(seconds)
            # A window is of whole buckets, and they grow with age.
            wait_until(lambda: not asked(product.graph("5s")), "nothing is called", 20, pause_seconds=0.5)
            idle = host(product.graph("5s"), "beta")
            assert not idle["stale"]  # and that is known
            gate.close()


def asked(graph: Graph) -> list[dict[str, Any]]:
    return [edge for edge in graph["edges"] if edge["protocol"] == "http" and edge["requests"]]


def host(graph: Graph, name: str) -> dict[str, Any]:
    return next(one for one in graph["hosts"] if one["name"] == name)


def silent(town: Town, product: Product, seconds: int) -> None:
    """While beta says nothing: its edges are there and do not fail, and alpha tells of those that cross."""
    paid = town.edge(product.graph(), town.store)["requests"]
    town.work(seconds)
    graph = product.graph_when(lambda graph: host(graph, "beta")["stale"] and called(town, graph) == town.called)
    assert host(graph, "beta")["stale"] and host(graph, "beta")["last_seen"]
    assert not host(graph, "alpha")["stale"]
    crossing, outward = town.edge(graph, town.shop), town.edge(graph, town.store)
    assert (crossing["target"], crossing["requests"]) == (town.store.node_id, town.called)
    assert paid <= outward["requests"] <= town.paid
    for edge in (crossing, outward):
        assert edge["errors"] == edge["client_errors"] == sum(edge["failed_connections"].values()) == 0
    (pay,) = product.answer("thirdparties")["third_parties"]
    assert (pay["id"], pay["availability"]) == (outward["target"], 1.0)


def called(town: Town, graph: Graph) -> int:
    return sum(edge["requests"] for edge in graph["edges"] if edge["source"] == town.shop.node_id)


def back(town: Town, product: Product) -> None:
    """What was counted meanwhile was not lost."""
    graph = product.graph_when(town.is_whole, timeout_seconds=60)
    assert town.is_whole(graph), (town.called, town.paid, graph["edges"])
    assert not host(graph, "beta")["stale"]
