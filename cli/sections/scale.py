"""How many pods of the node there are and shall be, what scales it, and what its machines are short of."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.render import decimal, safe

Json = Mapping[str, Any]


def scale(answer: Json) -> str:
    found = answer.get("scale")
    return "\n".join(_lines(found)) if found else ""


def _lines(found: Json) -> Iterator[str]:
    wanted = "" if found["wanted"] is None else f" of {found['wanted']} wanted"
    yield f"{found['pods']}{wanted}, {found['ready']} ready, {found['restarts']} restart(s) of their containers"
    for one in found["autoscalers"]:
        targets = "; ".join(_target(target) for target in one["targets"]) or "no metric"
        trouble = f"; does not scale: {one['trouble']}" if one["trouble"] else ""
        between = f"{one['least']} to {one['most']}, has {one['current']}, wants {one['desired']}"
        yield safe(f"autoscaler {one['name']}: {between}; {targets}{trouble}")
    for one in found["pressures"]:
        yield safe(f"machine {one['host']}: {', '.join(one['conditions'])}")


def _target(one: Json) -> str:
    word = {"percent": " %", "average": " a pod"}.get(one["unit"], "")
    return f"{one['metric']} {decimal(one['current']) or '?'} of {decimal(one['wanted']) or '?'}{word}"
