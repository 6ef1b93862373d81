"""What the kernel's side hands to the rest of the agent. Clocks, byte order and addresses are converted already.

Addresses are 16 bytes in network order, IPv4 v4-mapped. Times are nanoseconds of the wall clock. Nothing here
does anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from plumbline.v1.columns import Columns
from plumbline.v1.flow_pb2 import NameKind

NO_ADDRESS = bytes(16)
# Among what is attached: the program that tells of OOM kills.
OOM_KILLS = "on_oom_victim"


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
    # Id of the name by which a client's TLS hello calls the server, 0: none; of QUIC the connection's own at first.
    server_name: int = 0


# What found no room of its own: the kernel's catch-all, and what is known of it.
FLOW_OTHER = 1
OTHER = KernelFlow(FLOW_OTHER, 0, NO_ADDRESS, NO_ADDRESS, 0, 0, 6, "", 0, NO_ADDRESS, 0)


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


@dataclass(frozen=True, slots=True)
class OomKill:
    """The kernel ended a process for want of memory."""

    cgroup_id: int
    process_id: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class QuicSeen:
    """A datagram that may carry a piece of the hello of a client's QUIC connection."""

    connection: int  # 64 bits; stands for the name in its first flow
    cgroup_id: int
    time_ns: int
    datagram: bytes


@dataclass(frozen=True, slots=True)
class ServerHelloSeen:
    """A piece of what a server says in clear text in a TLS handshake."""

    connection: int
    flow_id: int
    sequence: int  # of its first byte, modulo 2**32
    number: int  # 0: the connection's first piece
    time_ns: int
    piece: bytes


Announcement: TypeAlias = FlowSeen | NameSeen | ListenerSeen | DnsSeen | OomKill | QuicSeen | ServerHelloSeen


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
    """A connection that was open before the agent started; the role is the local end's, 0 where nobody listens."""

    local_address: bytes
    local_port: int
    peer_address: bytes
    peer_port: int
    role: int
    network_namespace: int  # inode


@dataclass(frozen=True, slots=True)
class Offer:
    """What an agent lets its successor go on with: the word for the layout of its maps, and descriptors by name.

    Whoever received them closes them.
    """

    layout: str
    maps: dict[str, int] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)

    @property
    def descriptors(self) -> list[int]:
        return [*self.maps.values(), *self.links.values()]


@dataclass(frozen=True, slots=True)
class Stand:
    """Up to where the kernel's side was read: `reported` are the totals of losses that were told, by reason."""

    drained_ns: int
    reported: dict[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel's side may keep at a time, and which detail is not wanted of it now."""

    # Distinct routes, hosts and DNS names, each.
    names_each_endpoint: int = 512
    flows_each_endpoint: int = 16_384
    # Of requests, in one interval.
    rows_each_endpoint: int = 16_384
    parsers: int = 50_000
    without_names: bool = False
    # One bucket an octave, and no time of turns.
    without_fine_latency: bool = False


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
    # The maps are those of the agent before us: `go_on` comes before the first drain.
    taken_over: bool
    # Whether compiled programs were found, were kept for the next start, or why neither ("" where none are to be kept).
    cache: str

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

    def keep_named_cgroups(self, ids: Iterable[int]) -> None:
        """All others that were marked are no more."""
        ...

    def name_connection(self, connection: int, name: int) -> None:
        """What a QUIC connection's flow is called from now on; 0: nothing."""
        ...

    def flows_of(self, cgroup_ids: Iterable[int]) -> list[int]:
        """Ids of the flows that are kept of them."""
        ...

    def adopt_connections(self, connections: list[OpenConnection]) -> None: ...

    def forget_flows(self, ids: Iterable[int]) -> None: ...

    def forget_names(self, ids: Iterable[int]) -> None: ...

    def offer(self) -> Offer:
        """What a successor may go on with; ours to close."""
        ...

    def stand(self) -> Stand:
        """For a successor, after the last drain."""
        ...

    def go_on(self, stand: Stand | None) -> None:
        """Before the first drain of maps that were taken over; None: the old agent died, and nobody knows."""
        ...

    def detach(self) -> None:
        """Nothing is counted from now on; what was counted can still be drained."""
        ...

    def correct_shares(self) -> None:
        """After something was forgotten: what is free again."""
        ...

    def know_inside(self, ranges: Iterable[tuple[bytes, int]]) -> None:
        """(16 bytes address, prefix length): a server's clients from elsewhere are one from now on."""
        ...

    def limit(self, limits: Limits) -> None: ...

    def parsers(self) -> int:
        """Connections that are parsed now."""
        ...

    def close(self) -> None: ...
