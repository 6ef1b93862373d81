"""The table of events, its page in docs/, and the code that writes events say the same."""

import ast
import re
from pathlib import Path

import pytest

from telemetry.events import AGENT_EVENTS, AGGREGATOR_EVENTS, EVENTS, Event

TREE = Path(__file__).parents[3]
PAGE = TREE / "docs/log-events.md"


def rows_of(heading: str) -> dict[str, str]:
    """The lines of the table under a heading, by event."""
    section = PAGE.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: line for line in lines}


def row(name: str, event: Event) -> str:
    fields = ", ".join(f"`{field}`" for field in event.fields)
    return f"| `{name}` | {event.level.value} | {fields} | {event.meaning} |"


@pytest.mark.parametrize(("heading", "events"), [("Agent", AGENT_EVENTS), ("Aggregator", AGGREGATOR_EVENTS)])
def test_the_page_shows_the_table(heading: str, events: dict[str, Event]) -> None:
    assert rows_of(heading) == {name: row(name, event) for name, event in events.items()}


def test_lines_that_are_shown_to_operators_are_lines_of_the_table() -> None:
    lines = [line for line in (TREE / "docs/operate.md").read_text().splitlines() if line.startswith('{"ts"')]
    assert lines
    for line in lines:
        keys = re.findall(r'"(\w+)": ', line)
        (name,) = re.findall(r'"event": "(\w+)"', line)
        assert set(keys) <= {"ts", "level", "event", "host", *EVENTS[name].fields}, line
        assert f'"level": "{EVENTS[name].level.value}"' in line, line


def written_by(package: str) -> dict[str, set[str]]:
    """Events that are written by name, with the fields that any writer gives."""
    found: dict[str, set[str]] = {}
    for path in (TREE / package).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "write"):
                continue
            names = [one.value for arg in call.args[:1] for one in ast.walk(arg) if isinstance(one, ast.Constant)]
            for name in names:
                if isinstance(name, str) and call.keywords:
                    found.setdefault(name, set()).update(one.arg or "" for one in call.keywords)
    return found


@pytest.mark.parametrize("package", ["agent", "aggregator"])
def test_what_the_code_writes_is_in_the_table(package: str) -> None:
    for name, fields in written_by(package).items():
        assert name in EVENTS, f"{package} writes {name!r}, which has no row"
        assert fields <= set(EVENTS[name].fields), name


def test_no_event_of_the_agent_is_never_written() -> None:
    text = "\n".join(path.read_text() for path in (TREE / "agent").rglob("*.py")) + (TREE / "cli/agent.py").read_text()
    # An end is written by the name of its beginning and "_ended".
    missing = [name for name in AGENT_EVENTS if f'"{name.removesuffix("_ended")}"' not in text]
    assert not missing
