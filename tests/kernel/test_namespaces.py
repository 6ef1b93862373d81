"""Two network namespaces have two loopbacks: equal addresses, one cgroup and one command, and still two flows."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import AF_INET6, inet_pton

import pytest

from agent.identity.namespaces import own_netns_cookie
from agent.records import FlowSeen, ListenerSeen, OpenConnection
from tests.kernel.wire import SIDES, Counted, Wire, own_cgroup, wired

pytestmark = pytest.mark.kernel
NAMESPACE = f"plumbline-loopback-{os.getpid()}"
TCP, UDP = 6, 17
# A number of bytes each way over TCP, and as many datagrams of a client that connects and one that does not.
CALLS = """
import socket, sys
times = int(sys.argv[1])
with socket.create_server(("127.0.0.1", 18090)) as listener, socket.create_connection(("127.0.0.1", 18090)) as client:
    server, _ = listener.accept()
    for _ in range(times):
        client.sendall(b"x")
        server.sendall(server.recv(1))
        client.recv(1)
    server.close()
for connects in (True, False):
    with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 18091))
        if connects:
            sender.connect(("127.0.0.1", 18091))
        for _ in range(times):
            sender.send(b"x") if connects else sender.sendto(b"x", ("127.0.0.1", 18091))
            receiver.recv(1)
"""
OLDER = """
import socket, sys
client, server = map(int, sys.argv[1:])
input()
listener = socket.create_server(("127.0.0.1", server))
near = socket.socket()
near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
near.bind(("127.0.0.1", client))
near.connect(("127.0.0.1", server))
far, _ = listener.accept()
listener.close()
print("opened", flush=True)
for _ in sys.stdin:
    near.sendall(b"x")
    far.sendall(far.recv(1))
    near.recv(1)
    print("spoken", flush=True)
"""
# Loads the kernel's side as a kernel would take it whose programs may ask less, and tells what it counted.
ON_AN_OLDER_KERNEL = """
import json, subprocess, sys, time
from pathlib import Path
from agent.kernel import handover, loader, programs
from agent.kernel.source import SocketKernel
from agent.records import FlowSeen, ListenerSeen
able, cgroup, calls = sys.argv[1:]
READ_KERNEL = 113
programs.may_call = lambda kind, helper: helper == READ_KERNEL or str(kind) in able.split(",")
description, descriptors = loader.load(cgroup)
kernel = SocketKernel(handover._attached(json.loads(json.dumps(description)), descriptors))
for command in json.loads(calls):
    subprocess.run(command, check=True)
time.sleep(0.1)
seen = kernel.poll(0.1)
flows = {one.flow.id: one.flow for one in seen if isinstance(one, FlowSeen)}
listeners = [(one.netns_cookie, one.port, one.command, one.cgroup_id) for one in seen if isinstance(one, ListenerSeen)]
drained = kernel.drain(time.time_ns()).flows
rows = zip(drained["flow"].tolist(), drained["packets_received"].tolist(), drained["connections"].tolist())
found = [(flows[flow].transport, flows[flow].role, packets, opened) for flow, packets, opened in rows]
print(json.dumps([[one.part for one in kernel.missing], sorted(found), listeners]))
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        yield NAMESPACE
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """One for each test."""
    with wired() as wire:
        yield wire


def calls(times: int, namespace: str = "") -> list[str]:
    enter = ["ip", "netns", "exec", namespace] if namespace else []
    return [*enter, sys.executable, "-c", CALLS, str(times)]


def received(wire: Wire, seen: Counted) -> Counter[tuple[int, str, int]]:
    """Packets with payload by (transport, side, namespace's cookie)."""
    flows = {one.flow.id: one.flow for one in seen.announcements if isinstance(one, FlowSeen)}
    found: Counter[tuple[int, str, int]] = Counter()
    for flow_id, packets in seen.packets_received.items():
        flow = flows[flow_id]
        found[flow.transport, SIDES[flow.role], flow.netns_cookie] += packets
    return +found


def test_equal_addresses_of_two_namespaces_are_two_flows(wire: Wire, namespace: str) -> None:
    wire.counted()
    subprocess.run(calls(20, namespace), check=True)
    subprocess.run(calls(30), check=True)
    seen = wire.counted()
    ours = own_netns_cookie()
    listeners = [one.netns_cookie for one in seen.announcements if isinstance(one, ListenerSeen)]
    assert len(listeners) == 2 and ours in listeners
    theirs = next(cookie for cookie in listeners if cookie != ours)
    assert theirs
    expected = {(TCP, "client", theirs): 20, (TCP, "client", ours): 30}
    expected |= {(TCP, "server", theirs): 20, (TCP, "server", ours): 30}
    expected |= {(UDP, "server", theirs): 40, (UDP, "server", ours): 60}
    assert received(wire, seen) == expected
    clients = {one.flow.netns_cookie for one in seen.announcements if isinstance(one, FlowSeen) and one.flow.role == 1}
    assert clients == {ours, theirs}


