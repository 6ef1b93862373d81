"""The real kernel as the rest of the agent sees it: announcements, drained columns, and a few switches."""

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from plumbline.v1 import columns, flow_pb2

from agent import clock
from agent.kernel import handover, shares
from agent.kernel.announcements import decode, kernel_flow
from agent.kernel.connecting import Connecting
from agent.kernel.counted import appended, flow_columns, request_columns, without_zeros
from agent.kernel.flowcounts import FlowCounts
from agent.kernel.libbpf import KernelCallFailed
from agent.kernel.maps import Ring, Rows, wait_for_running_programs
from agent.kernel.rowcounts import RowCounts
from agent.records import (
    FLOW_OTHER,
    OTHER,
    Announcement,
    Drained,
    KernelFlow,
    Limits,
    MissingPart,
    NameSeen,
    Offer,
    OpenConnection,
    Stand,
)
from agent.settings import DEFAULT_CACHE

NAMED = 2**64 - 1
SHED_LATENCY, SHED_NAMES = 1, 2
DNS_TIMEOUT_NS = 5_000_000_000
# Why a row of the agent's found no room in a table that the kernel's side reads; see docs/kernel.md.
NO_ROOM = {
    "inside": "inside_full",
    "named_cgroups": "named_cgroups_full",
    "known_connections": "known_connections_full",
    "quic_names": "quic_names_full",
}


def open_kernel(
    cgroup_root: Path,
    offer: Offer | None = None,
    let_go: Callable[[], None] = lambda: None,
    cache: Path | None = DEFAULT_CACHE,
) -> "SocketKernel":
    """Compiles, unless that is in the cache, loads and attaches; on an old agent's maps where it offers those of our
    layout: then `go_on` must be called before they are drained. With another layout `let_go` is called, which returns
    when the old agent has ended.

    Raises KernelRefused with the reason and the remedy, and what `let_go` raises.
    """
    return SocketKernel(handover.receive(cgroup_root, offer, let_go, cache))


