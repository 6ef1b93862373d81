"""A process of its own: compiles where nobody has done so before, loads and attaches, hands everything over, and exits.

The compiler is a guest: it would stay in the agent's memory for ever. So this runs as
`python -m agent.kernel.loader SOCKET CGROUP_ROOT AGENT CACHE`, is told what an old agent offers, sends one description
with the descriptors of maps and links over the socket, and is gone.
"""

import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from inspect import getsource
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from agent.kernel import compiled as compiled_code
from agent.kernel import compiler, kept, layout, maps, passing, programs, shares, sources
from agent.kernel.abilities import able, check_kernel, offsets_of, settings_for
from agent.kernel.compiled import Compiled, bound, key_of
from agent.kernel.hooks import CGROUP_SKB, Hook, Load, attach_hooks, check_links, load_hooks, wanted_hooks
from agent.kernel.layout import dtype_of
from agent.kernel.libbpf import KernelCallFailed
from agent.kernel.maps import Map
from agent.kernel.offer import check_maps
from agent.kernel.programs import ProgramRefused
from agent.kernel.tracepoints import TRACEPOINTS, attach_tracepoints, check_tracepoints, settings_for_walk
from agent.records import FLOW_OTHER, KernelRefused, Offer

# One row a parser: its function, at its place among `enum parser`.
_PARSERS = (
    "parse_http_received",
    "parse_dns",
    "keep_early",
    "replay_early",
    "replay_http",
    "parse_http_sent",
    "parse_tls",
    "parse_quic",
)
PARSERS = {name: place for place, name in enumerate(_PARSERS)}
DOUBLED = {"flow_counts": ("flow_counts_0", "flow_counts_1"), "request_rows": ("request_rows_0", "request_rows_1")}

Loaded: TypeAlias = tuple[dict[str, Any], list[int]]


def load(
    cgroup_root: str,
    offer: Offer | None = None,
    let_go: Callable[[], None] = lambda: None,
    cache: Path | None = None,
) -> Loaded:
    """Everything attached: its description, and the descriptors in the description's order.

    `let_go` returns when the old agent has ended, where its maps cannot be used: called when all but attaching is done.
    """
    check_kernel(programs.may_call)
    defines = able(programs.may_call)
    compiled, cached = compiled_for(defines, cache)
    old = offer if offer and offer.layout == compiled.layout else None
    made = made_maps(compiled)
    if old:
        take(old, made, cgroup_root)
    load_one = loading(compiled, made)
    parsers, missing, hooks = load_programs(load_one, defines)
    settings, unknown = settings_for(offsets_of(maps.member_offset))
    settings |= settings_for_walk(maps.member_offset, cgroup_root)
    tables = {name: Map(made[name], *map(dtype_of, shape)) for name, shape in compiled.shapes.items()}
    if not old:
        prepare(tables, settings)
    if offer and not old:
        passing.close_all(offer.descriptors)  # or the old programs would stay for as long as we are here
        let_go()
    for name, parser in parsers.items():
        tables["parsers_by_protocol"].put(PARSERS[name], parser)
    old_links = old.links if old else {}
    links = attach_hooks(hooks, cgroup_root, old_links, maps.attach, maps.replace)
    more, refused = attach_tracepoints(load_one, old_links, settings, maps.attach_tracepoint)
    links |= more
    description = {
        "attached": [*parsers, *links],
        "missing": missing + unknown + refused,
        "reasons": sources.reasons(),
        "maps": compiled.shapes,
        "structs": compiled.structs,
        "links": list(links),
        "layout": compiled.layout,
        "settings": settings,
        "taken_over": old is not None,
        "cache": cached,
    }
    return description, [*made.values(), *links.values()]


def compiled_for(defines: set[str], cache: Path | None) -> tuple[Compiled, str]:
    """And what became of the cache."""
    text = sources.joined_source()
    functions = [*PARSERS, *(one.function for one in wanted_hooks(defines)), *(one.function for one in TRACEPOINTS)]
    # Whatever may change what is kept, or what it means: the modules that make it too.
    made_by = [getsource(one) for one in (compiler, compiled_code, layout)]
    system = os.uname()
    circumstances = [sources.headers(), *made_by, *sorted(defines), *functions, system.machine, system.release]
    key = key_of(text, *circumstances, _version_of_bcc())
    return kept.read_or_compile(cache, key, lambda: compiler.compiled(text, defines, functions))


