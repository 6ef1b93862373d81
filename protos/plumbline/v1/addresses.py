"""What both sides of the contract mean by an address: 16 bytes, IPv4 v4-mapped."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

# A peer that stands for many. A server's, with a port: all its clients outside. Without a port: what found no room.
MANY: Final = bytes(16)
# RFC 1918, 6598, 3927, 4193 and 4291: nobody outside answers there. What agents and aggregators take as inside unasked.
PRIVATE: Final = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    *("fc00::/7", "fe80::/10"),
)
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


def network(text: str) -> Network:
    """Raises ValueError. Bits of a host do not matter.

    >>> network("10.1.2.3/8")
    IPv4Network('10.0.0.0/8')
    """
    return ip_network(text, strict=False)


def mapped(one: Network) -> tuple[bytes, int]:
    """Its address and the length of its prefix as those of 16 bytes.

    >>> mapped(network("10.0.0.0/8"))[1]
    104
    """
    if one.version == 4:
        return bytes(10) + b"\xff\xff" + one.network_address.packed, 96 + one.prefixlen
    return one.network_address.packed, one.prefixlen
