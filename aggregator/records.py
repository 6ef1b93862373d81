"""What crosses between the aggregator's rooms: plain values, hardly any behaviour, no message of the contract.

Times are nanoseconds since 1970 by the aggregator's clock unless a name says otherwise. Addresses are 16 bytes
(IPv4 is v4-mapped). Ids of endpoints, flows and names are the aggregator's own, dense from 0, and those of one estate.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final, NamedTuple

SECOND_NS: Final = 1_000_000_000
FOREVER_NS: Final = 2**62
ANY_PORT: Final = 0
CLIENT, SERVER = 1, 2
# Whose a far address was, where it is no endpoint: as a row's time tells; its holders' own rows tell; nobody can tell.
AS_TIME_TELLS, TOLD_ELSEWHERE, NOBODY_KNOWN = -1, -2, -3


class RecordKind(IntEnum):
    HELLO = 1
    BATCH = 2
    PODS = 3
    EVENTS = 4


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One message of an agent as it came (`payload`: a serialised ReportRequest), and when. PODS: what pods are part
    of, as resolve/podnames.py writes it; EVENTS: what happened to workloads, as topology/events.py does."""

    kind: RecordKind
    host: str
    epoch: int
    received_ns: int
    payload: bytes


class Refused(Exception):
    """A message that cannot be used: `reason` is one word for a counter, the text one sentence for people."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Endpoint(NamedTuple):
    """Who opened or accepted connections on one host; fields that do not apply are empty or 0."""

    host: int
    kind: int
    pod_uid: str
    container_id: str
    unit: str
    command: str
    network_namespace: int


class Flow(NamedTuple):
    """One local endpoint, one remote address, one role, one server's port."""

    endpoint: int
    local_address: bytes
    peer_address: bytes
    port: int
    role: int
    transport: int
    asked_address: bytes
    asked_port: int
    server_name: str = ""  # by which a client's TLS hello called it
    far_endpoint: int = AS_TIME_TELLS  # whose the peer's address was, once that is settled


class End(NamedTuple):
    """A vertex as resolved: `endpoint` and its `host` are -1 for what is not ours; `kind` is a NodeKind of the
    contract; `namespace` is one of Kubernetes."""

    id: str
    kind: int
    name: str
    cluster: str
    endpoint: int = -1
    name_source: str = ""
    ambiguous: bool = False
    host: int = -1
    namespace: str = ""


class Way(NamedTuple):
    """A name or address by which a client asks for a server. `shared`: or by another one, nobody can tell."""

    name: str
    shared: bool


class Name(NamedTuple):
    kind: int
    text: str


class HostKey(NamedTuple):
    cluster: str
    name: str


@dataclass(frozen=True, slots=True)
class Owned:
    """`endpoint` had `address` (and listened on `port` of it, if `listening`) in [from_ns, to_ns).

    `begin_ns`: `from_ns` by its agent's own clock, which stays the same when the clocks are compared anew.
    """

    endpoint: int
    address: bytes
    port: int
    transport: int
    realm: int
    network_namespace: int
    listening: bool
    from_ns: int
    to_ns: int = FOREVER_NS
    begin_ns: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """`endpoint` was told by DNS that `name` means these addresses."""

    endpoint: int
    name: str
    addresses: tuple[bytes, ...]
    time_ns: int


@dataclass(frozen=True, slots=True)
class Blind:
    """Nothing is known of a host in [from_ns, to_ns); FOREVER_NS: it is blind now."""

    from_ns: int
    to_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a host says of itself; `lost` and `dropped` are deltas by reason."""

    time_ns: int
    lost: dict[str, int]
    dropped: dict[str, int]
    blind: tuple[Blind, ...]
    addresses: tuple[bytes, ...]
    clock_ahead_ns: int = 0  # the host's clock before the aggregator's
    shed: tuple[str, ...] = ()


def text_of(address: bytes) -> str:
    """The usual text of a 16-byte address; v4-mapped ones as IPv4."""
    parsed = IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed)
