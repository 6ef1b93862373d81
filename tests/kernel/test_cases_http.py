"""Cases of the field: when an answer ends, and what an error is."""

import json
import signal
import time
from typing import Any

import pytest

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON
from tests.cluster.product import Graph, Product
from tests.cluster.roaming import Serving
from tests.cluster.traffic import requests

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT, CLIENTS = 8080, 100
PAY = "api.pay.example"
STATUSES = {404: 100, 401: 50, 429: 30, 500: 20, 200: 40}
CANCELLED = 10


def edge_of(graph: Graph, source: Workload, target: str) -> dict[str, Any]:
    found = [edge for edge in graph["edges"] if (edge["source"], edge["target"]) == (source.node_id, target)]
    assert len(found) <= 1, [edge["id"] for edge in found]
    return found[0] if found else {"requests": 0, "statuses": {"2xx": 0}}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("pause_seconds", "idle_seconds", "stopped_seconds"), [(3, 6, 3), pytest.param(20, 60, 10, marks=pytest.mark.long)]
)
def test_an_answer_ends_with_its_first_byte_at_the_socket(
    cluster: Cluster, pause_seconds: int, idle_seconds: int, stopped_seconds: int
) -> None:
    """Not with the next request, the end of the connection, or when somebody got round to reading it.

    The server answers after 5 ms; how much later on a busy machine is not ours to say, but it is no pause.
    """
    server, client, slow = cluster.pod("alpha", "patient"), cluster.pod("beta", "asker"), cluster.pod("beta", "stopped")
    patient = [PYTHON, APPS / "patient.py"]
    server.start("patient", [*patient, "serve", PORT, idle_seconds], listens=[f"0.0.0.0:{PORT}"])
    with Product(cluster) as product:
        asking = client.start("ask", [*patient, "ask", server.ipv4, PORT, CLIENTS, pause_seconds])
        stopped = slow.start("stop", [*patient, "stop", server.ipv4, PORT])
        early = product.graph_when(lambda graph: edge_of(graph, slow, server.node_id)["requests"] == 1)
        assert edge_of(early, slow, server.node_id)["statuses"]["2xx"] == 1  # it has not read it yet
        time.sleep(stopped_seconds)
        stopped.tell(signal.SIGCONT)
        stopped.wait()
        asking.wait(timeout_seconds=pause_seconds + idle_seconds + 60)
        graph = product.graph_when(
            lambda graph: edge_of(graph, client, server.node_id)["statuses"]["2xx"] == 2 * CLIENTS
        )
    pause_ms = 1000 * pause_seconds
    for source, count in ((client, 2 * CLIENTS), (slow, 1)):
        edge = edge_of(graph, source, server.node_id)
        assert edge["statuses"]["2xx"] == edge["requests"] == count
        assert edge["errors"] == edge["client_errors"] == sum(edge["unanswered"].values()) == 0
        assert 4.5 < edge["latency_ms"]["p50"] < edge["latency_ms"]["p99"] * 1.1 < pause_ms / 3, edge["latency_ms"]


def test_one_rule_says_what_an_error_is(cluster: Cluster) -> None:
    """5xx are the server's, 4xx the client's, and a client that gives up is neither; the same in every view."""
    pay = cluster.outsider(PAY, ["203.0.113.80"])
    Serving(cluster, pay, PORT)
    shop = cluster.pod("alpha", "shop")
    jobs = [
        requests(pay.ipv4, PORT, PAY, count, [["GET", f"/status/{code}"]], connections=2)
        for code, count in STATUSES.items()
    ]
    never = {"kind": "unanswered", "address": pay.ipv4, "port": PORT, "host": PAY, "times": CANCELLED}
    jobs.append({**never, "by": "client", "path": "/never"})
    plan, out = cluster.directory / "errors.plan", cluster.directory / "errors.out"
    plan.write_text(json.dumps({"jobs": jobs}))
    total = sum(STATUSES.values()) + CANCELLED
    with Product(cluster) as product:
        shop.run("load", [PYTHON, APPS / "load.py", plan, out])
        graph = product.graph_when(lambda graph: edge_of(graph, shop, PAY)["requests"] == total)
        outside = {one["id"]: one for one in product.answer("thirdparties")["third_parties"]}
    edge = edge_of(graph, shop, PAY)
    assert edge["requests"] == total
    assert edge["statuses"] == {"2xx": 40, "3xx": 0, "4xx": 180, "5xx": 20, "other": 0}
    assert (edge["errors"], edge["client_errors"]) == (20, 180)
    assert edge["unanswered"] == {"client": CANCELLED, "server": 0}
    routes = {one["route"]: one for one in edge["routes"]}
    assert sum(one["errors"] for one in routes.values()) == 20
    assert outside[PAY]["errors"] == 20
    assert outside[PAY]["availability"] == pytest.approx(1 - 20 / total, abs=1e-6)
