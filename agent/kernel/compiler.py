"""The only module that imports bcc: from the text of bpf/ to code and descriptions as plain data."""

import ctypes
import os
from collections.abc import Iterable
from typing import Any

from agent.kernel.compiled import Compiled, MapSpec, unbound
from agent.kernel.layout import MapForm, fingerprint
from agent.kernel.offer import facts
from agent.kernel.programs import btf_of, read_btf
from agent.kernel.sources import SHAPE, SOURCES, STRUCTS, reasons

# Maps whose rows the agent reads or writes.
KEPT = (
    "control",
    "flows",
    "flow_counts_0",
    "flow_counts_1",
    "request_rows_0",
    "request_rows_1",
    "flow_counts",
    "placed_counts",
    "placed_rows",
    "places",
    "names",
    "shares",
    "inside",
    "named_cgroups",
    "known_connections",
    "connecting",
    "dns_queries",
    "quic_names",
    "losses",
    "parsers",
    "announcements",
    "parsers_by_protocol",
)


def compiled(text: str, defines: set[str], functions: Iterable[str], structs: Iterable[str] = STRUCTS) -> Compiled:
    """For a kernel that can do what the defines say. `structs`: those that the text has a map for, named after it.

    What BCC has made in the kernel meanwhile is gone when this returns.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(SOURCES)
    from bcc import BPF

    flags = ["-Wno-macro-redefined", "-Werror=implicit-function-declaration", *(f"-D{one}" for one in sorted(defines))]
    program = BPF(text=text, cflags=[f"-I{SOURCES}", *flags])
    try:
        return _taken_out(program, text, functions, structs)
    finally:
        program.cleanup()


def _taken_out(program: Any, text: str, functions: Iterable[str], structs: Iterable[str]) -> Compiled:
    forms, descriptors = _tables_of(program)
    names = [name for name in forms if not name.startswith(SHAPE)]
    told = {name: btf_of(descriptors[name]) for name in names}
    places = {descriptors[name]: place for place, name in enumerate(names)}
    return Compiled(
        maps={name: _spec(descriptors[name], *told[name][1:]) for name in names},
        functions={name: unbound(program.dump_func(name.encode()), places) for name in functions},
        btf=read_btf(next(number for number, *_ in told.values() if number)),
        shapes={name: _shape(program[name]) if name in KEPT else ["u4", "u4"] for name in names},
        structs={name: _described(program[f"{SHAPE}{name}"].Leaf) for name in structs},
        layout=fingerprint(forms.values(), text, [name for part in reasons().values() for name in part]),
    )


def _tables_of(program: Any) -> tuple[dict[str, MapForm], dict[str, int]]:
    """Every map of the compiled text, also of the kinds that BCC's Python does not know."""
    from bcc import lib

    lib.bpf_num_tables.argtypes, lib.bpf_num_tables.restype = [ctypes.c_void_p], ctypes.c_size_t
    lib.bpf_table_name.argtypes, lib.bpf_table_name.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_char_p
    forms, descriptors = {}, {}
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
        forms[form.name], descriptors[form.name] = form, lib.bpf_table_fd(program.module, name)
    return forms, descriptors


def _spec(descriptor: int, btf_key: int, btf_value: int) -> MapSpec:
    """By the kernel's own word of the map that BCC has made."""
    told = facts(descriptor)
    sizes = (int(told["key_size"]), int(told["value_size"]), int(told["max_entries"]))
    return MapSpec(int(told["map_type"]), *sizes, int(told["map_flags"], 16), btf_key, btf_value)


def _shape(table: Any) -> list[Any]:
    has_rows = hasattr(table, "Key") and table.Key is not None
    return [_described(table.Key), _described(table.Leaf)] if has_rows else ["u4", "u4"]


def _described(shape: Any) -> Any:
    """A ctypes type as what numpy.dtype accepts, in JSON: a code, or a list of [name, type, count]."""
    if issubclass(shape, ctypes.Structure):
        fields: list[list[Any]] = []
        for field in shape._fields_:
            name, kind = field[0], field[1]
            count = 1
            if issubclass(kind, ctypes.Array):
                kind, count = kind._type_, kind._length_
            fields.append([name, _described(kind), count])
        return fields
    if shape is ctypes.c_char:
        return "S"
    size = ctypes.sizeof(shape)
    return f"{'i' if shape(-1).value == -1 else 'u'}{size}"
