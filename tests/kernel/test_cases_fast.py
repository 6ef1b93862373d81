"""A case of the field: a fast server, tiny messages: all is counted. What that costs is in bench/kernel_cost.py."""

import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.product import Graph, Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
PORT, CLIENTS, COMMANDS = 6379, 8, 20_000
BENCHMARK = ["redis-benchmark", "-p", PORT, "-c", CLIENTS, "-n", COMMANDS, "-d", 3, "-t", "set,get", "--csv"]
ASKED = b"INFO\r\n"


class Totals(NamedTuple):
    """As redis itself counts them."""

    connections: int
    commands: int
    bytes_received: int
    bytes_sent: int


class Redis:
    def __init__(self, cluster: Cluster) -> None:
        self.workload = cluster.pod("beta", "redis")
        self._socket = cluster.directory / "redis.sock"
        files = ["--dir", cluster.directory, "--unixsocket", self._socket, "--save", "", "--appendonly", "no"]
        command = ["redis-server", *files, "--protected-mode", "no", "--bind", self.workload.ipv4, "--port", PORT]
        self.workload.start("redis", command, listens=[f"{self.workload.ipv4}:{PORT}"])
        self._asking = Totals(0, 0, 0, 0)

    def totals(self) -> Totals:
        """Without what asking for them takes."""
        rows, length = _info(self._socket)
        names = ("connections_received", "commands_processed", "net_input_bytes", "net_output_bytes")
        said = Totals(*(int(rows[f"total_{name}"]) for name in names))
        before, one = self._asking, Totals(1, 1, len(ASKED), length)
        self._asking = Totals(*(sum(pair) for pair in zip(before, one, strict=True)))
        connections, _, received, _ = self._asking  # this answer, and that it was given, are not in it yet
        mine = Totals(connections, before.commands, received, before.bytes_sent)
        return Totals(*(all_of_it - own for all_of_it, own in zip(said, mine, strict=True)))


def _info(path: Path) -> tuple[dict[str, str], int]:
    """With the length of the answer."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(str(path))
        asking.sendall(ASKED)
        answer = asking.recv(1 << 16)
        whole = len(answer.partition(b"\r\n")[0]) + 2 + int(answer[1:].partition(b"\r\n")[0]) + 2
        while len(answer) < whole:
            answer += asking.recv(1 << 16)
    rows = (line.partition(":") for line in answer.decode().splitlines())
    return {name: value for name, _, value in rows}, len(answer)


def edge_of(graph: Graph, source: Workload, target: Workload) -> dict[str, Any]:
    found = [edge for edge in graph["edges"] if (edge["source"], edge["target"]) == (source.node_id, target.node_id)]
    assert len(found) <= 1, [edge["id"] for edge in found]
    return found[0] if found else {}


@pytest.mark.parametrize("pipeline", [1, 16])
def test_each_byte_and_connection_of_a_fast_server_is_counted(cluster: Cluster, pipeline: int) -> None:
    redis, shop = Redis(cluster), cluster.pod("alpha", "shop")
    with Product(cluster) as product:
        before = redis.totals()
        shop.run("benchmark", [*BENCHMARK, "-h", redis.workload.ipv4, "-P", pipeline])
        right = Totals(*(now - then for now, then in zip(redis.totals(), before, strict=True)))
        assert right.commands >= 2 * COMMANDS and right.connections > CLIENTS
        numbers = {"connections": right.connections, "bytes_sent": right.bytes_received}
        numbers["bytes_received"] = right.bytes_sent
        graph = product.graph_when(
            lambda graph: (
                numbers.items() <= edge_of(graph, shop, redis.workload).items()
                and not edge_of(graph, shop, redis.workload)["active_connections"]
            )
        )
    edge = edge_of(graph, shop, redis.workload)
    assert {name: edge[name] for name in numbers} == numbers
    for side in ("client_side", "server_side"):
        assert {name: edge[side][name] for name in numbers} == numbers
    assert (edge["protocol"], edge["requests"], edge["active_connections"]) == ("tcp", 0, 0)
    assert 0 < edge["turn_ms"]["p50"] <= edge["turn_ms"]["p99"]  # nothing is read of it, and yet it has a latency
    for host in graph["hosts"]:
        assert not any(host["lost"].values()) and not any(host["dropped"].values()), host
