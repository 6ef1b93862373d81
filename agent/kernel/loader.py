"""A process of its own: compiles, loads and attaches the programs, hands everything over, and exits.

The compiler is a guest: it would stay in the agent's memory for ever. So this runs as
`python -m agent.kernel.loader SOCKET CGROUP_ROOT AGENT`, is told what an old agent offers, sends one description with
the descriptors of maps and links over the socket, and is gone. The only module that imports bcc.
"""

import ctypes
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from agent.kernel import passing, shares
from agent.kernel.abilities import able, check_kernel, offsets_of, settings_for
from agent.kernel.hooks import attach_hooks, check_links, load_hooks
from agent.kernel.layout import MapForm, fingerprint
from agent.kernel.offer import check_maps
from agent.kernel.tracepoints import attach_tracepoints, check_tracepoints, settings_for_walk
from agent.records import KernelRefused, Offer

SOURCES = Path(__file__).resolve().parents[2] / "bpf"
PARTS = (
    "types.h",
    "maps.c",
    "counting.c",
    "packet.c",
    "ordering.c",
    "protocols/http/state.c",
    "protocols/http/pairs.c",
    "protocols/http/lines.c",
    "protocols/http/names.c",
    "protocols/http/window.c",
    "protocols/http/program.c",
    "protocols/dns.c",
    "connection.c",
    "meeting.c",
    "bytes.c",
    "recognition.c",
    "datagrams.c",
    "traffic.c",
    "oom.c",
)


FLOW_OTHER = 1

# One row a parser: its function, at its place among `enum parser`.
_PARSERS = ("parse_http_received", "parse_dns", "keep_early", "replay_early", "replay_http", "parse_http_sent")
PARSERS = {name: place for place, name in enumerate(_PARSERS)}
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
    "shares",
    "inside",
    "named_cgroups",
    "known_connections",
    "connecting",
    "dns_queries",
    "losses",
    "parsers",
    "announcements",
    "parsers_by_protocol",
)
SHAPE = "shape_of_"
STRUCTS = ("flow_seen", "name_seen", "listener_seen", "dns_seen", "oom_kill")


Loaded: TypeAlias = tuple[dict[str, Any], list[int]]


def joined_source() -> str:
    """The parts as one text: BCC rewrites map calls in its main text only. Marks keep the files' names."""
    shapes = "\n".join(f"BPF_ARRAY({SHAPE}{name}, struct {name}, 1);" for name in STRUCTS)
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


def load(cgroup_root: str, offer: Offer | None = None, let_go: Callable[[], None] = lambda: None) -> Loaded:
    """Everything attached: its description, and the descriptors in the description's order.

    `let_go` returns when the old agent has ended, where its maps cannot be used: called when all but attaching is done.
    """
    from agent.kernel import maps

    check_kernel(maps.may_call)
    defines = able(maps.may_call)
    program = compiled(defines)
    tables = tables_of(program)
    names_of_losses = [name for part in reasons().values() for name in part]
    layout = fingerprint((one.form for one in tables.values()), joined_source(), names_of_losses)
    names = [name for name in tables if not name.startswith(SHAPE)]
    old = offer if offer and offer.layout == layout else None
    if old:
        take(old, {name: tables[name].descriptor for name in names}, cgroup_root)
    parsers, missing = load_parsers(program)
    hooks = load_hooks(program, defines)
    settings, unknown = settings_for(offsets_of(maps.member_offset))
    settings |= settings_for_walk(maps.member_offset, cgroup_root)
    if not old:
        prepare(program, settings)
    if offer and not old:
        passing.close_all(offer.descriptors)  # or the old programs would stay for as long as we are here
        let_go()
    for name, parser in parsers.items():
        program["parsers_by_protocol"][ctypes.c_int(PARSERS[name])] = ctypes.c_int(parser)
    old_links = old.links if old else {}
    links = attach_hooks(hooks, cgroup_root, old_links, maps.attach, maps.replace)
    more, refused = attach_tracepoints(program, old_links, settings, maps.attach_tracepoint)
    links |= more
    description = {
        "attached": [*parsers, *links],
        "missing": missing + unknown + refused,
        "reasons": reasons(),
        "maps": {name: map_shape(program[name]) if name in KEPT else ["u4", "u4"] for name in names},
        "structs": {name: describe(program[f"{SHAPE}{name}"].Leaf) for name in STRUCTS},
        "links": list(links),
        "layout": layout,
        "settings": settings,
        "taken_over": old is not None,
    }
    return description, [*(tables[name].descriptor for name in names), *links.values()]


def take(old: Offer, ours: dict[str, int], cgroup_root: str) -> None:
    """No program is loaded yet: each gets the old map where it would have got the new one. Raises WrongDescriptor."""
    check_maps(old.maps, ours)
    check_links(old.links, cgroup_root)
    check_tracepoints(old.links)
    for name, descriptor in old.maps.items():
        os.dup2(descriptor, ours[name])


