"""A process of its own: compiles, loads and attaches the programs, hands everything over, and exits.

The compiler is a guest: it would stay in the agent's memory for ever. So this runs as
`python -m agent.kernel.loader SOCKET CGROUP_ROOT`, sends one JSON description with the descriptors of
maps and links over the socket, and is gone. The only module that imports bcc.
"""

import ctypes
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "bpf"
PARTS = (
    "types.h",
    "maps.c",
    "counting.c",
    "packet.c",
    "ordering.c",
    "protocols/http.c",
    "protocols/dns.c",
    "connection.c",
    "traffic.c",
)


@dataclass(frozen=True, slots=True)
class Hook:
    """An entry program: where it is attached and what is missing without it."""

    function: str
    program_type: str
    attach_type: int
    gives: str


HOOKS = (
    Hook("on_egress", "CGROUP_SKB", 1, "what is sent"),
    Hook("on_ingress", "CGROUP_SKB", 0, "what is received"),
    Hook("on_socket", "SOCK_OPS", 3, "connections, listeners, failures and retransmits"),
    Hook("on_connect4", "CGROUP_SOCK_ADDR", 10, "who connects, and to which IPv4 address it asked"),
    Hook("on_connect6", "CGROUP_SOCK_ADDR", 11, "who connects, and to which IPv6 address it asked"),
)


@dataclass(frozen=True, slots=True)
class Ability:
    """What some kernels let a type of program do: compiled in where this one does."""

    define: str
    program_type: int
    helper: int
    missing: tuple[str, str, str] | None


_GET_NETNS_COOKIE = 122
ABILITIES = (
    # Without it only UDP sockets that never connect, and what is older than the agent, are not told apart.
    Ability("NETNS_IN_PACKETS", 8, _GET_NETNS_COOKIE, None),
    Ability(
        "NETNS_IN_CALLBACKS",
        13,
        _GET_NETNS_COOKIE,
        (
            "network namespaces of servers",
            "this kernel does not tell them to socket callbacks",
            "Linux 5.15 or newer; until then equal addresses of two namespaces in one cgroup may count as one",
        ),
    ),
)

PARSER_BUDGET = 50_000
NAMES_EACH_ENDPOINT = 512

# One row a parser: its function and its place among `enum parser`.
PARSERS = {"parse_http": 0, "parse_dns": 1}
DOUBLED = {"flow_counts": ("flow_counts_0", "flow_counts_1"), "request_rows": ("request_rows_0", "request_rows_1")}
KEPT = (
    "control",
    "flows",
    "flow_counts_0",
    "flow_counts_1",
    "request_rows_0",
    "request_rows_1",
    "flow_counts",
    "names",
    "name_budgets",
    "named_cgroups",
    "known_connections",
    "connecting",
    "dns_queries",
    "losses",
    "parsers",
    "announcements",
    "parsers_by_protocol",
)
STRUCTS = ("flow_seen", "name_seen", "listener_seen", "dns_seen")


def joined_source() -> str:
    """The parts as one text: BCC rewrites map calls in its main text only. Marks keep the files' names."""
    shapes = "\n".join(f"BPF_ARRAY(shape_of_{name}, struct {name}, 1);" for name in STRUCTS)
    parts = [f'#line 1 "{part}"\n{(SOURCES / part).read_text().replace("#pragma once", "")}' for part in PARTS]
    return "\n".join([*parts, '#line 1 "shapes"', shapes])


def reasons() -> dict[str, list[str]]:
    """The names behind `losses`, in order, read from where they are declared."""
    text = (SOURCES / "types.h").read_text()
    found = {}
    for macro in ("LOSSES", "DROPS"):
        body = text.split(f"#define {macro}(X)", 1)[1].split("\n\n", 1)[0]
        found[macro.lower()] = re.findall(r"X\((\w+)\)", body)
    return found


def describe(shape: Any) -> Any:
    """A ctypes type as what numpy.dtype accepts, in JSON: a code, or a list of [name, type, count]."""
    if issubclass(shape, ctypes.Structure):
        fields: list[list[Any]] = []
        for field in shape._fields_:
            name, kind = field[0], field[1]
            count = 1
            if issubclass(kind, ctypes.Array):
                kind, count = kind._type_, kind._length_
            fields.append([name, describe(kind), count])
        return fields
    if shape is ctypes.c_char:
        return "S"
    size = ctypes.sizeof(shape)
    return f"{'i' if shape(-1).value == -1 else 'u'}{size}"


