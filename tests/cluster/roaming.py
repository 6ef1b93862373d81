"""Addresses that move between pods within milliseconds, and clients that say what they did while it happened.

Counting belongs to the callers and servers themselves; what the graph must say is made of it in `Roaming.truth`.
"""

import json
import signal
import socket
import subprocess
import time
from collections import Counter
from types import TracebackType
from typing import Any, TypeAlias

from tests.cluster import network, processes
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, Program

Answer: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[str, str]


class Caller:
    """A program in a workload that calls when it is told to."""

    def __init__(self, cluster: Cluster, workload: Workload) -> None:
        path = cluster.directory / f"{workload.host}-{workload.name}.orders"
        workload.start("caller", [PYTHON, APPS / "caller.py", path])
        processes.wait_until(path.exists, f"{workload.name} takes orders")
        self.workload = workload
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")

    def call(self, address: str, port: int, requests: int, **more: Any) -> Answer:
        order = {"address": address, "port": port, "requests": requests, **more}
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        answer: Answer = json.loads(self._lines.readline())
        return answer

    def __enter__(self) -> "Caller":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()


class Serving:
    """apps/server.py in a workload, and how many requests it has answered by now, by client's address."""

    def __init__(self, cluster: Cluster, workload: Workload, port: int) -> None:
        self.workload, self.port = workload, port
        self._file = cluster.directory / f"{workload.host}-{workload.name}-{port}.served"
        command = [PYTHON, APPS / "server.py", "--listen", f"[::]:{port}", "--counts", self._file]
        self.program: Program = workload.start(f"server-{port}", command, listens=[f"[::]:{port}"])

    def served(self) -> Counter[str]:
        rows = self.program.counts(self._file, signal.SIGUSR1)["rows"]
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row["client"]] += row["requests"]
        return counts


def move(address: str, giver: Workload, taker: Workload, cluster: Cluster) -> float:
    """From one pod to another, of the same or of another host; then everybody else finds the new one. Gives for how
    many seconds nobody had it."""
    version = "-6" if network.is_ipv6(address) else "-4"
    bits, no_probe = ("128", " nodad") if version == "-6" else ("32", "")
    began = time.monotonic()
    _ip(giver.place.namespace.name, [f"addr del {address}/{bits} dev eth0"])
    _ip(taker.place.namespace.name, [f"addr add {address}/{bits} dev eth0{no_probe}"])
    gap_seconds = time.monotonic() - began
    lead(address, taker, cluster)
    return gap_seconds


def give(address: str, taker: Workload, cluster: Cluster) -> None:
    """To a pod, when nobody has it yet."""
    bits, no_probe = ("128", " nodad") if network.is_ipv6(address) else ("32", "")
    _ip(taker.place.namespace.name, [f"addr add {address}/{bits} dev eth0{no_probe}"])
    lead(address, taker, cluster)


def lead(address: str, taker: Workload, cluster: Cluster) -> None:
    """Every host's way to an address goes to the pod that has it now, by that pod's own address."""
    for name, host in cluster.hosts.items():
        is_ipv6 = network.is_ipv6(address)
        near = taker.ipv6 if is_ipv6 else taker.ipv4
        other = cluster.hosts[taker.host].ipv6 if is_ipv6 else cluster.hosts[taker.host].ipv4
        bits = "128" if is_ipv6 else "32"
        _ip(host.namespace, [f"route replace {address}/{bits} via {near if name == taker.host else other}"])


def _ip(namespace: str, lines: list[str]) -> None:
    subprocess.run(
        ["ip", "-n", namespace, "-batch", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


def own_ports(workload: Workload, first: int) -> None:
    """Two pods that have one address in turn never use one pair of ends at once."""
    _set(workload, f"net.ipv4.ip_local_port_range={first} {first + 9999}")


def take_no_redirects(workload: Workload) -> None:
    """Or it would go on sending to who had an address before, on a hint of its host."""
    both = [f"net.{version}.conf.{device}" for version in ("ipv4", "ipv6") for device in ("all", "eth0")]
    _set(workload, *(f"{one}.accept_redirects=0" for one in both))


def _set(workload: Workload, *settings: str) -> None:
    """In the workload's own namespace."""
    subprocess.run(["nsenter", f"--net={workload.place.namespace}", "sysctl", "-qw", *settings], check=True)
