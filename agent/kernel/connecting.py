"""Connects that never sent a SYN, since there was no route: no hook tells of them, so they are counted here."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable

import numpy as np
from plumbline.v1 import columns

from agent.kernel.announcements import kernel_flow
from agent.kernel.maps import Map, Rows
from agent.records import KernelFlow

NO_ROUTE_AFTER_NS = 1_000_000_000
# Peers of one endpoint that are known apart; all others are one.
MOST_EACH_ENDPOINT = 4096
_PEER = ("local_address", "peer_address", "asked_address")


class Connecting:
    """The table of connects that have begun. `known`: the flows that were made of them."""

    def __init__(self, table: Map) -> None:
        self.known: dict[int, KernelFlow] = {}
        # Counted under their endpoint's (other), since the last look.
        self.as_other = 0
        self._table = table
        self._of_cgroup: Counter[int] = Counter()

    def take_unroutable(self) -> columns.Columns:
        """Flow columns of what has waited for too long."""
        keys, rows = self._table.read_all()
        old = rows["time_ns"].astype(np.int64) < time.monotonic_ns() - NO_ROUTE_AFTER_NS
        taken = [row for key, row in zip(keys[old], rows[old], strict=True) if self._table.remove(key)]
        ids, times = np.unique(np.array([self._id_of(row) for row in taken], "<u8"), return_counts=True)
        counted = {
            name: np.zeros(len(ids), kind)
            for name, kind in columns.FLOW_TYPES.items()
            if name not in ("bucket", "flow")
        }
        counted["unreachable"] += times.astype(counted["unreachable"].dtype)
        return {"flow": ids, **counted}

    def forget(self, ids: Iterable[int]) -> None:
        for one in ids:
            flow = self.known.pop(one, None)
            if flow is not None:
                self._of_cgroup[flow.cgroup_id] -= 1
        self._of_cgroup = +self._of_cgroup

    def _id_of(self, row: Rows) -> int:
        flow_id = _hash(row)
        if flow_id in self.known:
            return flow_id
        cgroup_id = int(row["flow"]["cgroup_id"])
        if self._of_cgroup[cgroup_id] >= MOST_EACH_ENDPOINT:
            self.as_other += 1
            for name in _PEER:
                row["flow"][name] = 0
            row["flow"]["port"] = row["flow"]["asked_port"] = 0
            flow_id = _hash(row)
        if flow_id not in self.known:
            self.known[flow_id] = kernel_flow(flow_id, row["flow"], int(row["process_id"]))
            self._of_cgroup[cgroup_id] += 1
        return flow_id


def _hash(row: Rows) -> int:
    return int.from_bytes(hashlib.blake2b(row["flow"].tobytes(), digest_size=8).digest(), "little")
