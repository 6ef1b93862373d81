"""A server that faces the internet: its clients from there are one peer, those from inside stay apart."""

import json
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from plumbline.v1 import flow_pb2
from plumbline.v1.addresses import MANY

from agent.identity.inside import always_inside
from agent.records import KernelFlow
from tests.kernel.wire import Counted, Wire, wired

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
CROWD = Path(__file__).with_name("crowd.py")
SAID = "hello, server"
CASES = {
    "tcp": ("203.0.255.254", "203.0.0.0", "10.1.0.0", 20_000),
    "udp": ("203.0.255.254", "203.0.0.0", "10.1.0.0", 5_000),
    "tcp over IPv6": ("2001:db8:ffff::1", "2001:db8:1::", "", 500),
}
INSIDERS = 50


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with wired() as wire:
        wire.kernel.know_inside(always_inside([]))
        yield wire


def crowd(wire: Wire, transport: str, clients: list[str], server: str, port: int) -> None:
    job = {"transport": transport, "clients": clients, "server": server, "port": port, "say": SAID}
    command = ["unshare", "--net", sys.executable, str(CROWD), str(wire.cgroup)]
    # Its clients are not watched: they are not in the cgroup, where this process is only for its server's sake.
    home = wire.cgroup.parent / "cgroup.procs"
    subprocess.run(
        ["sh", "-c", f'echo $$ > {home} && exec "$@"', "sh", *command], input=json.dumps(job), text=True, check=True
    )


def addresses(first: str, count: int) -> list[str]:
    begin = ip_address(first)
    return [str(begin + number) for number in range(1, count + 1)]


def by_peer(seen: Counted) -> dict[bytes, KernelFlow]:
    """Every flow must be the server's."""
    assert all(flow.role == flow_pb2.ROLE_SERVER for flow in seen.flows)
    return {flow.peer_address: flow for flow in seen.flows}


@pytest.mark.parametrize("name", CASES)
def test_twenty_thousand_clients_from_outside_are_one_flow(wire: Wire, name: str) -> None:
    server, outside, inside, count = CASES[name]
    transport = name.split()[0]
    port = 8080 + list(CASES).index(name)
    wire.counted()
    insiders = addresses(inside, INSIDERS) if inside else []
    crowd(wire, transport, [*insiders, *addresses(outside, count)], server, port)
    seen = wire.counted()
    flows = by_peer(seen)
    assert len(flows) == 1 + len(insiders) and MANY in flows
    assert flows[MANY].port == port
    clients = count + len(insiders)
    assert (seen.totals["server"]["bytes_received"], seen.totals["server"]["bytes_sent"]) == (clients * len(SAID),) * 2
    if transport == "tcp":
        assert seen.totals["server"]["connections"] == seen.totals["server"]["closed"] == clients
        assert seen.turns["server"] == clients
    else:
        assert seen.totals["server"]["packets_received"] == clients
    many = seen.rows[flows[MANY].id]
    assert (many["bytes_received"], many["bytes_sent"]) == (count * len(SAID),) * 2
    assert (seen.lost, seen.dropped) == ({}, {})
