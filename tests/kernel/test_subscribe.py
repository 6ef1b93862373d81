"""The subscriber of examples/, unchanged: it sees a new edge within a second and outlives the aggregator."""

import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.processes import wait_until
from tests.cluster.traffic import requests
from tests.kernel.conftest import System

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
EXAMPLE = Path(__file__).parents[2] / "examples" / "subscribe.py"


class Over(Exception):
    """Nobody wants to know more."""


class Subscriber:
    """The example in a thread; what it holds is read whenever it prints a line."""

    def __init__(self, address: str) -> None:
        spec = importlib.util.spec_from_file_location("subscribe", EXAMPLE)
        assert spec is not None and spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.edges: dict[str, Any] = {}
        self.lines: list[str] = []
        module.print = self._on_line
        self._is_over = False
        self._thread = threading.Thread(target=self._follow, args=(module, address), daemon=True)
        self._thread.start()

    @staticmethod
    def _follow(module: Any, address: str) -> None:
        with suppress(Over):
            module.follow(address)

    def end(self) -> None:
        """By itself it follows for ever: it would try to connect from within other tests."""
        self._is_over = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _on_line(self, *words: object, **_: object) -> None:
        if self._is_over:
            raise Over
        self.edges = dict(sys._getframe(1).f_locals["edges"])
        self.lines.append(" ".join(map(str, words)))

    def sees(self, source: str, target: str, port: int) -> bool:
        return any((edge.source, edge.target, edge.port) == (source, target, port) for edge in self.edges.values())


@pytest.fixture(scope="module")
def subscriber(system: System) -> Iterator[Subscriber]:
    system.estate.call(system.estate.checkout, requests(system.estate.orders.ipv4, 8080, "orders", 100, [["GET", "/"]]))
    subscriber = Subscriber(system.product.address)
    try:
        wait_until(lambda: len(subscriber.edges) == 1, "the subscriber has the snapshot")
        yield subscriber
    finally:
        subscriber.end()


@pytest.mark.parametrize("target", ["cart", "relay", "idle"])
def test_a_new_edge_is_seen_within_a_second(system: System, subscriber: Subscriber, target: str) -> None:
    server = getattr(system.estate, target)
    url = f"http://{server.ipv4}:{server.listens[0][1]}/"
    program = system.estate.checkout.start(f"curl-{target}", ["curl", "-s", "-o", "/dev/null", url])
    program.wait()
    called = time.monotonic()
    seen = (system.estate.checkout.node_id, server.node_id, server.listens[0][1])
    wait_until(lambda: subscriber.sees(*seen), "the new edge")
    assert time.monotonic() - called < 1.0


def test_after_a_restart_it_holds_the_graph_that_plumb_shows(system: System, subscriber: Subscriber) -> None:
    system.product.aggregator.kill()
    wait_until(lambda: any("waiting" in line for line in subscriber.lines), "it noticed")
    system.product.start_aggregator()
    system.product.await_ready()
    lines = len(subscriber.lines)
    system.estate.call(system.estate.payments, requests("127.0.0.1", 9090, "ledger", 50, [["GET", "/a"]]))
    wait_until(lambda: subscriber.sees("beta/payments", "beta/ledger", 9090), "the edge of after the restart", 15)
    assert any("snapshot" in line or "restart" in line for line in subscriber.lines[lines - 5 :])

    def equal() -> bool:
        graph = system.product.graph("5m")
        shown = {edge["id"]: (edge["requests"], edge["connections"]) for edge in graph["edges"]}
        return shown == {edge.id: (edge.requests, edge.connections) for edge in subscriber.edges.values()}

    wait_until(equal, "the subscriber's graph is that of plumb graph", 15, pause_seconds=0.5)
    assert len(subscriber.edges) == 5
