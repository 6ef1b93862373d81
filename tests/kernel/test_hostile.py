"""What strangers may send: nothing is lost, nothing is executed, nothing grows without bound."""

import json
import os
import re
import socket

import pytest
import yaml

from tests.cluster.cluster import APPS, Workload
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.processes import PYTHON
from tests.cluster.product import Graph
from tests.cluster.traffic import Job, requests
from tests.cluster.truth import differences
from tests.kernel.conftest import System

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
RANDOM_PATHS = 20_000 if os.environ.get("CI") == "true" else 100_000
BUDGET = 512
HOSTILE = {
    "ansi": "\x1b[2J\x1b[31mred\x07",
    "html": "<script>alert(1)</script><img/src=x>",
    "dot": '"];evil[label="owned"];"',
    "yaml": "!!python/object/apply:os.system['x']:&a",
    "yaml-key": "{a:[*b,%c]}",
    "mermaid": '"]-->evil["|x|',
    "unicode": "\u202egnp.exe\u2066\u0085\u2028",
    "percent": "%0a%0d%00{{7*7}}${jndi:x}",
    "latin": "caf\udce9",
}
FORMS = ("table", "json", "yaml", "dot", "mermaid")


@pytest.fixture(scope="module")
def attacked(system: System) -> System:
    """Half requests and garbage between honest requests, on one port; random paths and hosts; hostile names."""
    estate = system.estate
    cart, outside = estate.cart.ipv4, estate.payments_api.ipv4
    honest = requests(cart, 8080, "cart", 2_000, [["GET", "/a"], ["POST", "/status/503"]])
    half: Job = {"kind": "half", "address": cart, "port": 8080, "times": 200}
    garbage: Job = {"kind": "garbage", "address": cart, "port": 8080, "times": 200, "seed": 3}
    on_port_80: Job = {
        "kind": "garbage",
        "address": estate.web.ipv4,
        "port": 80,
        "times": 100,
        "seed": 4,
        "unread": True,
    }
    estate.call(estate.checkout, honest, half, {**half, "reset": True}, garbage, {**garbage, "reset": True}, on_port_80)
    many = requests(estate.orders.ipv4, 8080, "orders", RANDOM_PATHS, [], random_paths=1, depth=8)
    # To an address without a name, so that every host would be a third party.
    strangers = requests(outside, 80, "", RANDOM_PATHS // 10, [], random_paths=2, random_hosts=True)
    estate.call(estate.frontend, many, strangers)
    estate.call(estate.payments, *[_hostile_job(outside, name) for name in HOSTILE.values()])
    _look_up_hostile_names(estate.relay)
    _run_with_hostile_names(system)
    return system


def test_between_half_requests_and_garbage_everything_is_counted(attacked: System) -> None:
    truth = attacked.estate.truth()
    attackers = {attacked.estate.checkout.node_id}

    def wrong(graph: Graph) -> list[str]:
        truth.edges = {key: edge for key, edge in truth.edges.items() if key.source in attackers}
        return differences(truth, [edge for edge in graph["edges"] if edge["source"] in attackers])

    graph = attacked.product.graph_when(lambda graph: not wrong(graph))
    assert not wrong(graph), "\n" + "\n".join(wrong(graph))


def test_random_paths_fill_a_budget_and_keep_their_sum(attacked: System) -> None:
    source, target = attacked.estate.frontend.node_id, attacked.estate.orders.node_id

    def sums(graph: Graph) -> list[tuple[int, int]]:
        edges = [edge for edge in graph["edges"] if (edge["source"], edge["target"]) == (source, target)]
        return [(edge["requests"], sum(one["requests"] for one in edge["routes"])) for edge in edges]

    right = [(RANDOM_PATHS, RANDOM_PATHS)]
    graph = attacked.product.graph_when(lambda graph: sums(graph) == right)
    assert sums(graph) == right
    edge = next(edge for edge in graph["edges"] if (edge["source"], edge["target"]) == (source, target))
    beyond = sum(one["requests"] for one in edge["routes"] if one["route"] == "(other)")
    assert beyond > RANDOM_PATHS // 2 and len(edge["routes"]) <= 4 * BUDGET
    assert all(host["dropped"] for host in graph["hosts"])


def test_random_hosts_fill_a_budget_and_keep_their_sum(attacked: System) -> None:
    source, port = attacked.estate.frontend.node_id, 80
    outside = attacked.estate.payments_api.ipv4

    def edges(graph: Graph) -> list[Graph]:
        strangers = {node["id"] for node in graph["nodes"] if node["kind"] in ("third_party", "external")}
        return [
            edge
            for edge in graph["edges"]
            if edge["source"] == source and edge["port"] == port and edge["target"] in strangers
        ]

    def total(graph: Graph) -> int:
        return sum(edge["requests"] for edge in edges(graph))

    graph = attacked.product.graph_when(lambda graph: total(graph) == RANDOM_PATHS // 10)
    assert total(graph) == RANDOM_PATHS // 10
    assert 2 <= len(edges(graph)) <= 4 * BUDGET
    assert outside in {edge["target"] for edge in edges(graph)}


@pytest.mark.parametrize("form", FORMS)
def test_hostile_names_stay_data(attacked: System, form: str) -> None:
    text = attacked.product.plumb("graph", "--window", "1h", "-o", form)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    if form == "json":
        assert json.loads(text)["nodes"]
    if form == "yaml":
        assert yaml.safe_load(text)["nodes"]
    if form == "dot":
        quoted = r'"(?:[^"\\]|\\.)*"'
        left = re.sub(quoted, "Q", text)
        assert re.fullmatch(r"[^<>]*", left.replace("->", "")) and "evil" not in left
    if form == "mermaid":
        assert "<script" not in text and '"]-->' not in text


def test_hostile_names_reach_the_portal_as_names_it_takes(attacked: System) -> None:
    for entity in yaml.safe_load_all(attacked.product.http("/catalog/backstage.yaml")):
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", entity["metadata"]["name"])


def test_the_three_doors_take_garbage(attacked: System) -> None:
    product = attacked.product
    for port in (product.agents_port, product.readers_port, product.http_port):
        for text in (
            b"GET / HTTP/1.1\r\n",
            b"\x00" * 100_000,
            os.urandom(100_000),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
                try:
                    stranger.sendall(text)
                except (BrokenPipeError, ConnectionResetError):
                    continue
    assert product.graph()["nodes"]


def test_everything_still_runs_and_nobody_stumbled(attacked: System) -> None:
    product = attacked.product
    for program in (product.aggregator, *product.agents.values()):
        assert program.running
        log = program.output.read_text()
        assert "Traceback" not in log
        assert all(json.loads(line)["level"] != "error" for line in log.splitlines())


def _hostile_job(address: str, name: str) -> Job:
    path, host = (name.encode("utf-8", "surrogateescape").decode("latin-1").replace(" ", "") for _ in range(2))
    return requests(address, 80, host, 5, [["GET", f"/{path}"]], connections=1, encoding="latin-1")


def _look_up_hostile_names(workload: Workload) -> None:
    """Straight into the packet: no resolver library would send them."""
    workload.run("look-up", [PYTHON, APPS / "strange.py", "ask", RESOLVER_IPV4, *HOSTILE.values()])


def _run_with_hostile_names(system: System) -> None:
    """Processes without a unit are named by their command, which they choose."""
    for number, name in enumerate((*HOSTILE.values(), "line\nbreak", " ", "../..")):
        command = [PYTHON, APPS / "strange.py", "be", name, system.estate.idle.ipv4, "8080"]
        system.estate.shell.run(f"named-{number}", command)
