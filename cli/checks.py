"""What a machine must have for an agent: one function a fact, each reading the place that decides it."""

import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

OLDEST_KERNEL = (5, 10)
# The compiler's process needs up to 245 MB for a few seconds.
LEAST_MEMORY_BYTES = 256 * 1024 * 1024
CAPABILITIES = {"DAC_READ_SEARCH": 2, "NET_ADMIN": 12, "SYS_PTRACE": 19, "PERFMON": 38, "BPF": 39}
_SYS_ADMIN = 21
PORTS = {7170: "agents", 7171: "readers", 7172: "HTTP"}


class State(StrEnum):
    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """MISSING: the agent cannot run. LIMITED: it runs, and shows or does less."""

    check: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the facts are read; a test lays its own tree."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    release: str = platform.release()


def facts(machine: Machine) -> Iterator[Finding]:
    """Every check that only reads."""
    for check in _CHECKS:
        yield check(machine)


def kernel_release(machine: Machine) -> Finding:
    """The oldest kernel that we aim at; what counts in the end is whether the programs load."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", machine.release)[:2])
    if numbers >= OLDEST_KERNEL:
        return Finding("kernel", State.OK, machine.release)
    remedy = f"Run Linux {OLDEST_KERNEL[0]}.{OLDEST_KERNEL[1]} or later."
    return Finding("kernel", State.MISSING, machine.release, remedy)


def type_information(machine: Machine) -> Finding:
    """BTF: the offsets of this kernel's own structures."""
    path = machine.sys / "kernel/btf/vmlinux"
    if path.exists():
        return Finding("BTF", State.OK, str(path))
    return Finding("BTF", State.MISSING, f"no {path}", "Use a kernel built with CONFIG_DEBUG_INFO_BTF=y.")


def cgroup_hierarchy(machine: Machine) -> Finding:
    """A mounted cgroup v2 hierarchy; beside a v1 one is enough."""
    for line in _lines(machine.proc / "self/mountinfo"):
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Finding("cgroup v2", State.OK, mount.split()[4])
    remedy = "Mount it: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"
    return Finding("cgroup v2", State.MISSING, "not mounted", remedy)


def lockdown(machine: Machine) -> Finding:
    """Level `confidentiality` forbids BPF programs to read what they count."""
    text = " ".join(_lines(machine.sys / "kernel/security/lockdown"))
    level = re.search(r"\[(\w+)\]", text)
    found = level.group(1) if level else "not reported"
    if found != "confidentiality":
        return Finding("lockdown", State.OK, found)
    return Finding("lockdown", State.MISSING, found, "Boot with lockdown=integrity or without lockdown.")


def capabilities(machine: Machine) -> Finding:
    """What this process may do; the agent would get the same."""
    lines = [line for line in _lines(machine.proc / "self/status") if line.startswith("CapEff:")]
    held = int(lines[0].split()[1], 16) if lines else 0
    is_admin = bool(held >> _SYS_ADMIN & 1)
    lacking = [
        name for name, bit in CAPABILITIES.items() if not (held >> bit & 1 or (is_admin and name in ("BPF", "PERFMON")))
    ]
    if not lacking:
        return Finding("capabilities", State.OK, ", ".join(CAPABILITIES))
    is_fatal = bool({"BPF", "PERFMON", "NET_ADMIN"} & set(lacking))
    state = State.MISSING if is_fatal else State.LIMITED
    return Finding("capabilities", state, "lacks " + ", ".join(lacking), "Run as root, or grant what is lacking.")


def compiler(_machine: Machine) -> Finding:
    """The distribution's bcc, in this Python: asked in a process of its own, for it is heavy."""
    return _in_python("import bcc; print(bcc.__version__)", "bcc", "Install python3-bpfcc and run make setup.")


def library(_machine: Machine) -> Finding:
    """libbpf, as the agent opens it."""
    code = "import ctypes; ctypes.CDLL('libbpf.so.1'); print('libbpf.so.1')"
    return _in_python(code, "libbpf", "Install libbpf1 (libbpf 1.0 or later).")


def memory_limit(machine: Machine) -> Finding:
    """The tightest limit above this process, which the agent would share."""
    limits = sorted(_memory_limits(machine))
    if not limits:
        return Finding("memory limit", State.OK, "none")
    found = f"{limits[0] // 2**20} MiB"
    if limits[0] >= LEAST_MEMORY_BYTES:
        return Finding("memory limit", State.OK, found)
    return Finding("memory limit", State.MISSING, found, f"Allow {LEAST_MEMORY_BYTES // 2**20} MiB.")


def locked_memory(machine: Machine) -> Finding:
    """Before 5.11 the kernel charges maps to RLIMIT_MEMLOCK."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    numbers = tuple(int(number) for number in re.findall(r"\d+", machine.release)[:2])
    is_enough = numbers >= (5, 11) or soft == resource.RLIM_INFINITY or soft >= LEAST_MEMORY_BYTES
    found = "not counted by this kernel" if numbers >= (5, 11) else f"{soft} bytes"
    return Finding("locked memory", State.OK if is_enough else State.MISSING, found, "" if is_enough else _UNLOCK)


def listening_ports(_machine: Machine) -> Iterator[Finding]:
    """Whether the aggregator's three ports are free, or already Plumbline's own."""
    import psutil

    owners: dict[int, str] = {}
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port in PORTS:
            owners[connection.laddr.port] = _process_name(connection.pid)
    for port, who in PORTS.items():
        owner = owners.get(port)
        if owner is None or owner.startswith("plumb "):
            yield Finding(f"port {port} ({who})", State.OK, f"used by {owner}" if owner else "free")
        else:
            remedy = f"End {owner}, or choose another port (plumb aggregator --help)."
            yield Finding(f"port {port} ({who})", State.LIMITED, f"used by {owner}", remedy)


_UNLOCK = "Run ulimit -l unlimited first."
_CHECKS: tuple[Callable[[Machine], Finding], ...] = (
    kernel_release,
    type_information,
    cgroup_hierarchy,
    lockdown,
    capabilities,
    compiler,
    library,
    memory_limit,
    locked_memory,
)


def _lines(path: Path) -> list[str]:
    """Empty where the kernel does not have the file, or does not let us read it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _in_python(code: str, check: str, remedy: str) -> Finding:
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    if asked.returncode == 0:
        return Finding(check, State.OK, asked.stdout.strip())
    last_line = (asked.stderr.strip().splitlines() or ["no reason was given"])[-1]
    return Finding(check, State.MISSING, last_line, remedy)


def _memory_limits(machine: Machine) -> Iterator[int]:
    for line in _lines(machine.proc / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        for root in ("fs/cgroup/memory",) if controllers else ("fs/cgroup", "fs/cgroup/unified"):
            yield from _limits_upwards(machine.sys / root, path.strip("/"), name)


def _limits_upwards(root: Path, path: str, name: str) -> Iterator[int]:
    place = root / path
    while place != root.parent:
        for line in _lines(place / name):
            # cgroup v1 writes "no limit" as a number near 2^63.
            if line.isdigit() and int(line) < 2**60:
                yield int(line)
        place = place.parent


def _process_name(pid: int | None) -> str:
    if pid is None:
        return "another process"
    try:
        return f"{Path(f'/proc/{pid}/comm').read_text(encoding='utf-8', errors='replace').strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}" if os.path.exists(f"/proc/{pid}") else "a process that just ended"  # noqa: PTH110
