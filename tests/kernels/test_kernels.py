"""The product on other kernels: every program loads, and a small load is counted exactly. In an emulated machine.

What was found is kept beside the kernels' packages; `python -m tests.kernels.table` makes the table of docs/kernels.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernels import machine, packages

pytestmark = [pytest.mark.long, pytest.mark.kernel, pytest.mark.timeout(3600)]
GUEST_SECONDS = 3300
KERNELS = {
    "5.10": ("5.10", "bullseye", machine.X86),
    "6.1": ("6.1", "bookworm", machine.X86),
    "6.12": ("6.12", "bookworm-backports", machine.X86),
    "6.18": ("6.18", "trixie-backports", machine.X86),
    "newest": (packages.NEWEST, "trixie-backports", machine.X86),
    "6.1-arm64": ("6.1", "bookworm", machine.ARM),
}
PROGRAMS = {"parse_dns", "on_egress", "on_ingress", "on_socket", "on_connect4", "on_connect6"}
PROGRAMS |= {"keep_early", "replay_early", "replay_http", "parse_http_received", "parse_http_sent", "parse_tls"}
PROGRAMS |= {"parse_quic"}
VERIFIER_LIMIT = 1_000_000
BEFORE_THE_COMPILER_SECONDS = 6


@pytest.mark.parametrize("name", KERNELS)
def test_a_small_load_is_exact(tmp_path: Path, name: str) -> None:
    found = run("guest.py", tmp_path, name)
    keep(name, found)
    check(found)


@pytest.mark.parametrize("older", ["", "1"], ids=["as it is", "as an older one"])
def test_this_kernel(tmp_path: Path, older: str) -> None:
    """The same load without an emulated machine; the second time compiled as for a kernel that tells less."""
    command = [sys.executable, "-m", "tests.kernels.guest", tmp_path / "found"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OLDER": older})
    assert done.returncode == 0, done.stderr
    found = with_programs(tmp_path)
    keep(f"here{older}", found)
    check(found)
    assert older == "" or {"on_bind4", "on_bind6"} <= {row["name"] for row in found["programs"]}


def check(found: dict[str, Any]) -> None:
    assert found.get("failed") is None and found["btf"]
    assert {row["name"] for row in found["programs"]} >= PROGRAMS
    assert [row for row in found["programs"] if row["refused"] or row["verified"] >= VERIFIER_LIMIT] == []
    assert [event for event in found["log"] if event["event"] == "kernel_part_missing"] == []
    assert found["requests"] > 700 and found["edges"] >= 6
    assert not found["differences"], "\n" + "\n".join(found["differences"])


@pytest.mark.parametrize("name", ["5.10", "6.12"])
def test_resources_are_the_kernels_own_numbers(tmp_path: Path, name: str) -> None:
    """Where cgroups are of version 2 alone; 5.10 tells an OOM kill by its victim's number, 6.12 by its task."""
    found = run("limits.py", tmp_path, name)
    keep(f"limits-{name}", found)
    assert found.get("failed") is None, found["failed"]
    assert [event for event in found["log"] if event["event"] == "kernel_part_missing"] == []
    told, (periods, throttled, waited_ns) = found["throttled"]["told"], found["throttled"]["periods"]
    assert throttled > 10
    assert told["cpu_throttled_share"] == pytest.approx(throttled / periods, abs=1e-6)
    assert told["cpu_throttled_seconds"] == pytest.approx(waited_ns / 1e9, abs=1e-5)
    assert (told["cpu_limit_cores"], told["memory_limit_bytes"]) == (0.2, 150 << 20)
    assert 60 << 20 < told["memory_bytes"] <= found["throttled"]["usage_bytes"]
    assert found["killed"]["told"]["oom_kills"] == found["killed"]["oom_kills"] == 1


@pytest.mark.parametrize("case", ["confidentiality", "no_btf"])
def test_a_kernel_that_cannot_is_refused_at_once(tmp_path: Path, case: str) -> None:
    """Before the compiler is started: by a guest's clock that takes some twenty seconds."""
    options = "lockdown=confidentiality" if case == "confidentiality" else ""
    found = run("refused.py", tmp_path, "6.1", case, options=options)
    keep(case, found)
    (refused,) = [event for event in found["log"] if event["event"] == "kernel_refused"]
    assert found["status"] == 4
    assert {"confidentiality": "lockdown", "no_btf": "BTF"}[case] in refused["reason"] and refused["remedy"]
    assert found["refused_seconds"] < BEFORE_THE_COMPILER_SECONDS


def run(script: str, shared: Path, name: str, *arguments: str, options: str = "") -> dict[str, Any]:
    """What the script found in a guest with that kernel; what the verifier said is in "programs"."""
    version, suite, kind = KERNELS[name]
    kernel = packages.kernel(version, suite, kind.name)
    words = f"PYTHONPATH=.:protos .venv/bin/python -m tests.kernels.{script.removesuffix('.py')} /run/shared/found"
    console = machine.run(kernel, " ".join([words, *arguments]), shared, GUEST_SECONDS, kind, options)
    assert (shared / "status").read_text().strip() == "0", console
    return with_programs(shared)


def with_programs(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "found").read_text())
    programs = shared / "programs"
    rows = programs.read_text().splitlines() if programs.exists() else []
    return {**found, "programs": [json.loads(row) for row in rows]}


def keep(name: str, found: dict[str, Any]) -> None:
    place = packages.cache() / "found"
    place.mkdir(exist_ok=True)
    (place / f"{name}.json").write_text(json.dumps(found, indent=1))