def test_equal_connections_of_two_namespaces_that_are_older_each_have_their_role(namespace: str) -> None:
    """The same two addresses and ports, opened from the one end here and from the other one there. /proc alone tells:
    of TCP's own counts the programs are told nothing."""
    cases = {"": (18095, 18096), namespace: (18096, 18095)}
    with own_cgroup() as cgroup, ExitStack() as ended:
        programs = {ended.enter_context(older_connection(*ports, where)): ports for where, ports in cases.items()}
        wire = Wire(cgroup)
        ended.callback(wire.kernel.close)
        wire.kernel._control["bytes_sent_offset"][0] = 0
        wire.kernel._maps["control"].put(0, wire.kernel._control[0])
        for program, ports in programs.items():
            wire.kernel.adopt_connections(both_ends(program.pid, *ports))
        for program in programs:
            assert tell(program, "speak") == "spoken\n"
        seen = wire.counted()
        left = len(wire.kernel._maps["known_connections"].read_all()[0])
    flows = [one.flow for one in seen.announcements if isinstance(one, FlowSeen)]
    found = Counter((flow.netns_cookie == own_netns_cookie(), SIDES[flow.role], flow.port) for flow in flows)
    ours = {(True, "client", 18096): 1, (True, "server", 18096): 1}
    assert found == ours | {(False, "client", 18095): 1, (False, "server", 18095): 1}
    assert left == 0


@contextmanager
def older_connection(client: int, server: int, namespace: str) -> Iterator["subprocess.Popen[str]"]:
    """Open until the end."""
    enter = ["ip", "netns", "exec", namespace] if namespace else []
    words = [*enter, sys.executable, "-c", OLDER, str(client), str(server)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert tell(program, "open") == "opened\n"
        yield program


def tell(program: "subprocess.Popen[str]", word: str) -> str:
    """Its answer."""
    assert program.stdin is not None and program.stdout is not None
    program.stdin.write(f"{word}\n")
    program.stdin.flush()
    return program.stdout.readline()


def both_ends(process_id: int, client: int, server: int) -> list[OpenConnection]:
    """As the agent reads them."""
    number, here = Path(f"/proc/{process_id}/ns/net").stat().st_ino, inet_pton(AF_INET6, "::ffff:127.0.0.1")
    return [
        OpenConnection(here, client, here, server, 1, number),
        OpenConnection(here, server, here, client, 2, number),
    ]


def test_a_connect_without_a_route_is_its_namespaces(wire: Wire, namespace: str) -> None:
    program = "import socket; socket.socket().connect_ex(('198.51.100.7', 80)); import time; time.sleep(1.1)"
    subprocess.run(["ip", "netns", "exec", namespace, sys.executable, "-c", program], check=True)
    flows = wire.kernel.drain(0).flows
    (flow_id,) = flows["flow"][flows["unreachable"] > 0].tolist()
    flow = wire.kernel.known_flow(flow_id)
    assert flow is not None and flow.netns_cookie not in (0, own_netns_cookie())


@pytest.mark.parametrize("able", ["13", ""], ids=["callbacks may ask, packets may not", "neither may"])
def test_a_kernel_that_tells_less_is_asked_less(namespace: str, able: str) -> None:
    commands = json.dumps([calls(20, namespace), calls(30)])
    with own_cgroup() as cgroup:
        cgroup_id = cgroup.stat().st_ino
        told = subprocess.run(
            [sys.executable, "-c", ON_AN_OLDER_KERNEL, able, str(cgroup), commands],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": _path()},
        ).stdout  # fmt: skip
    missing, found, listeners = json.loads(told)
    assert not missing
    command = Path(sys.executable).name
    assert [row[1:] for row in listeners] == [[18090, command, cgroup_id]] * 2
    assert len({cookie for cookie, *_ in listeners} - {0}) == 2
    rows: dict[tuple[int, int], list[int]] = {}
    for transport, role, packets, _ in found:
        rows.setdefault((transport, role), []).append(packets)
    # Who connects, and who binds, is told by every kernel that we support.
    assert rows[TCP, 2] == rows[TCP, 1] == [20, 30]
    assert sum(rows[UDP, 2]) == 100


def _path() -> str:
    root = Path(__file__).resolve().parents[2]
    return f"{root}:{root / 'protos'}"
