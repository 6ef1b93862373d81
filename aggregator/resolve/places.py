"""Where an address means something: in one network namespace, on one host, or in one cluster. Pure."""

from typing import Final, NamedTuple, TypeAlias

from plumbline.v1 import flow_pb2 as pb

from aggregator.records import Owned

NO_HOST: Final = -1
EVERY_NAMESPACE: Final = -1
LOOPBACK4: Final = bytes(10) + b"\xff\xff\x7f"
LOOPBACK4_MAIN: Final = LOOPBACK4 + b"\0\0\1"
_LOOPBACK6: Final = bytes(15) + b"\1"
# (cluster, host, address): an address of a cluster is on no host, one of a host in no cluster.
Where: TypeAlias = tuple[str, int, bytes]


class Place(NamedTuple):
    """From where an address is looked at."""

    host: int
    cluster: str
    network_namespace: int


def is_loopback(address: bytes) -> bool:
    return address.startswith(LOOPBACK4) or address == _LOOPBACK6


def where_of(claim: Owned, theirs: Place) -> Where:
    is_local = claim.realm in (pb.REALM_NAMESPACE, pb.REALM_HOST) or is_loopback(claim.address)
    return ("", theirs.host, claim.address) if is_local else (theirs.cluster, NO_HOST, claim.address)


def wheres(address: bytes, place: Place) -> tuple[Where, Where]:
    """What an address may mean from there."""
    return ("", place.host, address), (place.cluster, NO_HOST, address)


def namespace_of(claim: Owned) -> int:
    """The only one that can see it."""
    is_of_namespace = claim.realm == pb.REALM_NAMESPACE or is_loopback(claim.address)
    return claim.network_namespace if is_of_namespace else EVERY_NAMESPACE