class SocketKernel:
    """Implements agent.records.Kernel on the attached programs. One caller at a time."""

    def __init__(self, attached: handover.Attached) -> None:
        self.attached: list[str] = attached.programs
        self.missing: list[MissingPart] = attached.missing
        self.taken_over = attached.taken_over
        self.cache = attached.cache
        self._handed = attached
        self._maps = attached.maps
        self._reasons = attached.losses + attached.drops
        self._reported = dict.fromkeys(self._reasons, 0)
        self._no_room: Counter[str] = Counter()
        self._connecting = Connecting(self._maps["connecting"])
        self._flow_counts = FlowCounts(self._maps)
        self._row_counts = RowCounts(self._maps)
        # What is in the map: an old agent may have put ranges there that are no longer ours.
        self._inside = {(one["address"].tobytes(), int(one["length"])) for one in self._maps["inside"].each_key()}
        self._closed = False
        self._control = self._control_row()
        self._generation = int(self._control["generation"][0])
        self._drained_ns = clock.now_ns()
        self._heard: list[Announcement] = []
        self._ring = Ring(self._maps["announcements"].descriptor, self._on_record)

    def kernel_memory_bytes(self) -> int:
        """Maps only; a socket's own storage is charged as sockets come."""
        return sum(table.memory_bytes() for table in self._maps.values())

    def poll(self, timeout_seconds: float) -> list[Announcement]:
        self._ring.poll(int(timeout_seconds * 1000))
        heard, self._heard = self._heard, []
        for announcement in heard:
            if isinstance(announcement, NameSeen):
                self._mark_named(announcement.id)
        return heard

    def drain(self, now_ns: int) -> Drained:
        idle = self._generation & 1
        self._set_generation(self._generation + 1)
        if not wait_for_running_programs():
            self._wait_by_map_update()
        flows = flow_columns(*self._flow_counts.take(idle))
        requests = request_columns(*self._row_counts.take(idle))
        flows = appended(without_zeros(flows), self._connecting.take_unroutable())
        requests = appended(requests, self._dns_timeouts())
        lost, dropped = self._losses()
        from_ns, self._drained_ns = self._drained_ns, now_ns
        return Drained(from_ns, now_ns, flows, requests, lost, dropped)

    def known_flow(self, flow_id: int, /) -> KernelFlow | None:
        if flow_id == FLOW_OTHER:
            return OTHER
        if flow_id in self._connecting.known:
            return self._connecting.known[flow_id]
        row = self._maps["flows"].get(flow_id)
        return None if row is None else kernel_flow(flow_id, row[0], 0)

    def mark_named_cgroups(self, ids: Iterable[int]) -> None:
        for cgroup_id in ids:
            self._put_if_room("named_cgroups", cgroup_id, 1)

    def keep_named_cgroups(self, ids: Iterable[int]) -> None:
        table, kept = self._maps["named_cgroups"], set(ids)
        for cgroup_id in table.read_all()[0].tolist():
            if cgroup_id not in kept:
                table.remove(cgroup_id)

    def name_connection(self, connection: int, name: int) -> None:
        self._put_if_room("quic_names", connection, name)

    def flows_of(self, cgroup_ids: Iterable[int]) -> list[int]:
        wanted = set(cgroup_ids)
        keys, rows = self._maps["flows"].read_all()
        found: list[int] = keys[np.isin(rows["cgroup_id"], np.array(sorted(wanted), "<u8"))].tolist()
        return found + [one for one, flow in self._connecting.known.items() if flow.cgroup_id in wanted]

    def adopt_connections(self, connections: list[OpenConnection]) -> None:
        told = bool(self._control["skc_net_offset"][0] and self._control["inum_offset"][0])
        for known in connections:
            if not known.role:
                continue  # the kernel's side will find out
            key = (
                np.frombuffer(known.local_address, "<u8"),
                np.frombuffer(known.peer_address, "<u8"),
                known.local_port,
                known.peer_port,
                known.network_namespace if told else 0,
            )
            self._put_if_room("known_connections", key, known.role)

    def forget_flows(self, ids: Iterable[int]) -> None:
        for flow_id in ids:
            self._maps["flows"].remove(flow_id)
        self._flow_counts.forget(ids)
        self._connecting.forget(ids)

    def forget_names(self, ids: Iterable[int]) -> None:
        for name_id in ids:
            self._maps["names"].remove(name_id)
        # Last: a connection that looks its name up before this may find it, and would keep what it found.
        self._forget_known_lines()

    def correct_shares(self) -> None:
        shares.correct(self._maps, self._generation)

    def know_inside(self, ranges: Iterable[tuple[bytes, int]]) -> None:
        table, wanted = self._maps["inside"], set(ranges)
        for address, length in self._inside - wanted:
            table.remove((length, np.frombuffer(address, "<u4")))
        without_room = {
            (address, length)
            for address, length in sorted(wanted - self._inside)
            if not self._put_if_room("inside", (length, np.frombuffer(address, "<u4")), 1)
        }
        self._inside = wanted - without_room
        self._control["inside_known"][0] = 1
        self._maps["control"].put(0, self._control[0])

    def limit(self, limits: Limits) -> None:
        row = self._control
        as_before = bool(row["shed"][0] & SHED_NAMES) is limits.without_names
        row["parser_budget"][0] = limits.parsers
        row["names_each_endpoint"][0] = limits.names_each_endpoint
        row["flows_each_endpoint"][0] = limits.flows_each_endpoint
        row["rows_each_endpoint"][0] = limits.rows_each_endpoint
        row["shed"][0] = SHED_LATENCY * limits.without_fine_latency | SHED_NAMES * limits.without_names
        self._maps["control"].put(0, row[0])
        if not as_before:
            self._forget_known_lines()

    def parsers(self) -> int:
        used = self._maps["parsers"].get(0)
        return 0 if used is None else int(used[0])

    def offer(self) -> Offer:
        maps = {name: table.descriptor for name, table in self._maps.items()}
        return Offer(self._handed.layout, maps, self._handed.links)

    def stand(self) -> Stand:
        return Stand(self._drained_ns, dict(self._reported))

    def go_on(self, stand: Stand | None) -> None:
        self._control = self._control_row()
        for member, value in self._handed.settings.items():
            self._control[member] = value
        self._set_generation(int(self._control["generation"][0]))
        self._flow_counts = FlowCounts(self._maps)
        self._row_counts = RowCounts(self._maps)
        if stand is not None:
            self._drained_ns = stand.drained_ns
            self._reported |= {reason: stand.reported.get(reason, 0) for reason in self._reasons}
            return
        # Nobody has the texts of the names that the old agent knew: each is announced again when it is met.
        self._drained_ns = clock.now_ns()
        self._reported = dict(zip(self._reasons, self._maps["losses"].read_all()[1].tolist(), strict=True))
        self.forget_names(self._maps["names"].read_all()[0].tolist())

    def detach(self) -> None:
        handover.detach(self._handed)

    def close(self) -> None:
        """Once or more: whoever hands over closes before it ends."""
        if self._closed:
            return
        self._closed = True
        self._ring.close()
        handover.close(self._handed)

    def _on_record(self, record: bytes) -> None:
        announcement = decode(record, self._handed.records, clock.kernel_offset_ns())
        if announcement is not None:
            self._heard.append(announcement)

    def _set_generation(self, generation: int) -> None:
        self._generation = self._control["generation"][0] = generation & 0xFFFFFFFF
        self._maps["control"].put(0, self._control[0])

    def _forget_known_lines(self) -> None:
        """Connections look names up anew."""
        self._control["names_epoch"][0] += 1
        self._maps["control"].put(0, self._control[0])

    def _mark_named(self, name_id: int) -> None:
        state = self._maps["names"].get(name_id)
        if state is None:
            self._no_room["names_untold"] += 1
            return
        state["announced_ns"][0] = NAMED
        self._maps["names"].put(name_id, state[0])

    def _control_row(self) -> Rows:
        row = self._maps["control"].get(0)
        assert row is not None, "the loader fills the control row before it attaches"
        return row

    def _wait_by_map_update(self) -> None:
        """Setting a map in a map returns only when no program run can still see the old one."""
        self._maps["flow_counts"].put(0, self._maps["flow_counts_0"].descriptor)

    def _put_if_room(self, table: str, key: Any, value: Any) -> bool:
        """Whether there was."""
        try:
            self._maps[table].put(key, value)
        except KernelCallFailed as failed:
            if failed.errno not in (errno.E2BIG, errno.ENOSPC, errno.ENOMEM):
                raise
            self._no_room[NO_ROOM[table]] += 1
            return False
        return True

    def _dns_timeouts(self) -> columns.Columns:
        table = self._maps["dns_queries"]
        keys, rows = table.read_all()
        old = rows["first_ns"].astype(np.int64) < time.monotonic_ns() - DNS_TIMEOUT_NS
        taken = np.array([table.remove(key) for key in keys[old]], bool)
        keys, rows = keys[old][taken], rows[old][taken]
        counted = {name: np.zeros(len(keys), kind) for name, kind in columns.REQUEST_TYPES.items() if name != "bucket"}
        counted["flow"], counted["name"], counted["host"] = keys["flow"], rows["name"], np.zeros(len(keys), "<u8")
        counted["kind"], counted["count"] = keys["kind"], rows["count"]
        counted["protocol"] += flow_pb2.PROTOCOL_DNS
        counted["outcome"] += flow_pb2.OUTCOME_UNANSWERED_SERVER
        return counted

    def _losses(self) -> tuple[dict[str, int], dict[str, int]]:
        totals = self._maps["losses"].read_all()[1]
        deltas = {}
        for reason, total in zip(self._reasons, totals.tolist(), strict=True):
            deltas[reason] = total - self._reported[reason]
            self._reported[reason] = total
        lost = {reason: deltas[reason] for reason in self._handed.losses if deltas[reason]}
        dropped = {reason: deltas[reason] for reason in self._handed.drops if deltas[reason]} | self._no_room
        self._no_room.clear()
        if self._connecting.as_other:
            dropped["flows_as_other"] = dropped.get("flows_as_other", 0) + self._connecting.as_other
            self._connecting.as_other = 0
        return lost, dropped
