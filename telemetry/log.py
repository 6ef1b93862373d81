"""The log of a daemon: one JSON object a line, or readable columns on a terminal.

Every line has `ts`, `level`, `event`, `host`, and the event's own fields; which fields those are stands in
telemetry.events, and an event that is not there cannot be written.
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from telemetry.events import EVENTS, Level

Value = str | int | float | bool | None | list[str] | Mapping[str, int] | list[Mapping[str, str]]

_COLOURS = {Level.INFO: "\x1b[32m", Level.WARNING: "\x1b[33m", Level.ERROR: "\x1b[31m"}
_PLAIN = "\x1b[0m"


def fault(error: BaseException) -> str:
    """An error that nobody foresaw, as a field of an event: what, and the last place of ours that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = f" at {'/'.join(Path(places[-1].filename).parts[-3:])}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}: {error}"[:500] + where


class UndeclaredEvent(Exception):
    """An event, or a field of one, that the table of events does not have."""


class Form(StrEnum):
    JSON = "json"
    COLUMNS = "columns"


class Log:
    """Writes events of one host to one stream; a reader that went away does not stop the daemon."""

    def __init__(
        self,
        host: str,
        stream: TextIO | None = None,
        form: Form | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._host = host
        self._stream = stream or sys.stdout
        self._form = form or (Form.COLUMNS if self._stream.isatty() else Form.JSON)
        self._clock = clock

    def write(self, event: str, **fields: Value) -> None:
        """Raises UndeclaredEvent for an event or a field that is not in the table."""
        level = _level(event, fields)
        line = (_columns if self._form is Form.COLUMNS else _json)(self._clock(), level, event, self._host, fields)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            # Nobody reads any more. The daemon's work does not depend on being watched.
            self._stream = _Nowhere()


class _Nowhere:
    def write(self, _: str) -> int:
        return 0

    def flush(self) -> None:
        return None

    def isatty(self) -> bool:
        return False


def _level(event: str, fields: Mapping[str, Value]) -> Level:
    declared = EVENTS.get(event)
    if declared is None:
        raise UndeclaredEvent(f"the event {event!r} is not in telemetry/events.py; add a row for it")
    unknown = set(fields) - set(declared.fields)
    if unknown:
        raise UndeclaredEvent(f"the event {event!r} has no fields {sorted(unknown)}; add them to telemetry/events.py")
    return declared.level


def _json(moment: datetime, level: Level, event: str, host: str, fields: Mapping[str, Value]) -> str:
    return json.dumps({"ts": _stamp(moment), "level": level.value, "event": event, "host": host, **fields})


def _columns(moment: datetime, level: Level, event: str, host: str, fields: Mapping[str, Value]) -> str:
    told = "  ".join(f"{name}={_readable(value)}" for name, value in fields.items())
    word = f"{_COLOURS[level]}{level.value:<7}{_PLAIN}"
    return f"{moment:%H:%M:%S}  {word}  {host:<12}  {event:<28}  {told}".rstrip()


def _readable(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return _visible(value)
    return _visible(json.dumps(value, ensure_ascii=False)) if value else "-" if value in ([], {}, None) else str(value)


def _visible(text: str) -> str:
    """A terminal obeys control characters, and the text may come from a stranger."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
