"""One line an event: JSON for machines, columns for people, and no way to write what is not declared."""

import io
import json
from datetime import UTC, datetime

import pytest

from telemetry.log import Form, Log, UndeclaredEvent

NOON = datetime(2026, 5, 4, 12, 0, 0, 250_000, UTC)


def log(form: Form) -> tuple[Log, io.StringIO]:
    text = io.StringIO()
    return Log("alpha", text, form, lambda: NOON), text


def test_one_json_object_a_line() -> None:
    writer, text = log(Form.JSON)
    writer.write("losing", reason="ring_full", count=3)
    writer.write("agent_stopping", reason="SIGTERM\nfake line")
    first, second = text.getvalue().splitlines()
    assert json.loads(first) == {
        "ts": "2026-05-04T12:00:00.250Z", "level": "warning", "event": "losing", "host": "alpha",
        "reason": "ring_full", "count": 3,
    }  # fmt: skip
    assert json.loads(second)["reason"] == "SIGTERM\nfake line"


def test_columns_on_a_terminal_keep_control_characters_visible() -> None:
    writer, text = log(Form.COLUMNS)
    writer.write("losing", reason="\x1b[2Jgone\n", count=3)
    line = text.getvalue()
    assert line.count("\n") == 1
    assert "\\x1b[2Jgone\\x0a" in line
    assert line.startswith("12:00:00")


def test_what_is_not_declared_cannot_be_written() -> None:
    writer, _ = log(Form.JSON)
    with pytest.raises(UndeclaredEvent, match="surprise"):
        writer.write("surprise")
    with pytest.raises(UndeclaredEvent, match="colour"):
        writer.write("losing", colour="red")


def test_a_reader_that_went_away_does_not_stop_the_daemon() -> None:
    text = io.StringIO()
    writer = Log("alpha", text, Form.JSON)
    text.close()
    writer.write("losing", reason="ring_full", count=1)
    writer.write("losing", reason="ring_full", count=1)
