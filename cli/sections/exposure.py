"""How the node may be reached from outside, and how it was."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cli.overview import clock
from cli.render import safe, table

Json = Mapping[str, Any]

_OPENING_HEADINGS: Final = ("OPEN BY", "NAME", "PORT", "AT", "ENCRYPTED")
_REACHED_HEADINGS: Final = ("REACHED AT", "CONNECTIONS", "ENCRYPTED", "FIRST SEEN", "LAST SEEN")

# What a way in that names no address is reached by; every other one waits for who serves it.
_WITHOUT_ADDRESS: Final = {"node_port": "every node", **dict.fromkeys(("host_port", "host_network"), "its machines")}


def exposure(answer: Json) -> str:
    """What the cluster declares, then what came from outside in the window."""
    return "\n\n".join(_parts(answer.get("exposure"), answer.get("reached") or ()))


def _parts(declared: Json | None, reached: Any) -> Iterator[str]:
    if declared and declared["openings"]:
        yield table(_OPENING_HEADINGS, map(_opening, declared["openings"]))
    elif declared is not None:
        yield "nothing that the cluster declares leads here from outside"
    if reached:
        yield table(_REACHED_HEADINGS, map(_reached, reached))
    elif declared and declared["openings"]:
        yield "not reached from outside in this window, as far as addresses show"


def _opening(one: Json) -> tuple[object, ...]:
    at = ", ".join(map(safe, one["hosts"])) or _WITHOUT_ADDRESS.get(one["kind"], "no address yet")
    return one["kind"].replace("_", " "), one["name"] or None, one["port"] or "any", at, _yes(one["encrypted"])


def _reached(one: Json) -> tuple[object, ...]:
    at = f"{one['protocol']}:{one['port']}"
    return at, one["connections"], _yes(one["encrypted"]), clock(one["first_seen"]), clock(one["last_seen"])


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
