"""The capabilities that this process lacks, by name: whoever it is, these decide what the kernel lets it do."""

from collections.abc import Sequence
from pathlib import Path

# For the programs, and for what /proc tells about the processes of others.
WATCHING = ("BPF", "PERFMON", "NET_ADMIN")
READING = ("SYS_PTRACE", "DAC_READ_SEARCH")
_BITS = {
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "NET_ADMIN": 12,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "PERFMON": 38,
    "BPF": 39,
}
_AS_GOOD = {"BPF": "SYS_ADMIN", "PERFMON": "SYS_ADMIN", "DAC_READ_SEARCH": "DAC_OVERRIDE"}


def lacking(names: Sequence[str], status: str | None = None) -> list[str]:
    """Those of `names` that are not effective, as CAP_NAME; `status` is the text of /proc/self/status."""
    text = Path("/proc/self/status").read_text() if status is None else status
    effective = next((int(line.split()[1], 16) for line in text.splitlines() if line.startswith("CapEff:")), 0)

    def has(name: str) -> bool:
        return bool(effective >> _BITS[name] & 1)

    return [f"CAP_{name}" for name in names if not (has(name) or has(_AS_GOOD.get(name, name)))]


def are_missing(capabilities: Sequence[str]) -> str:
    """A clause of a sentence; at least one."""
    return f"{listed(capabilities)} {'are' if len(capabilities) > 1 else 'is'} missing"


def listed(words: Sequence[str]) -> str:
    """As in a sentence; at least one."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
