"""Every flag of `plumb aggregator` as one frozen value, checked once. Reads nothing: the command line fills it."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"
# As Helm, Argo CD and Flux call themselves; the last one is what Flux's manual asks people to call themselves.
USUAL_DEPLOYERS: Final = (
    "helm",
    "argocd-controller",
    "argocd-application-controller",
    "helm-controller",
    "kustomize-controller",
    "flux",
    "flux-client-side-apply",
)


@dataclass(frozen=True, slots=True)
class ListenerSecurity:
    """TLS files of one listener (PEM), and the file with the token that callers must show; None: not asked for."""

    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses are HOST:PORT; port 0 takes a free one. Times in seconds, sizes in bytes."""

    agents: str = "127.0.0.1:7170"
    grpc: str = "127.0.0.1:7171"
    http: str = "127.0.0.1:7172"
    data: Path = Path("/var/lib/plumbline")
    cluster: str = "default"
    # Ask this cluster's API what pods and Services are.
    kubernetes: bool = False
    # Field managers of those who deploy, `*` for anything: what others change is changed by hand.
    deployed_by: tuple[str, ...] = USUAL_DEPLOYERS
    catalog: tuple[str, ...] = ()
    catalog_default_owner: str = "unknown"
    # Rows of vendors besides the product's own, and the vendors that may be called; without any, all may.
    vendors: Path | None = None
    allowed_vendors: tuple[str, ...] = ()
    # Address ranges that are ours even if nobody owned them yet, besides the private ones.
    inside: tuple[str, ...] = ()
    insecure: bool = False
    agents_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    grpc_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    http_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    window_seconds: float = 300.0
    retention_seconds: float = 3900.0
    # How often the log says who reports and how large the graph is.
    summary_seconds: float = 60.0
    snapshot_interval_seconds: float = 0.2
    checkpoint_bytes: int = 64 * 1024 * 1024
    checkpoint_seconds: float = 300.0
    max_agent_message_bytes: int = 16 * 1024 * 1024
    max_reader_message_bytes: int = 64 * 1024
    max_flows: int = 2_000_000
    max_names: int = 500_000
    max_endpoints: int = 500_000
    # That were heard of within retention.
    max_hosts: int = 10_000

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence with the remedy."""
        for flag, address, security in self.listeners():
            host, _ = split_address(address, flag)
            _check_security(flag, security)
            if not (security.certificate or self.insecure or is_loopback(host)):
                raise ValueError(
                    f"{flag} {address} is plain text beyond this machine; "
                    f"give {flag}-tls-cert and {flag}-tls-key, or ask for it with --insecure."
                )
        for network in self.inside:
            _check_network(network)
        if not self.summary_seconds >= 1:
            raise ValueError(
                f"A summary each {self.summary_seconds:g} seconds is not possible; give --summary 1 or more."
            )
        if not 0 < self.window_seconds <= self.retention_seconds:
            raise ValueError("The window must be shorter than what is kept; give a larger --retention.")

    def listeners(self) -> tuple[tuple[str, str, ListenerSecurity], ...]:
        """(flag, address, security) of each."""
        return (
            ("--agents", self.agents, self.agents_security),
            ("--grpc", self.grpc, self.grpc_security),
            ("--http", self.http, self.http_security),
        )


def split_address(text: str, flag: str) -> tuple[str, int]:
    """ "HOST:PORT" or "[V6]:PORT" as (host, port). Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address for {flag}; write it as HOST:PORT.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_security(flag: str, security: ListenerSecurity) -> None:
    if bool(security.certificate) != bool(security.key):
        raise ValueError(f"A certificate and its key go together; give both {flag}-tls-cert and {flag}-tls-key.")
    if security.client_authority and not security.certificate:
        raise ValueError(f"Client certificates need TLS; give {flag}-tls-cert and {flag}-tls-key too.")


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise ValueError(f"{network!r} is no range of addresses for --inside; write it like 10.0.0.0/8.") from error
