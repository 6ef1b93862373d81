"""Namespaces, bridges, addresses and routes of the miniature cluster. No process and no cgroup belongs here.

The plan: every host has one address on the fabric (10.0.0.0/24, fd00:a::/64), a bridge of its own for its pods
(10.10.HOST.0/24, fd00:b:HOST::/64), and reaches the other hosts and the internet by routes. The fabric is a bridge
in the internet's namespace; public addresses are that namespace's own.
"""

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

NAMESPACES = Path("/run/netns")
FABRIC_IPV4, FABRIC_IPV6 = "10.0.0.254", "fd00:a::fe"
RESOLVER_IPV4, RESOLVER_IPV6 = "203.0.113.53", "2001:db8::53"
# Packets to the silent ones vanish; to the unreachable one they are answered by "host unreachable".
SILENT_IPV4, SILENT_IPV6 = "198.51.100.66", "2001:db8:dead::66"
# IPv4 only: TCP over IPv6 takes no ICMP error as final.
UNREACHABLE_IPV4 = "198.51.100.77"
_FIRST_POD = 10


# (namespace, device, namespace, device): makes both devices and the wire between them.
Wiring: TypeAlias = Callable[[str, str, str, str], None]


class NetworkRefused(RuntimeError):
    """A step of building the network failed; the message has the command's own words."""


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """A host: its number (1, 2, ...) decides all its addresses."""

    namespace: str
    number: int

    @property
    def ipv4(self) -> str:
        return f"10.0.0.{self.number}"

    @property
    def ipv6(self) -> str:
        return f"fd00:a::{self.number:x}"

    @property
    def bridge_ipv4(self) -> str:
        return f"10.10.{self.number}.1"

    @property
    def bridge_ipv6(self) -> str:
        return f"fd00:b:{self.number:x}::1"


@dataclass(frozen=True, slots=True)
class PodNetwork:
    namespace: str
    ipv4: str
    ipv6: str


def add_internet(namespace: str) -> None:
    """The namespace that is everything outside, and the wire between the hosts."""
    _batch("", [f"netns add {namespace}"])
    _route_between_links(namespace)
    _batch(
        namespace,
        [
            "link set lo up",
            "link add fabric type bridge mcast_snooping 0",
            "link set fabric up",
            f"addr add {FABRIC_IPV4}/24 dev fabric",
            f"addr add {FABRIC_IPV6}/64 dev fabric nodad",
            f"route add blackhole {SILENT_IPV4}/32",
            f"route add blackhole {SILENT_IPV6}/128",
            f"route add unreachable {UNREACHABLE_IPV4}/32",
        ],
    )


def add_public_addresses(namespace: str, addresses: Iterable[str]) -> None:
    _batch(namespace, [f"addr add {address}/{_bits(address)} dev lo{_no_probe(address)}" for address in addresses])


def perfect_wire(namespace: str, device: str, other_namespace: str, other_device: str) -> None:
    _batch("", [f"link add {device} netns {namespace} type veth peer name {other_device} netns {other_namespace}"])


def add_host(namespace: str, internet: str, number: int, wire: Wiring = perfect_wire) -> HostNetwork:
    """The wire is what joins the host to the fabric."""
    host = HostNetwork(namespace, number)
    _batch("", [f"netns add {namespace}"])
    _route_between_links(namespace)
    wire(namespace, "up0", internet, f"h{number}")
    _batch(
        internet,
        [
            f"link set h{number} master fabric up",
            f"route add 10.10.{number}.0/24 via {host.ipv4}",
            f"route add fd00:b:{number:x}::/64 via {host.ipv6}",
        ],
    )
    _batch(
        namespace,
        [
            "link set lo up",
            "link set up0 up",
            f"addr add {host.ipv4}/24 dev up0",
            f"addr add {host.ipv6}/64 dev up0 nodad",
            "link add pods type bridge mcast_snooping 0",
            "link set pods up",
            f"addr add {host.bridge_ipv4}/24 dev pods",
            f"addr add {host.bridge_ipv6}/64 dev pods nodad",
            f"route add default via {FABRIC_IPV4}",
            f"route add ::/0 via {FABRIC_IPV6}",
        ],
    )
    return host


def connect_hosts(first: HostNetwork, second: HostNetwork) -> None:
    """Routes to each other's pods by the fabric, not around by the internet."""
    for here, there in ((first, second), (second, first)):
        _batch(
            here.namespace,
            [
                f"route add 10.10.{there.number}.0/24 via {there.ipv4}",
                f"route add fd00:b:{there.number:x}::/64 via {there.ipv6}",
            ],
        )


def add_pod(namespace: str, host: HostNetwork, number: int) -> PodNetwork:
    """number: 0, 1, 2, ... on that host."""
    last = _FIRST_POD + number
    pod = PodNetwork(namespace, f"10.10.{host.number}.{last}", f"fd00:b:{host.number:x}::{last:x}")
    port = f"p{number}"
    _batch(
        "",
        [
            f"netns add {namespace}",
            f"link add eth0 netns {namespace} type veth peer name {port} netns {host.namespace}",
        ],
    )
    _batch(host.namespace, [f"link set {port} master pods up"])
    _batch(
        namespace,
        [
            "link set lo up",
            "link set eth0 up",
            f"addr add {pod.ipv4}/24 dev eth0",
            f"addr add {pod.ipv6}/64 dev eth0 nodad",
            f"route add default via {host.bridge_ipv4}",
            f"route add ::/0 via {host.bridge_ipv6}",
        ],
    )
    return pod


def remove_namespaces(prefix: str) -> None:
    """Removes every namespace whose name begins with prefix; its links go with it."""
    names = [path.name for path in NAMESPACES.glob(f"{prefix}*")] if NAMESPACES.is_dir() else []
    if names:
        subprocess.run(
            ["ip", "-force", "-batch", "-"],
            input="".join(f"netns del {name}\n" for name in names),
            text=True,
            capture_output=True,
            check=False,
        )


def is_ipv6(address: str) -> bool:
    return ":" in address


def split(listen: str) -> tuple[str, int]:
    """ADDRESS:PORT or [ADDRESS]:PORT."""
    address, _, port = listen.rpartition(":")
    return address.strip("[]"), int(port)


def _bits(address: str) -> int:
    return 128 if is_ipv6(address) else 32


def _no_probe(address: str) -> str:
    return " nodad" if is_ipv6(address) else ""


def _route_between_links(namespace: str) -> None:
    """Before the namespace has links: theirs are then usable at once, without a second for duplicate addresses."""
    keys = (
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv6.conf.default.accept_dad=0",
    )
    _run(["nsenter", f"--net={NAMESPACES / namespace}", "sysctl", "-qw", *keys], "")


def _batch(namespace: str, lines: Iterable[str]) -> None:
    where = ["-n", namespace] if namespace else []
    _run(["ip", *where, "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _run(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise NetworkRefused(f"{' '.join(command)}: {done.stderr.strip()}\n{text}")
