"""Bytes over a real socket pair under the real programs: what was said, and what the kernel counted.

The calling process moves into a cgroup of its own for the time, so that nothing else is counted.
"""

import itertools
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from plumbline.v1 import flow_pb2
from plumbline.v1.columns import CONNECT, HTTP_METHODS

from agent.kernel.source import SocketKernel, open_kernel
from agent.records import Announcement, FlowSeen, KernelFlow, NameSeen
from agent.routes import fold
from tests.cluster import leftovers

_NUMBERS = itertools.count(1)
ANSWERED = flow_pb2.OUTCOME_ANSWERED
OUTCOMES: dict[int, str] = {
    flow_pb2.OUTCOME_ANSWERED: "answered",
    flow_pb2.OUTCOME_UNANSWERED_CLIENT: "client",
    flow_pb2.OUTCOME_UNANSWERED_SERVER: "server",
    flow_pb2.OUTCOME_STREAMED: "streamed",
}


@contextmanager
def own_cgroup() -> Iterator[Path]:
    """A new cgroup with the calling process in it; afterwards the process is back and the cgroup gone."""
    mount = leftovers.cgroup_mount()
    line = next(row for row in Path("/proc/self/cgroup").read_text().splitlines() if row.startswith("0::"))
    home = mount / line.removeprefix("0::/")
    mine = mount / f"plumbline-wire-{os.getpid()}-{next(_NUMBERS)}"
    mine.mkdir()
    (mine / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield mine
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        # What a test that failed has left there.
        leftovers.end_all(mine)
        for directory, _, _ in os.walk(mine, topdown=False):
            Path(directory).rmdir()


@dataclass
class Counted:
    """What the kernel counted, in words: (side, method, route, status or who ended it) -> requests."""

    requests: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    connects: Counter[str] = field(default_factory=Counter)
    dns: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    totals: dict[str, Counter[str]] = field(
        default_factory=lambda: {"client": Counter(), "server": Counter(), "": Counter()}
    )
    packets_received: Counter[int] = field(default_factory=Counter)  # by flow
    rows: dict[int, dict[str, int]] = field(default_factory=dict)  # the counters of each flow
    flows: list[KernelFlow] = field(default_factory=list)  # that were counted for
    request_rows: list[dict[str, int]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    announcements: list[Announcement] = field(default_factory=list)

    def add(self, later: "Counted") -> None:
        """What was counted since; reasons are counted from call to call too."""
        self.requests += later.requests
        self.turns += later.turns
        self.connects += later.connects
        self.dns += later.dns
        self.packets_received += later.packets_received
        for side, totals in later.totals.items():
            self.totals[side] += totals
        self.hosts |= later.hosts
        for mine, more in ((self.lost, later.lost), (self.dropped, later.dropped)):
            mine.update(Counter(mine) + Counter(more))
        self.announcements += later.announcements


SIDES: dict[int, str] = {flow_pb2.ROLE_CLIENT: "client", flow_pb2.ROLE_SERVER: "server"}


class Wire:
    """The kernel's side, read as a test wants it."""

    def __init__(self, cgroup: Path) -> None:
        self.kernel: SocketKernel = open_kernel(cgroup)
        self.cgroup = cgroup
        self._flows: dict[int, KernelFlow] = {}
        self.names: dict[int, str] = {}

    def counted(self) -> Counted:
        """Everything since the last call."""
        seen = Counted()
        time.sleep(0.05)
        seen.announcements = self.hear(0.05)
        drained = self.kernel.drain(time.time_ns())
        seen.lost, seen.dropped = drained.lost, drained.dropped
        for row in _rows(drained.flows):
            flow = self.flow(row["flow"])
            side = SIDES.get(flow.role, "")
            seen.flows.append(flow)
            seen.rows[flow.id] = row
            seen.packets_received[row["flow"]] += row["packets_received"]
            seen.totals[side].update({name: count for name, count in row.items() if name not in ("flow", "protocols")})
        for row in _rows(drained.requests):
            seen.request_rows.append(row)
            self._request(seen, row)
        return seen

    def hear(self, timeout_seconds: float) -> list[Announcement]:
        """What is announced in that time: a long load needs it now and then, or the ring is full."""
        heard = self.kernel.poll(timeout_seconds)
        for announcement in heard:
            if isinstance(announcement, FlowSeen):
                self._flows[announcement.flow.id] = announcement.flow
            elif isinstance(announcement, NameSeen):
                self.names[announcement.id] = self._text(announcement)
        return heard

    def name(self, name_id: int) -> str:
        return self.names.get(name_id, "(other)" if name_id == 1 else "?")

    def _request(self, seen: Counted, row: dict[str, int]) -> None:
        side = SIDES.get(self.flow(row["flow"]).role, "")
        name = self.name(row["name"])
        if row["protocol"] == flow_pb2.PROTOCOL_TCP:
            (seen.connects if row["kind"] == CONNECT else seen.turns)[side] += row["count"]
        elif row["protocol"] == flow_pb2.PROTOCOL_DNS:
            seen.dns[side, name, row["kind"], str(row["code"]) if row["outcome"] == ANSWERED else "timeout"] += row[
                "count"
            ]
        else:
            end = str(row["code"]) if row["outcome"] == ANSWERED else OUTCOMES[row["outcome"]]
            seen.requests[side, HTTP_METHODS[row["operation"]], name, end] += row["count"]
            if row["host"]:
                seen.hosts.add(self.names.get(row["host"], "?"))

    def flow(self, flow_id: int) -> KernelFlow:
        if flow_id not in self._flows:
            known = self.kernel.known_flow(flow_id)
            assert known is not None, f"flow {flow_id:#x} was never announced"
            self._flows[flow_id] = known
        return self._flows[flow_id]

    @staticmethod
    def _text(name: NameSeen) -> str:
        return fold(name.raw) if name.kind == flow_pb2.NAME_KIND_ROUTE else name.raw.decode("utf-8", "backslashreplace")


@contextmanager
def wired() -> Iterator[Wire]:
    """For a new cgroup with the calling process in it."""
    with own_cgroup() as cgroup:
        wire = Wire(cgroup)
        try:
            yield wire
        finally:
            wire.kernel.close()


def _rows(columns: object) -> list[dict[str, int]]:
    assert isinstance(columns, dict)
    names = list(columns)
    return [dict(zip(names, map(int, row), strict=True)) for row in zip(*columns.values(), strict=True)]


@contextmanager
def connection(family: int = socket.AF_INET, mapped: bool = False) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection over loopback: the client's socket and the server's."""
    address = "::1" if family == socket.AF_INET6 and not mapped else "127.0.0.1"
    with socket.create_server((address, 0), family=socket.AF_INET if mapped else family) as listener:
        client = socket.socket(family, socket.SOCK_STREAM)
        port = listener.getsockname()[1]
        client.connect((f"::ffff:{address}" if mapped else address, port))
        server, _ = listener.accept()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.settimeout(5)
        try:
            yield client, server
        finally:
            client.close()
            server.close()


def say(sender: socket.socket, receiver: socket.socket, *pieces: bytes) -> None:
    """Each piece in a segment of its own, received before the next is sent."""
    for piece in pieces:
        sender.sendall(piece)
        got = 0
        while got < len(piece):
            got += len(receiver.recv(65536))
