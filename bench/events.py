"""The usual design, to compare with: the same hooks ship an event a request, and Python aggregates them.

python -m bench.events CGROUP_ROOT     prints `ready`, then works until it is ended
"""

import signal
import struct
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from agent.kernel import compiler, loader, maps, programs, sources
from agent.kernel.abilities import able, offsets_of, settings_for
from agent.kernel.hooks import attach_hooks, wanted_hooks
from agent.kernel.layout import dtype_of
from agent.kernel.maps import Map, Ring

_OURS = Path(__file__).with_name("events.c")
_THEIRS = "static __always_inline void count_request("


def source(product: str) -> str:
    """The product's programs with another count_request."""
    if product.count(_THEIRS) != 1:
        raise ValueError("bpf/requests.c has another count_request than this expects")
    before, _, after = product.partition("/* One more of these requests.")
    return (
        before
        + _OURS.read_text()
        + "/* One more of these requests."
        + after.replace(_THEIRS, _THEIRS[:-1] + "_in_rows(")
    )


def main() -> None:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    defines = able(programs.may_call)
    functions = [*loader.PARSERS, *(one.function for one in wanted_hooks(defines))]
    text = source(sources.joined_source())
    compiled = compiler.compiled(text, defines, functions, [*sources.STRUCTS, "request_event"])
    made = loader.made_maps(compiled)
    tables = {name: Map(made[name], *map(dtype_of, shape)) for name, shape in compiled.shapes.items()}
    load_one = loader.loading(compiled, made)
    parsers, _, hooks = loader.load_programs(load_one, defines)
    loader.prepare(tables, settings_for(offsets_of(maps.member_offset))[0])
    for name, parser in parsers.items():
        tables["parsers_by_protocol"].put(loader.PARSERS[name], parser)
    _links = attach_hooks(hooks, sys.argv[1], {}, maps.attach, maps.replace)
    aggregate(
        made["request_events"],
        Map(made["events_lost"], np.dtype("u4"), np.dtype("u8")),
        compiled.structs["request_event"],
        ended,
    )


def aggregate(events: int, lost: Map, shape: Any, ended: threading.Event) -> None:
    """What such an agent does with an event: reads its members, and adds to the row of its key."""
    members = _reader(dtype_of(shape))
    counts: Counter[tuple[int, ...]] = Counter()
    sums_ns: Counter[tuple[int, ...]] = Counter()

    def on_event(event: bytes) -> None:
        *key, latency_ns = members.unpack(event)
        one = tuple(key)
        counts[one] += 1
        sums_ns[one] += latency_ns

    ring = Ring(events, on_event)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not ended.is_set():
        ring.poll(100)
    found = lost.get(0)
    assert found is not None
    sys.stdout.write(f"{sum(counts.values())} events, {int(found[0])} lost\n")


def _reader(event: np.dtype[Any]) -> struct.Struct:
    """Of the members of a request's key, then of its latency."""
    request, form, at = event["request"], "=", 0
    for name in ("flow", "name", "host", "latency_bucket", "code", "operation", "outcome"):
        kind, offset, *_ = request.fields[name]  # type: ignore[index]
        form += f"{offset - at}x{'BHIQ'[(kind.itemsize - 1).bit_length()]}"
        at = offset + kind.itemsize
    behind = event.fields["latency_ns"][1] - at  # type: ignore[index]
    return struct.Struct(f"{form}{behind}xQ")


if __name__ == "__main__":
    main()
