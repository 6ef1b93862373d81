"""What the node's containers, or its unit, used, beside what they asked for and may use."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cli.render import Quantity, byte_size, decimal, percent, safe, table

Json = Mapping[str, Any]

_NOTHING: Final[Json] = {}
_CONTAINER_HEADINGS: Final = (
    "CONTAINER", "COUNT", "CORES", "ASKED", "LIMIT", "THROTTLED", "MEMORY", "ASKED", "LIMIT", "MOST OF ONE", "OOM",
    "RESTARTS", "WAITS", "LAST END",
)  # fmt: skip


def resources(answer: Json) -> str:
    used, scale = answer["resources"] or _NOTHING, answer.get("scale") or _NOTHING
    lines = [f"{word:<8}  {text}" for word, text in _lines(used, scale.get("granted") or _NOTHING)]
    rows = list(_container_rows(used, scale))
    if rows:
        lines += [*([""] if lines else []), table(_CONTAINER_HEADINGS, rows)]
    return "\n".join(lines)


def _lines(used: Json, granted: Json) -> Iterator[tuple[str, str]]:
    """Only what is known."""
    cores = _beside(used, granted, "cpu_cores", "cpu_request_cores", "cpu_limit_cores", decimal)
    if cores:
        yield "CPU", f"{cores}{_throttled(used)}"
    memory = _beside(used, granted, "memory_bytes", "memory_request_bytes", "memory_limit_bytes", byte_size)
    if memory:
        peak = used.get("memory_peak_share")
        yield "Memory", memory + ("" if peak is None else f", at most {percent(peak)} of what one may have")
    if used.get("oom_kills"):
        yield "OOM", f"{used['oom_kills']} process(es) ended for want of memory in this window"
    if used:
        sent, received = used["network_sent_bytes"], used["network_received_bytes"]
        yield "Network", f"{byte_size(sent)} sent, {byte_size(received)} received"


def _beside(used: Json, granted: Json, what: str, asked: str, limit: str, form: Callable[[Any], object]) -> str:
    """ "" where nothing of it is known. What holds in the kernel stands before what the API says."""
    unit = " cores" if what == "cpu_cores" else ""
    parts = (
        ("used", used.get(what)),
        ("asked for", granted.get(asked)),
        ("limit", _first(used.get(limit), granted.get(limit))),
    )
    return ", ".join(f"{word} {form(number)}{unit}" for word, number in parts if number is not None)


def _throttled(used: Json) -> str:
    share, seconds = used.get("cpu_throttled_share"), used.get("cpu_throttled_seconds")
    return f", throttled in {percent(share)} of periods for {decimal(seconds)} s" if share else ""


def _container_rows(used: Json, scale: Json) -> Iterator[tuple[object, ...]]:
    """By their names, as either of the two knows them."""
    in_kernel = {one["name"]: one for one in used.get("containers", ())}
    in_api = {one["name"]: one for one in scale.get("containers", ())}
    for name in sorted({*in_kernel, *in_api}):
        yield _container_row(name, in_kernel.get(name, _NOTHING), in_api.get(name, _NOTHING))


def _container_row(name: str, one: Json, told: Json) -> tuple[object, ...]:
    granted = told.get("granted") or _NOTHING
    return (
        name or "(other)",
        _first(one.get("count"), told.get("count")),
        decimal(one.get("cpu_cores")),
        decimal(granted.get("cpu_request_cores")),
        decimal(_first(one.get("cpu_limit_cores"), granted.get("cpu_limit_cores"))),
        percent(one.get("cpu_throttled_share")),
        _size(one.get("memory_bytes")),
        _size(granted.get("memory_request_bytes")),
        _size(_first(one.get("memory_limit_bytes"), granted.get("memory_limit_bytes"))),
        _size(one.get("memory_peak_bytes")),
        one.get("oom_kills"),
        told.get("restarts"),
        _waiting(told),
        _last_end(told),
    )


def _waiting(told: Json) -> str | None:
    return ", ".join(f"{count} {safe(reason)}" for reason, count in told.get("waiting", _NOTHING).items()) or None


def _last_end(told: Json) -> str | None:
    ended = told.get("last_ended")
    return f"{ended[11:19]} {told['last_end'] or '?'} ({told['last_exit_code']})" if ended else None


def _size(size: int | None) -> Quantity | None:
    return None if size is None else byte_size(size)


def _first(*known: Any) -> Any:
    return next((one for one in known if one is not None), None)
