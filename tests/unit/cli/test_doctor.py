"""Each fact of a machine is read where the kernel shows it, and what is lacking has a remedy."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import checks
from cli.checks import CAPABILITIES, Machine, State

from .conftest import run

MOUNT = "42 32 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
ALL_CAPABILITIES = sum(1 << bit for bit in CAPABILITIES.values())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which everything is right."""
    lay = {
        "sys/kernel/btf/vmlinux": "",
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        "proc/self/mountinfo": "22 1 254:1 / / rw - ext4 /dev/vda rw\n" + MOUNT,
        "proc/self/status": f"Name:\tplumb\nCapEff:\t{ALL_CAPABILITIES:016x}\n",
        "proc/self/cgroup": "5:memory:/shop/agent\n0::/shop/agent\n",
        "sys/fs/cgroup/memory/shop/agent/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/shop/memory.limit_in_bytes": f"{512 * 2**20}\n",
        "sys/fs/cgroup/unified/shop/memory.max": "max\n",
    }
    for name, text in lay.items():
        write(tmp_path / name, text)
    return Machine(tmp_path / "proc", tmp_path / "sys", "6.1.0-44-amd64")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_on_which_all_is_right(machine: Machine) -> None:
    found = {finding.check: (finding.state, finding.found) for finding in checks.facts(machine)}
    assert found["kernel"] == (State.OK, "6.1.0-44-amd64")
    assert found["cgroup v2"] == (State.OK, "/sys/fs/cgroup/unified")
    assert found["lockdown"] == (State.OK, "integrity")
    assert found["capabilities"] == (State.OK, "DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, PERFMON, BPF")
    assert found["memory limit"] == (State.OK, "512 MiB")
    assert {finding.remedy for finding in checks.facts(machine) if finding.state is State.OK} == {""}


@pytest.mark.parametrize(
    ("check", "path", "text", "state", "found", "remedy"),
    [
        ("BTF", "sys/kernel/btf/vmlinux", None, State.MISSING, "no ", "CONFIG_DEBUG_INFO_BTF"),
        ("cgroup v2", "proc/self/mountinfo", "22 1 254:1 / / rw - ext4 /dev/vda rw\n", State.MISSING, "not", "mount"),
        ("lockdown", "sys/kernel/security/lockdown", "none [confidentiality]", State.MISSING, "confid", "Boot with"),
        ("lockdown", "sys/kernel/security/lockdown", None, State.OK, "not reported", ""),
        ("capabilities", "proc/self/status", "CapEff:\t0\n", State.MISSING, "lacks DAC_READ_SEARCH, NET", "as root"),
        ("capabilities", "proc/self/status", f"CapEff:\t{(1 << 12) | (1 << 38) | (1 << 39):x}\n", State.LIMITED,
         "lacks DAC_READ_SEARCH, SYS_PTRACE", "as root"),
        ("capabilities", "proc/self/status", f"CapEff:\t{(1 << 2) | (1 << 12) | (1 << 19) | (1 << 21):x}\n", State.OK,
         "DAC", ""),
        ("memory limit", "sys/fs/cgroup/memory/shop/memory.limit_in_bytes", "104857600\n", State.MISSING, "100 MiB",
         "Allow 256 MiB"),
        ("memory limit", "sys/fs/cgroup/unified/shop/memory.max", "104857600\n", State.MISSING, "100 MiB", "Allow"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said_with_its_remedy(
    machine: Machine, check: str, path: str, text: str | None, state: State, found: str, remedy: str
) -> None:
    place = machine.proc.parent / path
    place.unlink() if text is None else place.write_text(text)
    (finding,) = [finding for finding in checks.facts(machine) if finding.check == check]
    assert finding.state is state
    assert finding.found.startswith(found)
    assert remedy in finding.remedy


@pytest.mark.parametrize(("release", "state"), [("5.9.16", State.MISSING), ("5.10.0-28", State.OK), ("7.0", State.OK)])
def test_oldest_kernel(machine: Machine, release: str, state: State) -> None:
    finding = checks.kernel_release(Machine(machine.proc, machine.sys, release))
    assert finding.state is state


def test_a_port_in_use_is_told_with_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(checks, "PORTS", {port: "agents"})
        (finding,) = checks.listening_ports(Machine())
    assert (finding.check, finding.state) == (f"port {port} (agents)", State.LIMITED)
    assert "(pid " in finding.found
    (finding,) = checks.listening_ports(Machine())
    assert (finding.state, finding.found) == (State.OK, "free")


def test_json_is_for_scripts() -> None:
    ended = run("doctor", "--no-load", "-o", "json")
    answer = json.loads(ended.stdout)
    assert ended.status == (0 if answer["agent_can_run"] else 4)
    assert {"kernel", "BTF", "cgroup v2", "bcc", "port 7171 (readers)"} <= {row["check"] for row in answer["checks"]}
    assert all(row["remedy"] for row in answer["checks"] if row["state"] != "ok")


def test_without_rights_it_says_so(started: Callable[..., subprocess.Popen[str]]) -> None:
    # Root without capabilities can still read a checkout that is root's alone.
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*drop, sys.executable, "-m", "cli", "doctor"]
    process = started(program=("-c", f"import os; os.execvp({command[0]!r}, {command!r})"))
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (4, "")
    assert "lacks DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE, PERFMON, BPF" in stdout
    assert stdout.endswith("The agent cannot run here: see what is missing.\n")
