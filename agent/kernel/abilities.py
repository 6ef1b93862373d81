"""What this kernel can do that others cannot, and where things are in its structs. Others ask the kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from agent.records import KernelRefused, Limits

MayCall: TypeAlias = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class Ability:
    """What some kernels let a type of program do: compiled in where this one does."""

    define: str
    program_type: int
    helper: int


_PACKETS, _CALLBACKS = 8, 13
_GET_CURRENT_COMM, _PROBE_READ_KERNEL, _GET_NETNS_COOKIE = 16, 113, 122
# What is told to neither is noted when a socket binds or connects. Without the first only UDP sockets that never
# connect, and what is older than the agent, are not told apart by their network namespace.
ABILITIES = (
    Ability("NETNS_IN_PACKETS", _PACKETS, _GET_NETNS_COOKIE),
    Ability("NETNS_IN_CALLBACKS", _CALLBACKS, _GET_NETNS_COOKIE),
    Ability("WHO_IN_CALLBACKS", _CALLBACKS, _GET_CURRENT_COMM),
)


def check_kernel(may_call: MayCall, types: Path = Path("/sys/kernel/btf/vmlinux")) -> None:
    """What there is no way around, asked before the compiler is started. Raises KernelRefused.

    Who lacks rights may call nothing: the agent, which knows, says that instead.
    """
    if not types.exists():
        remedy = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, with /sys mounted for the agent"
        raise KernelRefused(f"this kernel has no BTF that tells where its sockets keep their errors ({types})", remedy)
    if not may_call(_PACKETS, _PROBE_READ_KERNEL):
        remedy = "boot with lockdown=integrity or without lockdown (/sys/kernel/security/lockdown says what is on)"
        raise KernelRefused(
            "this kernel forbids BPF programs to read its memory (lockdown=confidentiality does)", remedy
        )


def able(may_call: MayCall) -> set[str]:
    """The names, to be defined for the compiler, of what this kernel can do."""
    return {one.define for one in ABILITIES if may_call(one.program_type, one.helper)}


def offsets_of(member_offset: Callable[[str, str], int | None]) -> dict[str, int]:
    """Where a socket's error, its counts and its network namespace are, by the fields of the control row; 0 where this
    kernel does not say."""
    names = ("sk_err", "sk_err_soft", "sk_error_queue")
    offsets = {f"{name}_offset": member_offset("sock", name) or 0 for name in names}
    parts = (member_offset("sk_buff", "cb"), member_offset("sock_exterr_skb", "ee"))
    offsets["queued_errno_offset"] = sum(parts) if None not in parts else 0  # type: ignore[arg-type]
    offsets |= {f"{name}_offset": member_offset("tcp_sock", name) or 0 for name in ("bytes_sent", "bytes_retrans")}
    offsets["skc_net_offset"] = member_offset("sock_common", "skc_net") or 0
    parts = (member_offset("net", "ns"), member_offset("ns_common", "inum"))
    return offsets | {"inum_offset": sum(parts) if None not in parts else 0}  # type: ignore[arg-type]


def settings_for(offsets: dict[str, int]) -> tuple[dict[str, int], list[list[str]]]:
    """Members of the control row that are the same in every life of the maps; a row for what is not known."""
    limits = Limits()
    settings = {
        "parser_budget": limits.parsers,
        "names_each_endpoint": limits.names_each_endpoint,
        "flows_each_endpoint": limits.flows_each_endpoint,
        "rows_each_endpoint": limits.rows_each_endpoint,
        **offsets,
    }
    if offsets["sk_err_offset"]:
        return settings, []
    reason = "where a socket keeps its error is not in this kernel's BTF"
    return settings, [["connect reasons", reason, "a kernel whose BTF has it"]]
