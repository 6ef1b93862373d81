"""Two network namespaces have two loopbacks: equal addresses, one cgroup and one command, and still two flows."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.identity.namespaces import own_netns_cookie
from agent.records import FlowSeen, ListenerSeen
from tests.kernel.wire import SIDES, Counted, Wire, own_cgroup

pytestmark = pytest.mark.kernel
NAMESPACE = "plumbline-loopback"
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
# Loads the kernel's side as a kernel would take it whose programs may ask less, and tells what it counted.
ON_AN_OLDER_KERNEL = """
import json, subprocess, sys, time
from pathlib import Path
from agent.kernel import handover, loader, maps
from agent.kernel.source import SocketKernel
able, cgroup, calls = sys.argv[1:]
maps.may_call = lambda kind, helper: str(kind) in able.split(",")
description, descriptors = loader.load(cgroup)
kernel = SocketKernel(handover._attached(json.loads(json.dumps(description)), descriptors))
for command in json.loads(calls):
    subprocess.run(command, check=True)
time.sleep(0.1)
flows = {one.flow.id: one.flow for one in kernel.poll(0.1) if hasattr(one, "flow")}
drained = kernel.drain(time.time_ns()).flows
rows = zip(drained["flow"].tolist(), drained["packets_received"].tolist(), drained["connections"].tolist())
found = [(flows[flow].transport, flows[flow].role, packets, opened) for flow, packets, opened in rows]
print(json.dumps([[one.part for one in kernel.missing], sorted(found)]))
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
    with own_cgroup() as cgroup:
        wire = Wire(cgroup)
        try:
            yield wire
        finally:
            wire.kernel.close()


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


def test_a_connect_without_a_route_is_its_namespaces(wire: Wire, namespace: str) -> None:
    program = "import socket; socket.socket().connect_ex(('198.51.100.7', 80)); import time; time.sleep(1.1)"
    subprocess.run(["ip", "netns", "exec", namespace, sys.executable, "-c", program], check=True)
    flows = wire.kernel.drain(0).flows
    (flow_id,) = flows["flow"][flows["unreachable"] > 0].tolist()
    flow = wire.kernel.known_flow(flow_id)
    assert flow is not None and flow.netns_cookie not in (0, own_netns_cookie())


@pytest.mark.parametrize(
    ("able", "missing", "tcp_servers"),
    [("13", [], [20, 30]), ("", ["network namespaces of servers"], [50])],
    ids=["callbacks may ask, packets may not", "neither may"],
)
def test_a_kernel_that_tells_less_is_asked_less(
    namespace: str, able: str, missing: list[str], tcp_servers: list[int]
) -> None:
    commands = json.dumps([calls(20, namespace), calls(30)])
    with own_cgroup() as cgroup:
        told = subprocess.run(
            [sys.executable, "-c", ON_AN_OLDER_KERNEL, able, str(cgroup), commands],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": _path()},
        ).stdout  # fmt: skip
    parts, found = json.loads(told)
    assert parts == missing
    rows: dict[tuple[int, int], list[int]] = {}
    for transport, role, packets, _ in found:
        rows.setdefault((transport, role), []).append(packets)
    assert rows[TCP, 2] == tcp_servers
    assert rows[TCP, 1] == [20, 30]  # who connects is told by every kernel that we support
    assert sum(rows[UDP, 2]) == 100


def _path() -> str:
    root = Path(__file__).resolve().parents[2]
    return f"{root}:{root / 'protos'}"
