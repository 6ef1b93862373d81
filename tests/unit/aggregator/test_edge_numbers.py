"""What an edge says: requests, errors, latencies, routes, connections, each by the contract's own rule."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1 import columns as wire
from plumbline.v1 import flow_pb2 as flow
from plumbline.v1 import topology_pb2 as pb

from aggregator.topology.columns import RequestRows, merge_requests
from aggregator.topology.requests import MOST_ROUTES
from tests.unit.aggregator.agents import World, address

ALPHA, BETA = "10.0.0.1", "10.0.0.2"
BY_CLIENT, BY_SERVER = flow.OUTCOME_UNANSWERED_CLIENT, flow.OUTCOME_UNANSWERED_SERVER
GONE: dict[str, int] = {"code": 0, "latency_bucket": 0, "sum_ns": 0}


class Two:
    """Web on alpha calls shop on beta; `both` makes each end count the same."""

    def __init__(self, port: int = 80) -> None:
        self.world = World()
        self.alpha, self.beta = self.world.agent("alpha", ALPHA), self.world.agent("beta", BETA)
        self.port = port
        self.beta.listens(self.beta.unit("shop"), BETA, port, transport=0)

    def both(self, count: int, **more: Any) -> None:
        self.client(count, **more)
        self.server(count, **more)

    def client(self, count: int, **more: Any) -> None:
        self.alpha.calls(self.alpha.unit("web"), BETA, self.port, count, **{"connections": 0, **more})

    def server(self, count: int, **more: Any) -> None:
        self.beta.serves(self.beta.unit("shop"), ALPHA, self.port, count, local=BETA, **{"connections": 0, **more})

    def edges(self) -> dict[str, pb.Edge]:
        """By protocol."""
        self.alpha.tells()
        self.beta.tells()
        edges = self.world.topology().edges
        assert {(edge.source, edge.target) for edge in edges} == {("alpha/web", "beta/shop")}
        return {edge.protocol: edge for edge in edges}


@pytest.fixture
def two() -> Two:
    return Two()


def test_an_answer_that_goes_on_for_ever_makes_its_route_a_stream_and_counts_once(two: Two) -> None:
    events, chat, plain = (two.alpha.name(text, flow.NAME_KIND_ROUTE) for text in ("/events", "/chat", "/plain"))
    for name, code, count, outcome in (
        (events, 200, 3, flow.OUTCOME_ANSWERED),
        (events, 200, 3, flow.OUTCOME_STREAMED),
        (chat, 101, 2, flow.OUTCOME_ANSWERED),
        (plain, 200, 7, flow.OUTCOME_ANSWERED),
    ):
        two.client(count, name=name, code=code, outcome=outcome)
    edge = two.edges()["http"]
    assert (edge.requests, edge.statuses.s2xx, edge.statuses.other) == (12, 10, 2)
    assert edge.client_side.requests == 12
    routes = {route.route: (getattr(route, "class"), route.requests) for route in edge.routes}
    assert routes == {"/events": ("stream", 3), "/chat": ("stream", 2), "/plain": ("call", 7)}


def test_http_errors_are_the_servers_and_the_clients_are_apart(two: Two) -> None:
    for code, count in (
        (200, 1),
        (204, 2),
        (301, 4),
        (404, 8),
        (429, 16),
        (500, 32),
        (503, 64),
        (100, 128),
        (999, 256),
    ):
        two.both(count, code=code)
    two.both(512, outcome=BY_CLIENT, **GONE)
    two.both(1024, outcome=BY_SERVER, **GONE)
    edge = two.edges()["http"]
    assert edge.requests == 2047
    assert (edge.errors, edge.client_errors) == (96, 24)
    assert edge.unanswered == pb.Unanswered(client=512, server=1024)
    assert edge.statuses == pb.Statuses(s2xx=3, s3xx=4, s4xx=24, s5xx=96, other=384)
    for side in (edge.client_side, edge.server_side):
        assert (side.requests, side.statuses, side.unanswered) == (2047, edge.statuses, edge.unanswered)


def test_a_name_server_that_does_not_answer_is_in_error_and_only_its_client_knows() -> None:
    two = Two(53)
    dns = {"protocol": flow.PROTOCOL_DNS, "operation": 0, "transport": flow.TRANSPORT_UDP}
    for rcode, count in ((0, 1), (2, 2), (3, 4), (5, 8), (9, 16)):
        two.both(count, code=rcode, **dns)
    two.client(32, outcome=BY_SERVER, **GONE | dns)
    two.server(5, outcome=BY_SERVER, **GONE | dns)
    edge = two.edges()["dns"]
    assert edge.requests == 63
    assert dict(edge.codes) == {"NOERROR": 1, "SERVFAIL": 2, "NXDOMAIN": 4, "REFUSED": 8, "RCODE9": 16}
    assert (edge.errors, edge.client_errors, edge.unanswered.server) == (34, 28, 32)


def test_dns_over_both_transports_is_one_edge() -> None:
    two = Two(53)
    dns = {"protocol": flow.PROTOCOL_DNS, "operation": 0, "code": 0}
    two.client(3, transport=flow.TRANSPORT_UDP, connections=1, bytes_sent=10, **dns)
    two.client(4, transport=flow.TRANSPORT_TCP, connections=2, bytes_sent=20, **dns)
    edges = two.edges()
    assert set(edges) == {"dns"}
    assert (edges["dns"].requests, edges["dns"].bytes_sent, edges["dns"].connections) == (7, 30, 3)


def test_connections_belong_to_the_protocol_that_most_requests_spoke(two: Two) -> None:
    two.client(10, connections=3, bytes_sent=100)
    two.client(2, protocol=flow.PROTOCOL_DNS, code=0)
    edges = two.edges()
    assert (edges["http"].connections, edges["dns"].connections) == (3, 0)
    assert (edges["http"].requests, edges["dns"].requests) == (10, 2)


@pytest.mark.parametrize(
    ("seen", "word", "encrypted"),
    [
        ((), "tcp", False),
        ((flow.PROTOCOL_TLS,), "tls", True),
        ((flow.PROTOCOL_QUIC,), "quic", True),
        ((flow.PROTOCOL_DNS,), "dns", False),
        ((flow.PROTOCOL_TLS, flow.PROTOCOL_HTTP), "http", True),
    ],
)
def test_without_a_request_the_bytes_say_what_was_spoken(
    two: Two, seen: tuple[int, ...], word: str, encrypted: bool
) -> None:
    two.client(0, connections=1, protocols=sum(1 << protocol for protocol in seen))
    (edge,) = two.edges().values()
    assert (edge.protocol, edge.encrypted) == (word, encrypted)


def test_turns_of_what_no_parser_knows_are_no_requests(two: Two) -> None:
    turn = {"protocol": flow.PROTOCOL_TCP, "operation": 0, "code": 0}
    two.both(4, latency_bucket=160, sum_ns=4_000_000, **turn)
    two.client(0, connections=1)
    edge = two.edges()["tcp"]
    assert edge.requests == 0 and not edge.HasField("latency_ms")
    assert edge.turn_ms.mean == 1.0


def test_connects_are_no_turns_and_no_requests(two: Two) -> None:
    """Those of the client, whoever's requests count."""
    bare = {"protocol": flow.PROTOCOL_TCP, "operation": 0, "code": 0, "latency_bucket": 160}
    two.both(4, sum_ns=4_000_000, **bare)
    two.client(3, kind=wire.CONNECT, sum_ns=6_000_000, **bare)
    two.both(0, connections=3)
    edge = two.edges()["tcp"]
    assert (edge.requests, edge.connections, edge.turn_ms.mean, edge.connect_ms.mean) == (0, 3, 1.0, 2.0)


