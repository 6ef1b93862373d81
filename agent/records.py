"""What the kernel's side hands to the rest of the agent. Clocks, byte order and addresses are converted already.

Addresses are 16 bytes in network order, IPv4 v4-mapped. Times are nanoseconds of the wall clock. Nothing here
does anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from plumbline.v1.columns import Columns
from plumbline.v1.flow_pb2 import NameKind

NO_ADDRESS = bytes(16)


@dataclass(frozen=True, slots=True)
class KernelFlow:
    """One local endpoint, one remote address, one role, one server's port."""

    id: int  # 64 bits
    cgroup_id: int
    local_address: bytes
    peer_address: bytes
    port: int
    role: int  # plumbline.v1 Role: 1 client, 2 server, 0 unknown
    transport: int  # 6 TCP, 17 UDP
    command: str  # as the kernel noted it at connect or listen; "" for named cgroups
    process_id: int  # 0: unknown
    asked_address: bytes  # before translation; zero where it equals the peer
    asked_port: int
    netns_cookie: int = 0  # the kernel's, of the socket's network namespace; 0: it did not tell


@dataclass(frozen=True, slots=True)
class FlowSeen:
    flow: KernelFlow
    time_ns: int


@dataclass(frozen=True, slots=True)
class NameSeen:
    """The text behind a 64-bit name id, and the flow that showed it first."""

    id: int
    kind: NameKind
    raw: bytes
    flow_id: int


@dataclass(frozen=True, slots=True)
class ListenerSeen:
    cgroup_id: int
    address: bytes
    port: int
    transport: int
    command: str
    process_id: int
    time_ns: int
    netns_cookie: int = 0


@dataclass(frozen=True, slots=True)
class DnsSeen:
    """A whole DNS response, at most 512 bytes of it."""

    flow_id: int
    time_ns: int
    message: bytes


Announcement: TypeAlias = FlowSeen | NameSeen | ListenerSeen | DnsSeen


@dataclass(frozen=True, slots=True)
class Drained:
    """Deltas of one interval.

    `flows` and `requests` have the columns of plumbline.v1.columns without "bucket"; in them "flow", "name" and
    "host" are the kernel's 64-bit ids (name and host: 0 none, 1 (other)).
    """

    from_ns: int
    to_ns: int
    flows: Columns
    requests: Columns
    lost: dict[str, int]
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class MissingPart:
    """What could not be attached, why, and what a person can do about it."""

    part: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection that was open before the agent started; the role is the local end's."""

    local_address: bytes
    local_port: int
    peer_address: bytes
    peer_port: int
    role: int


class KernelRefused(Exception):
    """The kernel does not let us look. `reason` and `remedy` are for a person."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class Kernel(Protocol):
    """The attached programs and their maps. One caller at a time."""

    attached: list[str]
    missing: list[MissingPart]

    def kernel_memory_bytes(self) -> int: ...

    def poll(self, timeout_seconds: float) -> list[Announcement]:
        """Waits for announcements; returns at once when there are any."""
        ...

    def drain(self, now_ns: int) -> Drained:
        """What was counted since the last drain."""
        ...

    def known_flow(self, flow_id: int, /) -> KernelFlow | None:
        """Looks a flow up whose announcement was lost."""
        ...

    def mark_named_cgroups(self, ids: Iterable[int]) -> None:
        """Cgroups with a pod, container or unit: `command` stays empty for them, so rows stay few."""
        ...

    def adopt_connections(self, connections: list[OpenConnection]) -> None: ...

    def forget_flows(self, ids: Iterable[int]) -> None: ...

    def forget_names(self, ids: Iterable[int]) -> None: ...

    def close(self) -> None: ...
