"""Which networks mean something on this host only: those behind a container runtime's private bridge.

Pure, from the texts of /proc/net/route and /proc/net/ipv6_route. A Kubernetes network's bridge is not among them:
its addresses are the cluster's.
"""

import re
import sys

from agent.identity.sockets import V4_MAPPED

_PRIVATE_BRIDGE = re.compile(r"(?:docker|podman|cni-podman|virbr|lxcbr|lxdbr)\d+|br-[0-9a-f]{12}")


def host_only_networks(route: str, ipv6_route: str) -> list[tuple[bytes, int]]:
    """(16 bytes address, prefix length of 128)."""
    found = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and _PRIVATE_BRIDGE.fullmatch(fields[0]):
            mask = int.from_bytes(_bytes(fields[7]), "big")
            found.append((V4_MAPPED + _bytes(fields[1]), 96 + mask.bit_count()))
    for line in ipv6_route.splitlines():
        fields = line.split()
        if len(fields) > 9 and _PRIVATE_BRIDGE.fullmatch(fields[9]) and int(fields[1], 16) < 128:
            found.append((bytes.fromhex(fields[0]), int(fields[1], 16)))
    return found


def _bytes(word: str) -> bytes:
    return bytes.fromhex(word)[:: -1 if sys.byteorder == "little" else 1]
