"""The usual design, to compare with: the same hooks ship an event a request, and Python aggregates them.

python -m bench.events CGROUP_ROOT     prints `ready`, then works until it is ended
"""

import ctypes
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from agent.kernel import loader, maps
from agent.kernel.abilities import able, offsets_of, settings_for
from agent.kernel.hooks import attach_hooks, load_hooks

_OURS = Path(__file__).with_name("events.c")
_THEIRS = "static __always_inline void count_request("


def source(product: str) -> str:
    """The product's programs with another count_request."""
    if product.count(_THEIRS) != 1:
        raise ValueError("bpf/counting.c has another count_request than this expects")
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
    text = loader.joined_source
    loader.joined_source = lambda: source(text())
    defines = able(maps.may_call)
    program = loader.compiled(defines)
    parsers, _ = loader.load_parsers(program)
    loader.prepare(program, settings_for(offsets_of(maps.member_offset))[0])
    for name, parser in parsers.items():
        program["parsers_by_protocol"][ctypes.c_int(loader.PARSERS[name])] = ctypes.c_int(parser)
    _links = attach_hooks(load_hooks(program, defines), sys.argv[1], {}, maps.attach, maps.replace)
    aggregate(program, ended)


def aggregate(program: Any, ended: threading.Event) -> None:
    """What such an agent does with an event: reads its members, and adds to the row of its key."""
    shape = program["shape_of_request_event"].Leaf
    counts: Counter[tuple[int, ...]] = Counter()
    sums_ns: Counter[tuple[int, ...]] = Counter()

    def on_event(_context: object, data: int, _size: int) -> None:
        event = ctypes.cast(data, ctypes.POINTER(shape)).contents
        one = event.request
        key = (one.flow, one.name, one.host, one.latency_bucket, one.code, one.operation, one.outcome)
        counts[key] += 1
        sums_ns[key] += event.latency_ns

    program["request_events"].open_ring_buffer(on_event)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not ended.is_set():
        program.ring_buffer_poll(100)
    lost = program["events_lost"][ctypes.c_int(0)].value
    sys.stdout.write(f"{sum(counts.values())} events, {lost} lost\n")


if __name__ == "__main__":
    main()