def test_connects_go_where_their_connections_go() -> None:
    """To whom most requests asked for, at an address that DNS calls otherwise; not to an edge of their own."""
    world = World()
    alpha = world.agent("alpha", ALPHA)
    web, host = alpha.unit("web"), alpha.name("api.pay.example")
    alpha.told(web, "front.cdn.example", "203.0.113.9")
    alpha.calls(web, "203.0.113.9", 80, 5, host=host, connections=2)
    bare = {"protocol": flow.PROTOCOL_TCP, "operation": 0, "code": 0, "kind": wire.CONNECT}
    alpha.calls(web, "203.0.113.9", 80, 2, connections=0, latency_bucket=160, sum_ns=6_000_000, **bare)
    alpha.tells()
    (edge,) = world.topology().edges
    assert (edge.target, edge.protocol, edge.connections, edge.connect_ms.mean) == ("api.pay.example", "http", 2, 3.0)


def test_a_certificate_is_the_one_that_was_shown_last_and_no_handshake(two: Two) -> None:
    shown = {"protocol": flow.PROTOCOL_TLS, "operation": wire.CERTIFICATE, "latency_bucket": 0, "sum_ns": 0}

    def expires(second: int, *shows: int) -> pb.Edge:
        for end in shows:
            two.client(1, **shown, kind=end >> 16, code=end & 0xFFFF)
        two.alpha.tells(second, second + 1)
        (edge,) = two.world.topology(now=second + 2).edges
        return edge

    two.client(1, protocol=flow.PROTOCOL_TLS, operation=0, code=0, kind=0x0303, latency_bucket=160, sum_ns=8_000_000)
    two.client(0, connections=1, protocols=1 << flow.PROTOCOL_TLS)
    assert not expires(0).HasField("certificate_expires")
    assert expires(1, 1_500_000_000).certificate_expires.seconds == 1_500_000_000
    # Another one since; of two that are shown in turn, the first to end.
    edge = expires(2, 2**32 - 1, 2_100_000_000)
    assert edge.certificate_expires.seconds == 2_100_000_000
    assert (edge.requests, edge.handshakes.done, dict(edge.handshakes.alerts)) == (0, 1, {})


