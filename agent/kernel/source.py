"""The real kernel as the rest of the agent sees it: announcements, drained columns, and a few switches."""

import errno
import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from plumbline.v1 import columns, flow_pb2

from agent.kernel import handover
from agent.kernel.announcements import decode, kernel_flow
from agent.kernel.maps import KernelCallFailed, Ring, Rows, wait_for_running_programs
from agent.records import NO_ADDRESS, Announcement, Drained, KernelFlow, MissingPart, NameSeen, OpenConnection

NAMED = 2**64 - 1
FLOW_OTHER = 1
NO_ROUTE_AFTER_NS = 1_000_000_000
DNS_TIMEOUT_NS = 5_000_000_000
# Why a row of the agent's found no room in a table that the kernel's side reads; see docs/kernel.md.
NO_ROOM = {
    "names": "names_untold",
    "named_cgroups": "named_cgroups_full",
    "known_connections": "known_connections_full",
}
COUNTS = [name for name in columns.FLOW_TYPES if name not in ("bucket", "flow")]
REQUEST_KEYS = [name for name in columns.REQUEST_TYPES if name not in ("bucket", "count", "sum_ns")]


def open_kernel(cgroup_root: Path) -> "SocketKernel":
    """Compiles, loads and attaches. Raises KernelRefused with the reason and the remedy."""
    return SocketKernel(handover.receive(cgroup_root))


class SocketKernel:
    """Implements agent.records.Kernel on the attached programs. One caller at a time."""

    def __init__(self, attached: handover.Attached) -> None:
        self.attached: list[str] = attached.programs
        self.missing: list[MissingPart] = attached.missing
        self._handed = attached
        self._maps = attached.maps
        self._reasons = attached.losses + attached.drops
        self._reported = dict.fromkeys(self._reasons, 0)
        self._no_room: Counter[str] = Counter()
        self._without_route: dict[int, KernelFlow] = {}
        self._generation = 0
        self._control = self._control_row()
        self._drained_ns = time.time_ns()
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
                self._put_if_room("names", announcement.id, NAMED)
        return heard

    def drain(self, now_ns: int) -> Drained:
        idle = self._generation
        self._set_generation(idle ^ 1)
        if not wait_for_running_programs():
            self._wait_by_map_update()
        flows = _flow_columns(*self._maps[f"flow_counts_{idle}"].take_all())
        requests = _request_columns(*self._maps[f"request_rows_{idle}"].take_all())
        flows = _appended(flows, self._connects_without_route())
        requests = _appended(requests, self._dns_timeouts())
        lost, dropped = self._losses()
        from_ns, self._drained_ns = self._drained_ns, now_ns
        return Drained(from_ns, now_ns, flows, requests, lost, dropped)

    def known_flow(self, flow_id: int, /) -> KernelFlow | None:
        if flow_id == FLOW_OTHER:
            return KernelFlow(flow_id, 0, NO_ADDRESS, NO_ADDRESS, 0, 0, 6, "", 0, NO_ADDRESS, 0)
        if flow_id in self._without_route:
            return self._without_route[flow_id]
        row = self._maps["flows"].get(flow_id)
        return None if row is None else kernel_flow(flow_id, row[0], 0)

    def mark_named_cgroups(self, ids: Iterable[int]) -> None:
        for cgroup_id in ids:
            self._put_if_room("named_cgroups", cgroup_id, 1)

    def adopt_connections(self, connections: list[OpenConnection]) -> None:
        for known in connections:
            key = (
                np.frombuffer(known.local_address, "<u8"),
                np.frombuffer(known.peer_address, "<u8"),
                known.local_port,
                known.peer_port,
                0,
            )
            self._put_if_room("known_connections", key, known.role)

    def forget_flows(self, ids: Iterable[int]) -> None:
        for flow_id in ids:
            self._maps["flows"].remove(flow_id)
            self._without_route.pop(flow_id, None)

    def forget_names(self, ids: Iterable[int]) -> None:
        """Also gives every endpoint its whole budget of new names again."""
        for name_id in ids:
            self._maps["names"].remove(name_id)
        for key in self._maps["name_budgets"].read_all()[0]:
            self._maps["name_budgets"].remove(key)

    def close(self) -> None:
        self._ring.close()
        handover.close(self._handed)

    def _on_record(self, record: bytes) -> None:
        announcement = decode(record, self._handed.records, _clock_offset_ns())
        if announcement is not None:
            self._heard.append(announcement)

    def _set_generation(self, generation: int) -> None:
        self._generation = self._control["generation"][0] = generation
        self._maps["control"].put(0, self._control[0])

    def _control_row(self) -> Rows:
        row = self._maps["control"].get(0)
        assert row is not None, "the loader fills the control row before it attaches"
        return row

    def _wait_by_map_update(self) -> None:
        """Setting a map in a map returns only when no program run can still see the old one."""
        self._maps["flow_counts"].put(0, self._maps["flow_counts_0"].descriptor)

    def _put_if_room(self, table: str, key: Any, value: Any) -> None:
        try:
            self._maps[table].put(key, value)
        except KernelCallFailed as failed:
            if failed.errno != errno.E2BIG:
                raise
            self._no_room[NO_ROOM[table]] += 1

    def _connects_without_route(self) -> columns.Columns:
        """Connects that never sent a SYN: counted here, since no hook tells."""
        table = self._maps["connecting"]
        keys, rows = table.read_all()
        old = rows["time_ns"].astype(np.int64) < time.monotonic_ns() - NO_ROUTE_AFTER_NS
        ids = []
        for key, row in zip(keys[old], rows[old], strict=True):
            if not table.remove(key):
                continue
            flow_id = int.from_bytes(hashlib.blake2b(row["flow"].tobytes(), digest_size=8).digest(), "little")
            self._without_route[flow_id] = kernel_flow(flow_id, row["flow"], int(row["process_id"]))
            ids.append(flow_id)
        counted = {name: np.zeros(len(ids), columns.FLOW_TYPES[name]) for name in COUNTS}
        counted["unreachable"] += 1
        return {"flow": np.array(ids, "<u8"), **counted}

    def _dns_timeouts(self) -> columns.Columns:
        table = self._maps["dns_queries"]
        keys, rows = table.read_all()
        old = rows["first_ns"].astype(np.int64) < time.monotonic_ns() - DNS_TIMEOUT_NS
        taken = np.array([table.remove(key) for key in keys[old]], bool)
        keys, rows = keys[old][taken], rows[old][taken]
        counted = {name: np.zeros(len(keys), kind) for name, kind in columns.REQUEST_TYPES.items() if name != "bucket"}
        counted["flow"], counted["name"], counted["host"] = keys["flow"], keys["name"], np.zeros(len(keys), "<u8")
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
        return lost, dropped


def _flow_columns(keys: Rows, values: Rows) -> columns.Columns:
    return {"flow": keys, **{name: values[name] for name in COUNTS}}


def _request_columns(keys: Rows, values: Rows) -> columns.Columns:
    return {**{name: keys[name] for name in REQUEST_KEYS}, "count": values["count"], "sum_ns": values["sum_ns"]}


def _appended(first: columns.Columns, second: columns.Columns) -> columns.Columns:
    if not len(second["flow"]):
        return first
    return {name: np.concatenate([first[name], second[name].astype(first[name].dtype)]) for name in first}


def _clock_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()
