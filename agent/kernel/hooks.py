"""Where the entry programs hang, and how they get there: attached anew, or in the place of an old agent's.

A link goes on with another program in one step: there is no moment with both or without any.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from agent.kernel.offer import check_link

T = TypeVar("T")
# Types of programs, as the kernel numbers them.
CGROUP_SKB, CGROUP_SOCK, SOCK_OPS, RAW_TRACEPOINT, CGROUP_SOCK_ADDR = 8, 9, 13, 17, 18
# (function, type, attach type): a descriptor.
Load: TypeAlias = Callable[[str, int, int], int]


@dataclass(frozen=True, slots=True)
class Hook:
    """An entry program: where it is attached and what is missing without it.

    `unless`: a define; where the kernel can do that, the program is not there and not needed.
    """

    function: str
    program_type: int
    attach_type: int
    gives: str
    unless: str = ""


HOOKS = (
    Hook("on_egress", CGROUP_SKB, 1, "what is sent"),
    Hook("on_ingress", CGROUP_SKB, 0, "what is received"),
    Hook("on_socket", SOCK_OPS, 3, "connections, listeners, failures and retransmits"),
    Hook("on_connect4", CGROUP_SOCK_ADDR, 10, "who connects, and to which IPv4 address it asked"),
    Hook("on_connect6", CGROUP_SOCK_ADDR, 11, "who connects, and to which IPv6 address it asked"),
    Hook("on_bind4", CGROUP_SOCK, 12, "who listens at an IPv4 address", unless="WHO_IN_CALLBACKS"),
    Hook("on_bind6", CGROUP_SOCK, 13, "who listens at an IPv6 address", unless="WHO_IN_CALLBACKS"),
)
# The kernel wants to know where such a program will hang when it loads it.
_TOLD_WHERE = (CGROUP_SOCK_ADDR, CGROUP_SOCK)


def wanted_hooks(defines: set[str]) -> list[Hook]:
    return [one for one in HOOKS if one.unless not in defines]


def load_hooks(load: Callable[[str, int, int], T], defines: set[str]) -> dict[Hook, T]:
    """What `load` gives for each program. Without any one of them the counts would lie: so a refusal is final."""
    return {
        hook: load(hook.function, hook.program_type, hook.attach_type if hook.program_type in _TOLD_WHERE else 0)
        for hook in wanted_hooks(defines)
    }


def check_links(old_links: Mapping[str, int], cgroup_root: str) -> None:
    """Raises WrongDescriptor."""
    cgroup_id = Path(cgroup_root).stat().st_ino
    for hook in HOOKS:
        if hook.function in old_links:
            check_link(hook.function, old_links[hook.function], cgroup_id, hook.attach_type)


def attach_hooks(
    loaded: Mapping[Hook, int],
    cgroup_root: str,
    old_links: Mapping[str, int],
    attach: Callable[[int, int, int], int],
    replace: Callable[[int, int], None],
) -> dict[str, int]:
    """Links by the names of their entry programs; a link of `old_links` goes on with the new program."""
    cgroup = os.open(cgroup_root, os.O_RDONLY | os.O_DIRECTORY)
    links = {}
    for hook, program in loaded.items():
        old = old_links.get(hook.function)
        if old is None:
            links[hook.function] = attach(program, cgroup, hook.attach_type)
        else:
            replace(old, program)
            links[hook.function] = old
    os.close(cgroup)
    return links