def test_handshakes_are_no_requests_and_say_how_they_ended(two: Two) -> None:
    """Those of the client, whatever the server's end says beside them."""
    shake = {"protocol": flow.PROTOCOL_TLS, "operation": 0}
    done = {**shake, "code": 0, "latency_bucket": 160}
    two.client(4, kind=0x0304, sum_ns=8_000_000, **done)
    two.client(2, kind=0x0303, sum_ns=10_000_000, **done)
    for outcome, alert, version, count in (
        (BY_CLIENT, 45, 0x0303, 3), (BY_SERVER, 40, 0, 2), (BY_SERVER, 0, 0, 1), (BY_CLIENT, 200, 0x0304, 1),
    ):  # fmt: skip
        ended = {"outcome": outcome, "code": alert, "kind": version, "latency_bucket": 0, "sum_ns": 0}
        two.client(count, **shake, **ended)
    two.client(0, connections=13, protocols=1 << flow.PROTOCOL_TLS)
    two.server(2, protocol=flow.PROTOCOL_TCP, operation=0, code=0, latency_bucket=160, sum_ns=1000)
    two.server(0, connections=13, protocols=1 << flow.PROTOCOL_TLS)
    edge = two.edges()["tls"]
    assert (edge.requests, edge.errors, edge.connections, edge.encrypted) == (0, 0, 13, True)
    found = edge.handshakes
    assert (found.done, found.broken.client, found.broken.server) == (6, 4, 3)
    assert dict(found.alerts) == {"certificate_expired": 3, "handshake_failure": 2, "alert 200": 1}
    assert dict(found.versions) == {"1.3": 4, "1.2": 2}
    assert found.latency_ms.mean == 3.0
    assert edge.turn_ms.mean > 0


def test_an_edge_without_a_handshake_says_nothing_of_any(two: Two) -> None:
    two.both(0, connections=1, protocols=1 << flow.PROTOCOL_TLS)
    assert not two.edges()["tls"].HasField("handshakes")


def test_coverage_is_the_share_of_bytes_that_was_understood(two: Two) -> None:
    two.both(0, bytes_sent=600, bytes_received=400, parsed_bytes=250)
    assert two.edges()["tcp"].coverage == 0.25


def test_a_hosts_coverage_leaves_plumblines_own_reports_out(two: Two) -> None:
    """They are not understood, and on a quiet host there is little else."""
    two.both(0, bytes_sent=600, bytes_received=400, parsed_bytes=250)
    for agent in (two.alpha, two.world.agent("gamma", "10.0.0.3")):
        own = agent.endpoint(flow.ENDPOINT_KIND_PROCESS, command="plumb")
        agent.calls(own, BETA, 7170, bytes_sent=5000)
        agent.tells()
    assert {host.name: host.coverage for host in two.world.topology().hosts} == {"alpha": 0.25, "gamma": 1.0}


