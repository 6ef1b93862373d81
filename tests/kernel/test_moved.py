"""An address that moves between workloads within 100 ms: no request is ever given to the wrong one.

In each round a client calls from the address that moves, and another one calls it; both count what they did.
"""

import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.cluster.cluster import Cluster, Workload
from tests.cluster.product import Graph, Product
from tests.cluster.roaming import Answer, Caller, Pair, Serving, give, move, own_ports, take_no_redirects

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
ADDRESSES = ("10.10.1.200", "fd00:b:1::200")
PORT = 8080
ROUNDS, LONGEST_MOVE_SECONDS, LATE_SECONDS = 100, 0.1, 30


@dataclass
class Roaming:
    """Two pods that have the addresses in turn, a server that they call, and a client that calls them."""

    cluster: Cluster
    holders: tuple[Workload, Workload]
    shop: Serving
    callers: dict[str, Caller]
    client: Caller
    servers: dict[str, Serving]
    truth: Counter[Pair] = field(default_factory=Counter)
    moves_seconds: list[float] = field(default_factory=list)

    def round(self, number: int) -> None:
        giver, taker = self.holders[1 - number % 2], self.holders[number % 2]
        for address in ADDRESSES:
            self.moves_seconds.append(move(address, giver, taker, self.cluster))
        address = ADDRESSES[number // 2 % 2]
        self.outward(taker, address, number)
        self.inward(taker, address, number)

    def outward(self, holder: Workload, address: str, number: int) -> None:
        """The holder calls from the address: over a new connection, or the one that was left open the last time."""
        shop = self.shop.workload
        target = shop.ipv6 if ":" in address else shop.ipv4
        count, keep = 1 + number % 5, number % 3 == 0
        answer = self.callers[holder.name].call(target, PORT, count, **{"from": address}, keep=keep)
        self.note((holder.node_id, shop.node_id), answer)

    def inward(self, holder: Workload, address: str, number: int) -> None:
        answer = self.client.call(address, PORT, 1 + number % 7)
        self.note((self.client.workload.node_id, holder.node_id), answer)

    def note(self, pair: Pair, answer: Answer) -> None:
        """A connection that was left open may have been broken while somebody else had its address."""
        self.truth[pair] += answer["requests"]


@pytest.fixture(params=["two hosts", pytest.param("one host", marks=pytest.mark.long)])
def roaming(request: pytest.FixtureRequest) -> Iterator[Roaming]:
    with Cluster() as cluster, ExitStack() as stack:
        blue = cluster.pod("alpha", "blue")
        green = cluster.pod("alpha" if request.param == "one host" else "beta", "green")
        shop, client = cluster.pod("beta", "shop"), cluster.pod("beta", "client")
        take_no_redirects(shop)
        take_no_redirects(client)
        for first, one in enumerate((blue, green)):
            own_ports(one, 20_000 + 10_000 * first)
        for address in ADDRESSES:
            give(address, green, cluster)
        yield Roaming(
            cluster,
            (blue, green),
            Serving(cluster, shop, PORT),
            {one.name: stack.enter_context(Caller(cluster, one)) for one in (blue, green)},
            stack.enter_context(Caller(cluster, client)),
            {one.name: Serving(cluster, one, PORT) for one in (blue, green)},
        )


def requests_of(graph: Graph) -> Counter[Pair]:
    """Of what somebody is held to have done: an address that nobody is said to have had then is marked as such."""
    unresolved = {node["id"] for node in graph["nodes"] if node["kind"] == "unresolved"}
    found: Counter[Pair] = Counter()
    for edge in graph["edges"]:
        if unresolved & {edge["source"], edge["target"]}:
            continue
        found[edge["source"], edge["target"]] += edge["requests"]
    return +found


def asked_of_nobody(graph: Graph) -> list[str]:
    """Requests that are held to be from or to an address alone."""
    return [
        edge["id"] for edge in graph["edges"] if edge["requests"] and set(ADDRESSES) & {edge["source"], edge["target"]}
    ]


def too_much(graph: Graph, truth: Counter[Pair]) -> dict[Pair, tuple[int, int]]:
    """What an edge shows beyond what had happened: (shown, true) by edge."""
    return {pair: (count, truth[pair]) for pair, count in requests_of(graph).items() if count > truth[pair]}


def go_round(roaming: Roaming, product: Product, rounds: int) -> None:
    for number in range(rounds):
        roaming.round(number)
        if number % 20 == 19:
            assert not too_much(product.graph(), roaming.truth)


def assert_exact(roaming: Roaming, product: Product) -> None:
    def is_whole(graph: Graph) -> bool:
        return requests_of(graph) == roaming.truth and not asked_of_nobody(graph)

    graph = product.graph_when(is_whole, timeout_seconds=40)
    assert requests_of(graph) == roaming.truth
    assert not asked_of_nobody(graph)
    for holder in roaming.holders:
        called = roaming.truth[roaming.client.workload.node_id, holder.node_id]
        assert sum(roaming.servers[holder.name].served().values()) == called > 0
    assert statistics.median(roaming.moves_seconds) < LONGEST_MOVE_SECONDS


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("interval_seconds", "rounds"),
    [(1.0, 40), *(pytest.param(seconds, ROUNDS, marks=pytest.mark.long) for seconds in (1.0, 5.0))],
)
def test_no_request_is_given_to_who_had_the_address_before(
    roaming: Roaming, interval_seconds: float, rounds: int
) -> None:
    with Product(roaming.cluster, interval_seconds=interval_seconds) as product:
        go_round(roaming, product, rounds)
        assert_exact(roaming, product)


@pytest.mark.timeout(400)
@pytest.mark.long
@pytest.mark.parametrize("rounds", [30, ROUNDS])
def test_nor_when_the_agent_of_who_had_it_tells_of_it_half_a_minute_later(roaming: Roaming, rounds: int) -> None:
    with Product(roaming.cluster) as product:
        go_round(roaming, product, 10)
        agent = product.agents["alpha"]
        agent.tell(signal.SIGSTOP)
        stopped = time.monotonic()
        go_round(roaming, product, rounds)
        time.sleep(max(0.0, LATE_SECONDS - (time.monotonic() - stopped)))
        assert not too_much(product.graph(), roaming.truth)
        agent.tell(signal.SIGCONT)
        assert_exact(roaming, product)
