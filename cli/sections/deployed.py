"""What of the node is deployed: its revisions and rollouts, what is by hand, and what happened to it."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli import happenings
from cli.render import safe, table

Json = Mapping[str, Any]

_MOST_EVENTS = 20


def revisions(answer: Json) -> str:
    rows = [
        [
            one["hash"] or "-",
            f"{one['ready']}/{one['replicas']}",
            one["host_count"],
            image["container"],
            image["image"],
            image["digest"] or "-",
        ]
        for one in answer.get("revisions") or ()
        for image in one["images"]
    ]
    head = ["REVISION", "READY", "HOSTS", "CONTAINER", "IMAGE", "DIGEST"]
    lines = [safe(_rollout(one)) for one in answer.get("rollouts") or ()]
    return "\n".join(([table(head, rows)] if rows else []) + lines)


def by_hand(answer: Json) -> str:
    lines = [safe(_field(one)) for one in answer.get("by_hand") or ()]
    more = answer.get("more_by_hand")
    return "\n".join(lines + ([f"and {more} more fields"] if more else []))


def events(answer: Json) -> str:
    return "\n".join(_events(answer))


def _events(answer: Json) -> Iterator[str]:
    every = answer.get("events") or ()
    if len(every) > _MOST_EVENTS:
        yield f"{len(every) - _MOST_EVENTS} older ones are left out"
    for one in every[-_MOST_EVENTS:]:
        _, _, said = happenings.sentence(one).partition("  ")
        yield f"{one['time'][11:19]}  {one['kind']:<15} {safe(said)}"


def _rollout(one: Json) -> str:
    way = " -> ".join(filter(None, (one["previous_revision"], one["revision"])))
    counts = f"{one['updated']} of {one['wanted']} updated, {one['available']} available"
    why = f": {': '.join(filter(None, (one['reason'], one['message'])))}" if one["reason"] else ""
    when = one["ended"] or one["began"]
    since = f" since {when}" if when else ""
    return f"{one['object']}: {one['state'].replace('_', ' ')} {way}{since}, {counts}{why}"


def _field(one: Json) -> str:
    before = f" (was {one['before']})" if one["before"] else ""
    now = f" is {one['after']}" if one["after"] else ""
    at = f" at {one['time']}" if one["time"] else ""
    return f"{one['path']}{now}{before}  by {one['manager'] or 'unknown'}{at}"