def test_the_address_that_was_asked_for_is_kept_where_translation_led_elsewhere() -> None:
    world = World()
    alpha = world.agent("alpha", ALPHA)
    for count, asked in ((2, "10.96.0.10"), (3, "10.96.0.11"), (4, "")):
        alpha.calls(alpha.unit("web"), "192.0.2.7", 443, connections=count, local=f"10.0.0.{count}")
        if asked:
            definition = alpha.message.flow_definitions[-1]
            definition.asked_address, definition.asked_port = address(asked), 80
    alpha.tells()
    (edge,) = world.topology().edges
    assert [(one.name, one.connections) for one in edge.via] == [("10.96.0.10:80", 2), ("10.96.0.11:80", 3)]
    assert edge.connections == 9


def test_routes_beyond_the_bound_become_one_that_keeps_the_sums(two: Two) -> None:
    names = [two.alpha.name(f"/r{number}", flow.NAME_KIND_ROUTE) for number in range(MOST_ROUTES + 5)]
    for number, name in enumerate(names):
        two.client(1000 - number, name=name, code=500 if number % 2 else 200)
    two.client(7, name=wire.UNNAMED, operation=3)
    edge = two.edges()["http"]
    assert len(edge.routes) == MOST_ROUTES + 1
    assert sum(route.requests for route in edge.routes) == edge.requests
    assert sum(route.errors for route in edge.routes) == edge.errors
    assert [route.requests for route in edge.routes[:-1]] == [1000 - number for number in range(MOST_ROUTES)]
    rest = edge.routes[-1]
    assert (rest.method, rest.route, rest.requests) == ("", "(other)", sum(1000 - n for n in range(100, 105)) + 7)


def test_a_route_is_a_method_and_a_text(two: Two) -> None:
    route = two.alpha.name("/items/*", flow.NAME_KIND_ROUTE)
    two.client(3, name=route, operation=1)
    two.client(2, name=route, operation=3)
    two.client(1, name=wire.UNNAMED, operation=63)
    two.client(1, name=wire.NO_NAME, operation=0)
    found = {(route.method, route.route): route.requests for route in two.edges()["http"].routes}
    assert found == {
        ("GET", "/items/*"): 3,
        ("POST", "/items/*"): 2,
        ("(other)", "(unnamed)"): 1,
        ("", "(none)"): 1,
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(10_000, 10**11), st.integers(1, 50)), min_size=1, max_size=20))
def test_the_mean_is_exact_and_quantiles_are_within_five_percent(samples: list[tuple[int, int]]) -> None:
    two = Two()
    for value_ns, count in samples:
        bucket = int(np.floor(np.log2(value_ns) * 2**wire.HISTOGRAM_SCALE))
        two.client(count, latency_bucket=bucket, sum_ns=value_ns * count)
    latency = two.edges()["http"].latency_ms
    values = np.repeat([value for value, _ in samples], [count for _, count in samples]) / 1e6
    assert latency.mean == pytest.approx(values.mean(), rel=1e-12)
    for quantile, found in ((0.5, latency.p50), (0.95, latency.p95), (0.99, latency.p99)):
        right = np.quantile(values, quantile, method="inverted_cdf")
        assert found == pytest.approx(right, rel=0.05)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2), st.integers(1, 9)),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_rows_merge_to_the_same_sums_however_they_are_cut(rows: list[tuple[int, ...]], cut: int) -> None:
    def column(at: int, some: list[tuple[int, ...]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array([row[at] for row in some], np.int64)

    def made(some: list[tuple[int, ...]]) -> RequestRows:
        keys = [column(at, some) for at in range(4)]
        times = np.arange(len(some), dtype=np.int64)
        return RequestRows(keys[0], keys[1], times, times + 1, keys[2], keys[3], column(4, some), column(4, some) * 10)

    whole = merge_requests([merge_requests([made(rows[:cut])]), merge_requests([made(rows[cut:])])])
    sums: Counter[tuple[int, ...]] = Counter()
    for *key, count in rows:
        sums[tuple(key)] += count
    keys = zip(whole.flow.tolist(), whole.authority.tolist(), whole.detail.tolist(), whole.names.tolist(), strict=True)
    assert dict(zip(keys, whole.count.tolist(), strict=True)) == sums
    assert len(whole) == len(sums)
    assert (whole.sum_ns == whole.count * 10).all()
