"""Every flag of `plumb aggregator` as one frozen value. Reads nothing: the command line fills it."""

from dataclasses import dataclass, field
from pathlib import Path


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
    catalog: tuple[str, ...] = ()
    catalog_default_owner: str = "unknown"
    # Address ranges that are ours even if nobody owned them yet: 10.0.0.0/8, fd00::/8.
    inside: tuple[str, ...] = ()
    insecure: bool = False
    agents_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    grpc_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    http_security: ListenerSecurity = field(default_factory=ListenerSecurity)
    window_seconds: float = 300.0
    retention_seconds: float = 3900.0
    snapshot_interval_seconds: float = 0.2
    checkpoint_bytes: int = 64 * 1024 * 1024
    checkpoint_seconds: float = 300.0
    max_agent_message_bytes: int = 16 * 1024 * 1024
    max_reader_message_bytes: int = 64 * 1024
    max_flows: int = 2_000_000
    max_names: int = 500_000