def load(cgroup_root: str) -> tuple[dict[str, Any], list[int]]:
    """Everything attached: its description, and the descriptors in the description's order."""
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    from bcc import BPF

    from agent.kernel import maps

    defines, unable = able(maps.may_call)
    program = BPF(text=joined_source(), cflags=["-Wno-macro-redefined", f"-I{SOURCES}", *defines])
    parsers, missing = load_parsers(program)
    missing += unable
    for outer, halves in DOUBLED.items():
        for index, half in enumerate(halves):
            program[outer][ctypes.c_int(index)] = ctypes.c_int(program[half].map_fd)
    offsets = error_offsets(maps.member_offset)
    if not offsets["sk_err_offset"]:
        missing.append(["connect reasons", "this kernel has no BTF", "use a kernel built with CONFIG_DEBUG_INFO_BTF"])
    set_control(program["control"], offsets)
    links = attach_hooks(program, cgroup_root, maps.attach)
    description = {
        "attached": [*parsers, *(hook.function for hook in HOOKS)],
        "missing": missing,
        "reasons": reasons(),
        "maps": {name: map_shape(program[name]) for name in KEPT},
        "structs": {name: describe(program[f"shape_of_{name}"].Leaf) for name in STRUCTS},
    }
    return description, [*(program[name].map_fd for name in KEPT), *links]


def able(may_call: Callable[[int, int], bool]) -> tuple[list[str], list[list[str]]]:
    """The compiler's flags for what this kernel can do, and a row (part, reason, remedy) for what it cannot."""
    there = [one for one in ABILITIES if may_call(one.program_type, one.helper)]
    missing = [list(one.missing) for one in ABILITIES if one.missing and one not in there]
    return [f"-D{one.define}" for one in there], missing


def set_control(table: Any, offsets: dict[str, int]) -> None:
    """Before the first program runs: a run without seed and budgets would count what no later one agrees with."""
    row = table.Leaf()
    row.seed = secrets.randbits(64)
    row.parser_budget = PARSER_BUDGET
    row.names_each_endpoint = NAMES_EACH_ENDPOINT
    for field, offset in offsets.items():
        setattr(row, field, offset)
    table[ctypes.c_int(0)] = row


def error_offsets(member_offset: Callable[[str, str], int | None]) -> dict[str, int]:
    """Where a socket's error is, by the fields of the control row; 0 where this kernel does not say."""
    names = ("sk_err", "sk_err_soft", "sk_error_queue")
    offsets = {f"{name}_offset": member_offset("sock", name) or 0 for name in names}
    parts = (member_offset("sk_buff", "cb"), member_offset("sock_exterr_skb", "ee"))
    offsets["queued_errno_offset"] = sum(parts) if None not in parts else 0  # type: ignore[arg-type]
    return offsets


def load_parsers(program: Any) -> tuple[list[str], list[list[str]]]:
    """Those that this kernel takes, and a row (part, reason, remedy) for each that it refuses."""
    taken, refused = [], []
    for name, place in PARSERS.items():
        try:
            parser = program.load_func(name, program.CGROUP_SKB)
        except Exception as error:  # noqa: BLE001 - BCC raises nothing narrower
            reason = f"this kernel refused the parser ({last_line(error)})"
            refused.append([name, reason, "a newer kernel; until then its connections count as unparsed"])
            continue
        program["parsers_by_protocol"][ctypes.c_int(place)] = ctypes.c_int(parser.fd)
        taken.append(name)
    return taken, refused


def attach_hooks(program: Any, cgroup_root: str, attach: Callable[[int, int, int], int]) -> list[int]:
    """Links in the order of HOOKS. Without any one of them the counts would lie: so a refusal is final."""
    cgroup = os.open(cgroup_root, os.O_RDONLY | os.O_DIRECTORY)
    links = []
    for hook in HOOKS:
        extra = {"attach_type": hook.attach_type} if hook.program_type == "CGROUP_SOCK_ADDR" else {}
        function = program.load_func(hook.function, getattr(program, hook.program_type), **extra)
        links.append(attach(function.fd, cgroup, hook.attach_type))
    os.close(cgroup)
    return links


def map_shape(table: Any) -> list[Any]:
    has_rows = hasattr(table, "Key") and table.Key is not None
    return [describe(table.Key), describe(table.Leaf)] if has_rows else ["u4", "u4"]


def last_line(error: Exception) -> str:
    lines = re.sub(r"b'([^']*)'", r"\1", str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def main() -> int:
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        description, descriptors = load(sys.argv[2])
    except Exception as refused:  # noqa: BLE001 - the border: whatever was raised becomes one answer for the agent
        number = getattr(refused, "errno", None)
        answer = {"refused": last_line(refused), "kind": type(refused).__name__, "errno": number}
        channel.sendall(json.dumps(answer).encode() + b"\n")
        return 1
    socket.send_fds(channel, [b"!"], descriptors)
    channel.sendall(json.dumps(description).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