def compiled(defines: set[str]) -> Any:
    """The module, for a kernel that can do what the defines say."""
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    from bcc import BPF

    flags = [f"-D{one}" for one in sorted(defines)]
    return BPF(text=joined_source(), cflags=["-Wno-macro-redefined", f"-I{SOURCES}", *flags])


def prepare(program: Any, settings: dict[str, int]) -> None:
    """New maps, before a program runs: one without seed and budgets would count what no later one agrees with."""
    for outer, halves in DOUBLED.items():
        for index, half in enumerate(halves):
            program[outer][ctypes.c_int(index)] = ctypes.c_int(program[half].map_fd)
    row = program["control"].Leaf()
    row.seed = secrets.randbits(64)
    for member, value in settings.items():
        setattr(row, member, value)
    program["control"][ctypes.c_int(0)] = row
    for half in DOUBLED["flow_counts"]:
        program[half][ctypes.c_uint64(FLOW_OTHER)] = program[half].Leaf()
    shares.make_common(program["shares"])


@dataclass(frozen=True, slots=True)
class Table:
    """One map of the compiled text."""

    descriptor: int
    form: MapForm


def tables_of(program: Any) -> dict[str, Table]:
    """Every map of the compiled text, also of the kinds that BCC's Python does not know."""
    from bcc import lib

    lib.bpf_num_tables.argtypes, lib.bpf_num_tables.restype = [ctypes.c_void_p], ctypes.c_size_t
    lib.bpf_table_name.argtypes, lib.bpf_table_name.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_char_p
    found = {}
    for place in range(lib.bpf_num_tables(program.module)):
        name = lib.bpf_table_name(program.module, place)
        form = MapForm(
            name.decode(),
            lib.bpf_table_type_id(program.module, place),
            lib.bpf_table_flags_id(program.module, place),
            lib.bpf_table_max_entries_id(program.module, place),
            (lib.bpf_table_key_desc(program.module, name) or b"").decode(),
            (lib.bpf_table_leaf_desc(program.module, name) or b"").decode(),
        )
        found[form.name] = Table(lib.bpf_table_fd(program.module, name), form)
    return found


def load_parsers(program: Any) -> tuple[dict[str, int], list[list[str]]]:
    """Those that this kernel takes, and a row (part, reason, remedy) for each that it refuses."""
    taken, refused = {}, []
    for name in PARSERS:
        try:
            taken[name] = program.load_func(name, program.CGROUP_SKB).fd
        except Exception as error:  # noqa: BLE001 - BCC raises nothing narrower
            reason = f"this kernel refused the parser ({last_line(error)})"
            refused.append([name, reason, "a newer kernel; until then its connections count as unparsed"])
    return taken, refused


def map_shape(table: Any) -> list[Any]:
    has_rows = hasattr(table, "Key") and table.Key is not None
    return [describe(table.Key), describe(table.Leaf)] if has_rows else ["u4", "u4"]


def last_line(error: Exception) -> str:
    lines = re.sub(r"b'([^']*)'", r"\1", str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def main() -> int:
    from agent.kernel.maps import die_with_parent

    # It holds links, and compiles for seconds: killed in that time, an agent would leave them here.
    die_with_parent()
    if os.getppid() != int(sys.argv[3]):
        return 1
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        description, descriptors = load(sys.argv[2], offered(channel), lambda: ask_for_room(channel))
    except KernelRefused as refused:
        passing.send(channel, {"refused": refused.reason, "remedy": refused.remedy})
        return 1
    except Exception as refused:  # noqa: BLE001 - the border: whatever was raised becomes one answer for the agent
        number = getattr(refused, "errno", None)
        passing.send(channel, {"refused": last_line(refused), "kind": type(refused).__name__, "errno": number})
        return 1
    passing.send(channel, description, descriptors)
    return 0


def offered(channel: socket.socket) -> Offer | None:
    """The agent's first word."""
    received = passing.receive(channel)
    if received is None:
        raise RuntimeError("the agent that asked for this has gone")
    order, descriptors = received
    if "layout" not in order:
        return None
    maps = len(order["maps"])
    links = dict(zip(order["links"], descriptors[maps:], strict=True))
    return Offer(order["layout"], dict(zip(order["maps"], descriptors[:maps], strict=True)), links)


def ask_for_room(channel: socket.socket) -> None:
    """The old agent's maps have another layout: it must be gone before we attach, or all would count twice."""
    passing.send(channel, {"differs": True})
    if passing.receive(channel) is None:
        raise RuntimeError("the agent gave the start up")


if __name__ == "__main__":
    sys.exit(main())
