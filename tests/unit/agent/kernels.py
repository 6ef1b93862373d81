"""A kernel's side that a test writes the script of: announcements and counts go in, what the agent asked for stays."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from agent.coalescing import FLOWS, REQUESTS
from agent.records import (
    NO_ADDRESS,
    Announcement,
    Drained,
    FlowSeen,
    KernelFlow,
    Limits,
    MissingPart,
    Offer,
    OpenConnection,
    Stand,
)
from tests.unit.agent.rows import kernel_columns

LOOPBACK = bytes(10) + b"\xff\xff\x7f\x00\x00\x01"
CLIENT, SERVER = 1, 2


def flow(flow_id: int, **fields: object) -> KernelFlow:
    usual: dict[str, object] = {
        "cgroup_id": 1, "local_address": LOOPBACK, "peer_address": LOOPBACK, "port": 80, "role": CLIENT, "transport": 6,
        "command": "curl", "process_id": 0, "asked_address": NO_ADDRESS, "asked_port": 0,
    }  # fmt: skip
    return KernelFlow(flow_id, **{**usual, **fields})  # type: ignore[arg-type]


class ScriptedKernel:
    """Implements agent.records.Kernel; kernel ids are 64 bits wide as the real ones."""

    def __init__(self) -> None:
        self.attached = ["on_egress"]
        self.taken_over = False
        self.cache = ""
        self.missing = [MissingPart("parse_http_sent", "the kernel refused it", "use a newer one")]
        self.known: dict[int, KernelFlow] = {1: flow(1, cgroup_id=0, role=0, command="", port=0)}
        self.named: set[int] = set()
        self.connections: dict[int, int] = {}
        self.adopted: list[OpenConnection] = []
        self.forgotten_flows: list[int] = []
        self.forgotten_names: list[int] = []
        self.corrected = 0
        self.inside: set[tuple[bytes, int]] = set()
        self.limits: list[Limits] = []
        self.closed = False
        self.drains: list[float] = []
        self.fails_with: Exception | None = None
        # Called in the middle of a drain, when what is counted from then on belongs to the next one.
        self.during_drain: Callable[[], None] = lambda: None
        self._there = threading.Condition()
        self._announced: list[Announcement] = []
        self._flows: list[Mapping[str, int]] = []
        self._requests: list[Mapping[str, int]] = []
        self._lost: dict[str, int] = {}
        self._drained_ns = time.time_ns()

    def announce(self, *announcements: Announcement) -> None:
        with self._there:
            self._announced.extend(announcements)
            self._there.notify()

    def see(self, *flows: KernelFlow) -> None:
        self.announce(*(FlowSeen(one, time.time_ns()) for one in flows))

    def count(
        self,
        flows: Sequence[Mapping[str, int]] = (),
        requests: Sequence[Mapping[str, int]] = (),
        lost: Mapping[str, int] | None = None,
    ) -> None:
        with self._there:
            self._flows.extend(flows)
            self._requests.extend(requests)
            self._lost.update(lost or {})

    def kernel_memory_bytes(self) -> int:
        return 12345

    def poll(self, timeout_seconds: float) -> list[Announcement]:
        with self._there:
            if not self._announced:
                self._there.wait(timeout_seconds)
            announced, self._announced = self._announced, []
            return announced

    def drain(self, now_ns: int) -> Drained:
        if self.fails_with:
            raise self.fails_with
        self.drains.append(time.monotonic())
        with self._there:
            flows, requests, lost = self._flows, self._requests, self._lost
            self._flows, self._requests, self._lost = [], [], {}
        self.during_drain()
        from_ns, self._drained_ns = self._drained_ns, now_ns
        return Drained(
            from_ns,
            now_ns,
            kernel_columns(flows, FLOWS),
            kernel_columns(requests, REQUESTS),
            lost,
            {},
        )

    def known_flow(self, flow_id: int, /) -> KernelFlow | None:
        return self.known.get(flow_id)

    def mark_named_cgroups(self, ids: Iterable[int]) -> None:
        self.named.update(ids)

    def keep_named_cgroups(self, ids: Iterable[int]) -> None:
        self.named.intersection_update(ids)

    def name_connection(self, connection: int, name: int) -> None:
        self.connections[connection] = name

    def flows_of(self, cgroup_ids: Iterable[int]) -> list[int]:
        wanted = set(cgroup_ids)
        return [one.id for one in self.known.values() if one.cgroup_id in wanted]

    def adopt_connections(self, connections: list[OpenConnection]) -> None:
        self.adopted += connections

    def forget_flows(self, ids: Iterable[int]) -> None:
        self.forgotten_flows += ids

    def forget_names(self, ids: Iterable[int]) -> None:
        self.forgotten_names += ids

    def offer(self) -> Offer:
        return Offer("scripted")

    def stand(self) -> Stand:
        return Stand(self._drained_ns, {})

    def go_on(self, stand: Stand | None) -> None:
        raise AssertionError("a scripted kernel is never taken over")

    def detach(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def correct_shares(self) -> None:
        self.corrected += 1

    def know_inside(self, ranges: Iterable[tuple[bytes, int]]) -> None:
        self.inside = set(ranges)

    def parsers(self) -> int:
        return 0

    def limit(self, limits: Limits) -> None:
        self.limits.append(limits)
