"""What an address is that no endpoint of ours has. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from plumbline.v1 import topology_pb2 as pb

from aggregator.records import End, Flow, text_of
from aggregator.resolve.asking import outside_name
from aggregator.resolve.names import DnsMemory, host_name
from aggregator.resolve.ownership import Ownership
from aggregator.resolve.places import Place, is_loopback
from aggregator.resolve.services import Services

Network: TypeAlias = IPv4Network | IPv6Network


class Strangers:
    """`inside` are networks whose addresses are somebody's of ours, known or not."""

    def __init__(
        self, ownership: Ownership, dns: DnsMemory, services: Services, inside: Sequence[Network], cluster: str
    ) -> None:
        self._ownership = ownership
        self._dns = dns
        self._services = services
        self._inside = inside
        self._cluster = cluster

    def is_inside(self, address: bytes, place: Place) -> bool:
        if is_loopback(address) or self._ownership.knows(address, place):
            return True
        parsed = IPv6Address(address)
        plain = parsed.ipv4_mapped or parsed
        return any(plain in network for network in self._inside if network.version == plain.version)

    def outside(self, value: Flow) -> End:
        """As this client called it by TLS, else as it was told that it is called."""
        endpoint, address = value.endpoint, value.peer_address
        said = host_name(value.server_name)
        if said:
            text = outside_name(self._services, said)
            return End(text, pb.NODE_KIND_THIRD_PARTY, text, self._cluster, name_source="sni")
        name = self._dns.name_of(endpoint, address)
        if name is None:
            return self.bare(address, pb.NODE_KIND_EXTERNAL)
        text = outside_name(self._services, name.name)
        ambiguous = name.ambiguous and any(
            outside_name(self._services, one) != text for one in self._dns.names_of(endpoint, address)
        )
        return End(text, pb.NODE_KIND_THIRD_PARTY, text, self._cluster, -1, name.source, ambiguous)

    def bare(self, address: bytes, kind: int) -> End:
        text = text_of(address)
        return End(text, kind, text, self._cluster)
