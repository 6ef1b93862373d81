"""Which addresses are ours, as far as this host knows: the clients of a server that have another one are one peer.

Pure, from the texts of /proc/net/route and /proc/net/ipv6_route: a network that the host has a route to, other than
its way to everywhere, is one of ours.
"""

import sys
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from plumbline.v1.addresses import LOOPBACK, PRIVATE, Network, mapped, network

from agent.identity.sockets import V4_MAPPED

# (16 bytes address, prefix length of 128).
Range = tuple[bytes, int]
# Shorter ones are a way to everywhere, cut in pieces.
_SHORTEST_IPV4, _SHORTEST_IPV6 = 8, 16
# A host that knows the routes of the internet knows nothing of what is ours.
MOST_ROUTES = 256
_REJECT, _UP = 0x200, 1


def always_inside(stated: Iterable[str]) -> list[Range]:
    """The private ranges, loopback, and what the operator states."""
    return [mapped(network(one)) for one in (*PRIVATE, *LOOPBACK, *stated)]


def routed(route: str, ipv6_route: str) -> list[Range]:
    """None at all where there are too many."""
    found = {mapped(one) for one in (*_ipv4_routes(route), *_ipv6_routes(ipv6_route))}
    return sorted(found) if len(found) <= MOST_ROUTES else []


def whole(addresses: Iterable[bytes], ranges: Iterable[Range]) -> list[Range]:
    """Each address by itself that is in none of the ranges."""
    masks: dict[int, set[int]] = {}
    for address, length in ranges:
        masks.setdefault(length, set()).add(_prefix(address, length))
    return sorted(
        (one, 128)
        for one in set(addresses)
        if not any(_prefix(one, length) in known for length, known in masks.items())
    )


def _prefix(address: bytes, length: int) -> int:
    return int.from_bytes(address, "big") >> (128 - length)


def _ipv4_routes(route: str) -> list[Network]:
    found: list[Network] = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & _UP or int(fields[3], 16) & _REJECT:
            continue
        length = int(fields[7], 16).bit_count()
        if length >= _SHORTEST_IPV4:
            found.append(IPv4Network((_bytes(fields[1]), length), strict=False))
    return found


def _ipv6_routes(ipv6_route: str) -> list[Network]:
    found: list[Network] = []
    for line in ipv6_route.splitlines():
        fields = line.split()
        if len(fields) < 10 or int(fields[8], 16) & _REJECT or fields[0].startswith("ff"):
            continue
        length = int(fields[1], 16)
        if length >= _SHORTEST_IPV6 and not bytes.fromhex(fields[0]).startswith(V4_MAPPED):
            found.append(IPv6Network((bytes.fromhex(fields[0]), length), strict=False))
    return found


def _bytes(word: str) -> bytes:
    return bytes.fromhex(word)[:: -1 if sys.byteorder == "little" else 1]
