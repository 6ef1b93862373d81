"""`plumb watch`: changes as they happen, until Ctrl-C."""

import sys
from datetime import UTC, datetime
from typing import Any

import click

from cli import happenings, options
from cli.render import Form, json_line, safe, yaml_text

_SIGNS = {
    "appeared": ("+", "green"),
    "vanished": ("-", "red"),
    "host_stale": ("!", "yellow"),
    "host_back": ("!", "green"),
    "resync": ("!", "yellow"),
    "changed_by_hand": ("!", "yellow"),
    "warning": ("!", "yellow"),
    "third_party": ("!", "yellow"),
}


@click.command("watch")
@options.reading
@options.output()
@options.window
@click.option("--namespace", default="", metavar="NS", help="Only what lies in this namespace, and what it touches.")
def command(form: str, window_seconds: float, namespace: str, **access: Any) -> None:
    """Changes of the graph as they happen, one a line. A broken connection is resumed."""
    from cli.client import Access, Aggregator, Selection
    from cli.following import Follower

    follower, told = Follower(), not sys.stdout.isatty()
    with Aggregator(Access(access.pop("aggregator"), **access)) as aggregator:
        for response in aggregator.watch(Selection(window_seconds, namespace=namespace), on_lost=_tell):
            for row in follower.apply(response, datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"):
                # A pipe holds lines back, and who watches wants them now.
                click.echo(_text(row, Form(form)))
                sys.stdout.flush()
            if follower.is_started and not told:
                told = True
                _tell(f"watching {follower.size}; changes follow, Ctrl-C ends it")


def _tell(sentence: str) -> None:
    click.echo(f"plumb: {safe(sentence)}", err=True)


def _text(row: dict[str, Any], form: Form) -> str:
    if form is Form.JSON:
        return json_line(row)
    return "---\n" + yaml_text(row) if form is Form.YAML else _line(row)


def _line(row: dict[str, Any]) -> str:
    sign, colour = _SIGNS.get(row["event"], ("~", "cyan"))
    if "happened" in row:
        head = f"{row['time'][11:19]}  {click.style(sign, fg=colour)} {row['event']:<10}"
        return f"{head} {safe(happenings.sentence(row['happened']))}"
    kind = next((kind for kind in ("node", "edge", "host") if kind in row), "")
    what = _subject(kind, row[kind]) if kind else row.get("reason", "")
    before = row.get("previous_id")
    was = f" (was {before})" if before and before != row[kind].get("id") else ""
    now = "".join(
        f"  {field} is now {_plain(row[kind][field])}" for field in row.get("changed", ()) if field != "listens"
    )
    return f"{row['time'][11:19]}  {click.style(sign, fg=colour)} {row['event']:<10} {kind:<4} {safe(what + was + now)}"


def _plain(value: object) -> str:
    return "unknown" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _subject(kind: str, value: dict[str, Any]) -> str:
    if kind == "edge":
        revisions = [f"{one['revision']} of {one['node']}" for one in value["appeared_with"]]
        came = f"  with {' and '.join(revisions)}" if revisions else ""
        return f"{value['source']} -> {value['target']}  {value['protocol']}:{value['port']}{came}"
    if kind == "host":
        return str(value["name"])
    listens = f"  listens on {', '.join(map(str, value['listens']))}" if value["listens"] else ""
    return f"{value['id']}  {value['kind']}{listens}"
