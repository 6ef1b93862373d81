"""Connections on the real kernel: why they failed, who listens."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.kernel.source import open_kernel
from agent.records import KernelRefused, ListenerSeen
from tests.kernel.bpf import loaded, still_there
from tests.kernel.wire import Wire, connection, own_cgroup

pytestmark = pytest.mark.kernel
REASONS = ("refused", "timeout", "reset", "unreachable", "other")


@pytest.fixture(scope="module")
def walls() -> Iterator[str]:
    """A namespace with one address behind a packet filter: 1001 drops, 1002 answers with an ICMP error."""
    name = "plumbline-walls"
    rules = (
        "add table inet t; add chain inet t i { type filter hook input priority 0; };"
        "add rule inet t i tcp dport 1001 drop;"
        "add rule inet t i tcp dport 1002 reject with icmpx type host-unreachable"
    )
    with ExitStack() as undo:
        run("ip", "netns", "add", name)
        undo.callback(run, "ip", "netns", "del", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "route", "add", "unreachable", "198.51.100.0/24")
        run("ip", "netns", "exec", name, "nft", rules)
        yield name


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def fails(wire: Wire, namespace: str, host: str, port: int, seconds: float | None) -> dict[str, int]:
    program = f"import socket; s = socket.socket(); s.settimeout({seconds}); s.connect_ex(({host!r}, {port}))"
    run("ip", "netns", "exec", namespace, sys.executable, "-c", program)
    time.sleep(1.1)  # a connect without a route is known as such after a second
    client = wire.counted().totals["client"]
    assert not client["connections"]
    return {reason: client[reason] for reason in REASONS if client[reason]}


@pytest.mark.parametrize(
    ("host", "port", "seconds", "reason"),
    [
        ("127.0.0.1", 81, 5, "refused"),
        ("127.0.0.1", 1001, 1.5, "timeout"),
        ("127.0.0.1", 1001, 0.3, "other"),
        ("127.0.0.1", 1002, None, "unreachable"),
        ("198.51.100.7", 80, 5, "unreachable"),
    ],
)
def test_a_failed_connect_has_its_reason(
    wire: Wire, walls: str, host: str, port: int, seconds: float | None, reason: str
) -> None:
    wire.counted()
    assert fails(wire, walls, host, port, seconds) == {reason: 1}


def test_a_connection_without_a_byte_is_no_failure(wire: Wire) -> None:
    wire.counted()
    with connection():
        pass
    seen = wire.counted()
    for side in ("client", "server"):
        totals = seen.totals[side]
        assert totals["connections"] == totals["closed"] == 1
        assert not any(totals[reason] for reason in REASONS)


def test_a_listener_is_announced_before_anybody_calls(wire: Wire) -> None:
    wire.counted()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        told = [row for row in wire.counted().announcements if isinstance(row, ListenerSeen)]
    assert [(row.port, row.address) for row in told] == [(port, socket.inet_pton(socket.AF_INET6, "::1"))]
    assert told[0].cgroup_id == wire.cgroup.stat().st_ino


def test_what_is_no_cgroup_v2_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(KernelRefused, match="cgroup v2 hierarchy; mount one"):
        open_kernel(tmp_path)
    with pytest.raises(KernelRefused, match="no directory"):
        open_kernel(tmp_path / "none")


def test_without_rights_it_says_which_are_missing() -> None:
    program = (
        "from pathlib import Path\nfrom agent.kernel.source import open_kernel\n"
        "from agent.records import KernelRefused\n"
        f"try: open_kernel(Path({str(Path('/sys/fs/cgroup/unified'))!r}))\n"
        "except KernelRefused as refused: print(refused)"
    )
    with own_cgroup() as cgroup:
        program = program.replace("/sys/fs/cgroup/unified", str(cgroup))
        command = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-c", program]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are missing" in told


def test_nothing_stays_in_the_kernel() -> None:
    with own_cgroup() as cgroup:
        wire = Wire(cgroup)
        there = loaded(cgroup, os.getpid())
        assert len(there.links) == 5 and len(there.programs) >= 5
        wire.kernel.close()
        time.sleep(0.2)
        assert still_there(there) == []
