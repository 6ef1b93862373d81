"""What bpftool lists of one host's cgroup: others on this machine may load programs at the same time."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """Ids of the links to a cgroup, and of the programs that they or a process hold."""

    links: frozenset[int]
    programs: frozenset[int]


def loaded(cgroup: Path, pid: int) -> Loaded:
    cgroup_id = cgroup.stat().st_ino
    links = [link for link in _list("link") if link.get("cgroup_id") == cgroup_id]
    held = {program["id"] for program in _list("prog") if pid in _pids(program)}
    return Loaded(frozenset(link["id"] for link in links), frozenset(held | {link["prog_id"] for link in links}))


def still_there(before: Loaded) -> list[str]:
    """What of it the kernel still has."""
    links = {link["id"] for link in _list("link")} & before.links
    programs = {program["id"] for program in _list("prog")} & before.programs
    return [*(f"link {one}" for one in sorted(links)), *(f"program {one}" for one in sorted(programs))]


def _pids(program: dict[str, Any]) -> set[int]:
    return {owner["pid"] for owner in program.get("pids", ())}


def _list(what: str) -> list[dict[str, Any]]:
    done = subprocess.run(["bpftool", what, "list", "-j"], capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows
