"""What happened to a workload or a third party, in one line for people. Pure."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

_MOST_FIELDS = 5
_MOST_AFFECTED = 5


def sentence(event: Row) -> str:
    """Of one event, without its time and kind."""
    subject = event["node"] or event["object"]
    if event["kind"] == "warning":
        times = f" ({event['count']} times)" if event["count"] > 1 else ""
        return f"{subject}  {event['reason']} at {event['object']}{times}: {event['message']}"
    if event["kind"] == "third_party":
        return f"{subject}  {_third_party(event['third_party'])}"
    if event["kind"] == "rollout":
        return f"{subject}  {_rollout(event)}"
    return f"{subject}  {changes(event)}"


def changes(event: Row) -> str:
    """Which fields, what they were and are where that is told, and who did it."""
    shown = [_field(one) for one in event["changes"][:_MOST_FIELDS]]
    more = len(event["changes"]) - len(shown) + event["more_changes"]
    managers = sorted({one["manager"] or "unknown" for one in event["changes"] if one["manager"] or one["by_hand"]})
    by = f"  by {', '.join(managers)}" if managers else ""
    return ", ".join(shown) + (f" and {more} more" if more else "") + by


def _third_party(change: Row) -> str:
    """What became of it, why, and for whom."""
    numbers = []
    if change["failures"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in change["reasons"].items())
        numbers.append(f"{change['failures']} of {change['attempts']} failed ({reasons})")
    if change["now_ms"] is not None:
        numbers.append(f"{change['now_ms']:.1f} ms, usually {change['usual_ms']:.1f}")
    more = len(change["affected"][_MOST_AFFECTED:]) + change["more_affected"]
    whom = ", ".join(change["affected"][:_MOST_AFFECTED]) + (f" and {more} more" if more else "")
    why = f": {'; '.join(numbers)}" if numbers else ""
    return f"{change['state']} since {change['since'][11:19]}{why}  for {whom}"


def _rollout(event: Row) -> str:
    state = event["state"].replace("_", " ")
    if event["state"] in ("begun", "rolled_back"):
        way = " -> ".join(filter(None, (event["previous_revision"], event["revision"])))
        what = f": {changes(event)}" if event["changes"] else ""
        by_hand = ", by hand" if event["by_hand"] else ""
        return f"{state} {way}{what}{by_hand}"
    counts = f"{event['updated']} of {event['wanted']} updated, {event['available']} available"
    why = f": {': '.join(filter(None, (event['reason'], event['message'])))}" if event["reason"] else ""
    return f"{state} {event['revision']}  {counts}{why}"


def _field(one: Row) -> str:
    if one["what"] == "restart":
        return "restarted"
    if not one["before"] and not one["after"]:
        return str(one["path"])
    return f"{one['path']} {one['before'] or 'unset'} -> {one['after'] or 'unset'}"
