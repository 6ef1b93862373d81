"""What the socket's packets may ask of us: every hazard over a perfect wire and over a bad one, exact at both ends."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from _pytest.mark import ParameterSet

from tests.cluster.cluster import APPS
from tests.cluster.impaired import Impairment
from tests.cluster.processes import PYTHON
from tests.kernel.ordering import PERFECT, PORT, LoadFailed, Stage, Truth, assert_counts, assert_exact

# The stage of all of them is built while the first of them waits.
pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
BAD = Impairment(0.01, 0.01, 0.01, seed=7)
WIRES = pytest.mark.parametrize("impairment", [pytest.param(PERFECT, id="perfect"), pytest.param(BAD, id="bad")])
CUT, DEFERRED, UNACKNOWLEDGED, FAST, MULTIPATH = range(8081, 8086)
SHORT_CONNECTIONS = ("--requests", 600, "--each", 3, "--largest", 2000)
# The first ACK of a connection that carries nothing: its listener then sees the first request, and it never does.
DROP_FIRST_ACK = (
    "add table inet hazard; add chain inet hazard in { type filter hook input priority 0; };"
    "add set inet hazard seen { type ipv4_addr . inet_service; flags dynamic; size 1000; timeout 60s; };"
    f"add rule inet hazard in tcp dport {UNACKNOWLEDGED} tcp flags & (syn|ack|psh|fin|rst) == ack "
    "ip saddr . tcp sport != @seen add @seen { ip saddr . tcp sport } counter drop"
)


@pytest.fixture(scope="module")
def served(stage: Stage) -> Stage:
    stage.serve(CUT, "--cut", "1")
    stage.serve(DEFERRED, "--defer-accept")
    stage.serve(UNACKNOWLEDGED)
    for workload in (stage.server, stage.client):
        workload.run("sysctl", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=3"])
    stage.serve(FAST, "--fast-open")
    stage.serve(MULTIPATH, "--mptcp")
    return stage


def small(port: int, *more: object) -> Callable[[Stage], Truth]:
    return lambda stage: stage.load(["--requests", 600, "--largest", 20_000, "--depth", 8, *more], port=port)


def to(address: Callable[[Stage], str]) -> Callable[[Stage], Truth]:
    return lambda stage: stage.load(["--requests", 600, "--largest", 20_000, "--depth", 8], address=address(stage))


def edge(scenario: str) -> Callable[[Stage], Truth]:
    return lambda stage: stage.ask("edges.py", [scenario, stage.server.ipv4, PORT])


HAZARDS: dict[str, Callable[[Stage], Truth]] = {
    "writes of one byte": small(CUT, "--requests", 40, "--connections", 8, "--largest", 300, "--cut", 1),
    "segments of 100 bytes": small(PORT, "--maximum-segment", 100, "--cut", 500, "--largest", 5000),
    "many short connections": small(PORT, *SHORT_CONNECTIONS),
    "each request some times over": small(PORT, "--requests", 3000, "--repeat", 30, "--largest", 3000),
    "each request some times over, one at once": small(
        PORT, "--requests", 3000, "--repeat", 30, "--largest", 3000, "--depth", 1
    ),
    "a listener that waits for the first bytes": small(DEFERRED, *SHORT_CONNECTIONS),
    "IPv6": to(lambda stage: stage.server.ipv6),
    "a v4-mapped address": to(lambda stage: f"::ffff:{stage.server.ipv4}"),
    "MPTCP": small(MULTIPATH, "--mptcp"),
    "MPTCP that is refused": small(PORT, "--mptcp"),
    "TCP fast open": small(FAST, "--fast-open", *SHORT_CONNECTIONS),
    "requests that cross the end of the sequence numbers": edge("request_wrap"),
    "answers that cross it": edge("answer_wrap"),
    "keep-alive probes": edge("keep_alive"),
    "windows of zero": edge("zero_window"),
    "tunnels after an Upgrade and a CONNECT": edge("tunnels"),
    "requests that their client gives up": edge("given_up"),
}


# Which counter of the server's namespace shows that the hazard was really there, and how often it must.
PROOFS = {"MPTCP": ("MPTcpExtMPCapableACKRX", 20), "TCP fast open": ("TcpExtTCPFastOpenPassive", 150)}
# Its client resets many connections at once: over a bad wire nobody can say how many of them the server ever had.
RESETS_AT_ONCE = "answers that cross it"
LONG_OVER_A_BAD_WIRE = {
    *("requests that cross the end of the sequence numbers", RESETS_AT_ONCE),
    *("IPv6", "a v4-mapped address", "MPTCP that is refused", "segments of 100 bytes"),
}


def everywhere() -> Iterator[ParameterSet]:
    for hazard, impairment in itertools.product(HAZARDS, (PERFECT, BAD)):
        is_bad = impairment is BAD
        marks = [pytest.mark.long] if is_bad and hazard in LONG_OVER_A_BAD_WIRE else []
        yield pytest.param(hazard, impairment, id=f"{hazard}, {'bad' if is_bad else 'perfect'}", marks=marks)


@pytest.mark.parametrize(("hazard", "impairment"), list(everywhere()))
def test_exact_at_both_ends(served: Stage, hazard: str, impairment: Impairment) -> None:
    counter, least = PROOFS.get(hazard, ("", 0))
    before = network_counter(served, counter)
    outcome = served.watch(lambda: HAZARDS[hazard](served), impairment)
    assert network_counter(served, counter) - before >= least
    if impairment is BAD and hazard == RESETS_AT_ONCE:
        for name, side in outcome.sides.items():
            assert (side.missing, side.wrong) == (0, Counter()), name
    else:
        assert_exact(outcome)


def test_answers_that_come_while_the_socket_is_still_about_its_syn(served: Stage) -> None:
    """By fast open, on one host: the answer is there before the client's write has returned, and TCP looks at it only
    when that has let go of the socket."""
    beside = served.cluster.pod("beta", "beside")
    beside.run("sysctl", ["sysctl", "-qw", "net.ipv4.tcp_fastopen=3"])
    words = [served.server.ipv4, FAST, "--fast-open", "--requests", 3000, "--each", 1, "--largest", 200]
    before = network_counter(served, "TcpExtTCPFastOpenPassive")
    outcome = served.watch(lambda: served.ask("mixed_client.py", words, client=beside), client_host="beta")
    assert network_counter(served, "TcpExtTCPFastOpenPassive") - before > 2000
    assert_exact(outcome)


def network_counter(stage: Stage, name: str) -> int:
    told = stage.server.run("nstat", ["nstat", "-asz", name]) if name else ""
    return next((int(line.split()[1]) for line in told.splitlines()[::-1] if line.startswith(name) and name), 0)


def test_a_load_that_fails_by_itself_is_repeated_and_leaves_nothing_in_the_counts(stage: Stage) -> None:
    load, before = small(PORT), list(stage.failed)

    def fails_once() -> Truth:
        truth = load(stage)
        if len(stage.failed) == len(before):
            raise LoadFailed(["nothing was wrong with it"], truth.connections)
        return truth

    try:
        outcome = stage.watch(fails_once, BAD)
        assert len(stage.failed) == len(before) + 1
    finally:
        stage.failed = before
    assert_exact(outcome)


@WIRES
def test_a_reset_in_the_middle_of_a_head_makes_no_request(stage: Stage, impairment: Impairment) -> None:
    """Bytes may differ: what was sent before a reset need not arrive."""
    assert_counts(stage.watch(lambda: edge("half_heads")(stage), impairment))


@pytest.fixture
def unacknowledged(served: Stage) -> Iterator[Stage]:
    served.server.run("nft", ["nft", DROP_FIRST_ACK])
    yield served
    served.server.run("nft", ["nft", "delete table inet hazard"])


def test_the_listener_sees_the_first_request_where_the_last_ack_of_the_handshake_is_lost(unacknowledged: Stage) -> None:
    load = small(UNACKNOWLEDGED, "--requests", 120, "--connections", 40, "--each", 1, "--largest", 1000)
    outcome = unacknowledged.watch(lambda: load(unacknowledged))
    told = unacknowledged.server.run("nft", ["nft", "list", "table", "inet", "hazard"])
    assert int(told.partition("counter packets ")[2].split()[0]) >= outcome.truth.connections
    assert_exact(outcome)


@pytest.fixture
def turning_cpus(stage: Stage) -> Iterator[Stage]:
    """Packets of one flow are handled by one CPU and then by the other, and so at both at once."""
    script = (
        "mount -t sysfs sysfs /sys; cpus=/sys/class/net/eth0/queues/rx-0/rps_cpus; "
        "while :; do echo 1 > $cpus; sleep 0.001; echo 2 > $cpus; sleep 0.001; done"
    )
    turning = [one.start("turn", ["sh", "-c", script]) for one in (stage.client, stage.server)]
    yield stage
    assert all(program.running for program in turning), [program.tail() for program in turning]
    for program in turning:
        program.kill()
    for one in (stage.client, stage.server):
        one.run("turn-back", ["sh", "-c", script.partition("while")[0] + "echo 0 > $cpus"])


@WIRES
def test_two_cpus_at_one_connection(turning_cpus: Stage, impairment: Impairment) -> None:
    load = small(PORT, "--maximum-segment", 100, "--largest", 5000)
    assert_exact(turning_cpus.watch(lambda: load(turning_cpus), impairment))


@pytest.mark.parametrize("on", [1, 0])
@pytest.mark.parametrize("loss", [0, 0.01])
def test_segments_joined_and_cut_by_the_stack(stage: Stage, on: int, loss: float) -> None:
    """Client and server on one host, without a bad wire, which would cut them; the receiver's filter loses some."""
    near = next((one for one in stage.cluster.workloads if one.name == "near"), None) or stage.cluster.pod(
        "beta", "near"
    )
    ends = (near, stage.server)
    rules = (
        "add table inet loss; add chain inet loss in { type filter hook input priority 0; };"
        f"add rule inet loss in meta l4proto tcp numgen random mod 1000 < {round(loss * 1000)} drop"
    )
    for end in ends:
        end.run("offloads", [PYTHON, APPS / "offloads.py", "eth0", on])
        end.run("nft", ["nft", rules if loss else "add table inet loss"])
    words = [stage.server.ipv4, PORT, "--requests", 1500, "--depth", 8]
    outcome = stage.watch(lambda: stage.ask("mixed_client.py", words, near), client_host="beta")
    for end in ends:
        end.run("nft", ["nft", "delete table inet loss"])
        end.run("offloads", [PYTHON, APPS / "offloads.py", "eth0", 1])
    received = outcome.seen["client"].totals["client"]
    assert (received["bytes_received"] / received["packets_received"] > 1448) == bool(on)
    assert_exact(outcome)
