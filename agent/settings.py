"""Everything that can be set about an agent, checked once."""

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from plumbline.v1.addresses import network

VERSION = "0.1.0"
DEFAULT_AGGREGATOR = "127.0.0.1:7170"
DEFAULT_CACHE = Path("/var/cache/plumbline")
SHORTEST_SUMMARY_SECONDS = 1.0
_MOST_CORES = 1024.0
SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS = 0.1, 60.0


class WrongSettings(ValueError):
    """A setting that cannot be used. `reason` and `remedy` are for a person."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Settings:
    """The flags of `plumb agent`. Raises WrongSettings."""

    host: str = field(default_factory=socket.gethostname)
    # None: the root of the mounted cgroup v2 hierarchy.
    cgroup_root: Path | None = None
    aggregator: str = DEFAULT_AGGREGATOR
    interval_seconds: float = 1.0
    # How often the log says what was seen and whether it is delivered.
    summary_seconds: float = 60.0
    # HOST:PORT for /metrics, /livez and /readyz; None: not served.
    metrics: str | None = None
    cluster: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    insecure: bool = False
    # Where a successor finds this agent, and this agent the one before it; None: there is no hand-over.
    runtime_directory: Path | None = None
    # Where compiled programs are kept, so that the next start need not compile; None: nowhere.
    cache_directory: Path | None = DEFAULT_CACHE
    # After a hand-over it waits for a signal instead of ending, for a supervisor that starts again what has ended.
    stays: bool = False
    # Distinct routes, hosts and DNS names, each, that one local endpoint may have at a time.
    names_each_endpoint: int = 512
    # CPU seconds a second beyond which detail is given up, never counts; None: no bound. Half a core is far above what
    # an agent takes of a busy node, and what a node can do without when something storms.
    cpu_budget_cores: float | None = 0.5
    # Address ranges that are ours, besides the private ones and those that this host has routes to.
    inside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise WrongSettings("the host's name is empty", "give one with --host")
        if not SHORTEST_INTERVAL_SECONDS <= self.interval_seconds <= LONGEST_INTERVAL_SECONDS:
            raise WrongSettings(
                f"an interval of {self.interval_seconds:g} seconds is not possible",
                f"choose --interval between {SHORTEST_INTERVAL_SECONDS:g} and {LONGEST_INTERVAL_SECONDS:g}",
            )
        if not self.summary_seconds >= SHORTEST_SUMMARY_SECONDS:
            raise WrongSettings(
                f"a summary each {self.summary_seconds:g} seconds is not possible",
                f"choose --summary of {SHORTEST_SUMMARY_SECONDS:g} or more",
            )
        for one in self.inside:
            _check_network(one)
        address = split_address(self.aggregator, "--aggregator")
        if self.metrics is not None:
            split_address(self.metrics, "--metrics")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise WrongSettings("a certificate and its key go together", "give both --tls-cert and --tls-key")
        if self.tls_cert and not self.tls_ca:
            raise WrongSettings("a client certificate without an authority", "name the aggregator's with --tls-ca")
        if not self.tls_ca and not self.insecure and not is_loopback(address[0]):
            raise WrongSettings(
                f"{self.aggregator} is not on this machine, and plain text was not asked for",
                "give --tls-ca (and --tls-cert, --tls-key), or ask for plain text with --insecure",
            )


def cpu_budget(text: str) -> float | None:
    """ "0.5" (cores), "50%" (of one core) or "off". Raises WrongSettings."""
    wrong = WrongSettings(f"{text!r} is no share of a CPU", "write --cpu-budget as 0.5, 50% or off")
    if text == "off":
        return None
    try:
        cores = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise wrong from None
    if not 0 < cores <= _MOST_CORES:
        raise wrong
    return cores


def split_address(text: str, flag: str) -> tuple[str, int]:
    """ "HOST:PORT" or "[V6]:PORT" as (host, port). Raises WrongSettings."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise WrongSettings(f"{text!r} is not an address for {flag}", "write it as HOST:PORT")
    return host, int(port)


def _check_network(text: str) -> None:
    try:
        network(text)
    except ValueError:
        raise WrongSettings(f"{text!r} is no range of addresses", "write --inside like 203.0.113.0/24") from None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
