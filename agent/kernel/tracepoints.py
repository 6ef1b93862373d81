"""Programs at tracepoints: what no socket's hook sees. Without one of them its part is missing, and nothing else.

They are not bound to a cgroup, and a link to a tracepoint cannot go on with another program: an old agent's stays where
its maps do, so that nothing is told twice or by nobody.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.kernel.hooks import RAW_TRACEPOINT, Load
from agent.kernel.libbpf import KernelCallFailed
from agent.kernel.offer import WrongDescriptor, facts
from agent.kernel.programs import ProgramRefused
from agent.records import OOM_KILLS


@dataclass(frozen=True, slots=True)
class Tracepoint:
    """A program, the kernel's name of where it hangs, and what nobody tells without it."""

    function: str
    name: str
    gives: str
    remedy: str


TRACEPOINTS = (
    Tracepoint(
        OOM_KILLS,
        "mark_victim",
        "OOM kills at once",
        "a kernel that lets it; until then they are read from cgroups, which are gone with their containers",
    ),
)
# Of a control row, in the order of a walk from a victim to the number of its cgroup; each (struct, member).
_WALK: Mapping[str, tuple[str, str]] = {
    "task_cgroups_offset": ("task_struct", "cgroups"),
    "task_tgid_offset": ("task_struct", "tgid"),
    "css_set_cgroup_offset": ("css_set", "dfl_cgrp"),
    "cgroup_kn_offset": ("cgroup", "kn"),
    "css_parent_offset": ("cgroup_subsys_state", "parent"),
    "css_cgroup_offset": ("cgroup_subsys_state", "cgroup"),
    "kernfs_id_offset": ("kernfs_node", "id"),
}


def settings_for_walk(member_offset: Callable[[str, str], int | None], cgroup_root: str) -> dict[str, int]:
    """Members of the control row; all 0 where this kernel does not say one of them."""
    offsets = {name: member_offset(*member) for name, member in _WALK.items()}
    known = {name: offset for name, offset in offsets.items() if offset is not None}
    if known.keys() != offsets.keys() or member_offset("cgroup", "self") != 0:
        return dict.fromkeys((*offsets, "oom_shows_task", "root_cgroup_id"), 0)
    shows_task = member_offset("trace_event_raw_mark_victim", "uid") is not None
    return {**known, "oom_shows_task": int(shows_task), "root_cgroup_id": Path(cgroup_root).stat().st_ino}


def attach_tracepoints(
    load: Load, old_links: Mapping[str, int], settings: Mapping[str, int], attach: Callable[[str, int], int]
) -> tuple[dict[str, int], list[list[str]]]:
    """Links by the names of their programs, and a row (part, reason, remedy) for each that this kernel refuses."""
    links, missing = {}, []
    for one in TRACEPOINTS:
        try:
            if not settings["kernfs_id_offset"]:
                raise LookupError("where a task keeps its cgroup is not in this kernel's BTF")
            links[one.function] = old_links.get(one.function) or attach(one.name, load(one.function, RAW_TRACEPOINT, 0))
        except (ProgramRefused, KernelCallFailed, LookupError) as error:
            missing.append([one.gives, str(error), one.remedy])
    return links, missing


def check_tracepoints(old_links: Mapping[str, int]) -> None:
    """Raises WrongDescriptor."""
    for one in TRACEPOINTS:
        if one.function not in old_links:
            continue
        told = facts(old_links[one.function])
        if (told.get("link_type"), told.get("tp_name")) != ("raw_tracepoint", one.name):
            raise WrongDescriptor(f"what is offered as the link of {one.function} is another thing")