def _version_of_bcc() -> str:
    """Without importing it, which takes long. Raises ModuleNotFoundError."""
    found = find_spec("bcc")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'bcc'")
    return Path(found.origin).with_name("version.py").read_text()


def made_maps(compiled: Compiled) -> dict[str, int]:
    """Descriptors. A map of maps is told one that it will hold."""
    btf = programs.load_btf(compiled.btf)
    made: dict[str, int] = {}
    for name, spec in sorted(compiled.maps.items(), key=lambda one: one[0] in DOUBLED):
        inner = made[DOUBLED[name][0]] if name in DOUBLED else 0
        made[name] = programs.make_map(name, spec, btf, inner)
    os.close(btf)
    return {name: made[name] for name in compiled.maps}


def loading(compiled: Compiled, made: Mapping[str, int]) -> Load:
    descriptors = [made[name] for name in compiled.maps]

    def load_one(function: str, kind: int, attach_type: int) -> int:
        return programs.load_program(kind, function, bound(compiled.functions[function], descriptors), attach_type)

    return load_one


def take(old: Offer, ours: dict[str, int], cgroup_root: str) -> None:
    """No program is loaded yet: each gets the old map where it would have got the new one. Raises WrongDescriptor."""
    check_maps(old.maps, ours)
    check_links(old.links, cgroup_root)
    check_tracepoints(old.links)
    for name, descriptor in old.maps.items():
        os.dup2(descriptor, ours[name])


def prepare(tables: Mapping[str, Map], settings: dict[str, int]) -> None:
    """New maps, before a program runs: one without seed and budgets would count what no later one agrees with."""
    for outer, halves in DOUBLED.items():
        for index, half in enumerate(halves):
            tables[outer].put(index, tables[half].descriptor)
    row = np.zeros(1, tables["control"].value)
    row["seed"] = secrets.randbits(64)
    for member, value in settings.items():
        row[member] = value
    tables["control"].put(0, row[0])
    for half in DOUBLED["flow_counts"]:
        tables[half].put(FLOW_OTHER, np.zeros(1, tables[half].value)[0])
    shares.make_common(tables["shares"])


def load_programs(load_one: Load, defines: set[str]) -> tuple[dict[str, int], list[list[str]], dict[Hook, int]]:
    """Parsers that this kernel takes, a row (part, reason, remedy) for each that it refuses, and all hooks.

    Two at once: it checks the longer ones for a third of a second each, and that is most of an agent's start.
    """
    taken, refused = {}, []
    with ThreadPoolExecutor(max_workers=2) as pool:

        def begin(function: str, kind: int, attach_type: int) -> Future[int]:
            return pool.submit(load_one, function, kind, attach_type)

        begun = {name: begin(name, CGROUP_SKB, 0) for name in PARSERS}
        hooks = load_hooks(begin, defines)
    for name, loaded in begun.items():
        try:
            taken[name] = loaded.result()
        except (ProgramRefused, KernelCallFailed) as error:
            reason = f"this kernel refused the parser ({error})"
            refused.append([name, reason, "a newer kernel; until then its connections count as unparsed"])
    return taken, refused, {hook: loaded.result() for hook, loaded in hooks.items()}


def last_line(error: Exception) -> str:
    lines = re.sub(r"b'([^']*)'", r"\1", str(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def main() -> int:
    # It holds links, and compiles for seconds: killed in that time, an agent would leave them here.
    maps.die_with_parent()
    if os.getppid() != int(sys.argv[3]):
        return 1
    channel = socket.socket(fileno=int(sys.argv[1]))
    cache = Path(sys.argv[4]) if sys.argv[4] else None
    try:
        description, descriptors = load(sys.argv[2], offered(channel), lambda: ask_for_room(channel), cache)
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
