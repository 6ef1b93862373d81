"""Flags that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.render import Form

DEFAULT_AGGREGATOR = "127.0.0.1:7171"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Command = TypeVar("Command", bound=Callable[..., Any])


class Span(click.ParamType[float]):
    """A span of time as people write it: 30s, 5m, 1h30m. Its value is in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != value or not 0 < seconds <= 366 * _UNITS["d"]:
            self.fail(f"{value!r} is no span of time; write it like 30s, 5m or 1h30m", param, ctx)
        return seconds


class Address(click.ParamType[str]):
    """HOST:PORT, [IPv6]:PORT, or unix:PATH."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        port = re.fullmatch(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:/\s]+):(\d{1,5})", text, re.ASCII)
        if not text.startswith("unix:") and not (port and int(port[1]) <= 65535):
            self.fail(f"{text!r} is not an address; write it as HOST:PORT", param, ctx)
        return text


def reading(command: Command) -> Command:
    """Where the aggregator is and how to be let in: fills the parameter `access`."""
    for option in (
        click.option("--tls-ca", type=_FILE, help="Certificate authority of the aggregator (PEM): ask over TLS."),
        click.option("--tls-cert", type=_FILE, help="Own certificate (PEM)."),
        click.option("--tls-key", type=_FILE, help="Key of the own certificate (PEM)."),
        click.option("--token-file", type=_FILE, help="File with the token to show."),
        click.option("--insecure", is_flag=True, help="Show the token without TLS, beyond this machine too."),
    ):
        command = option(command)
    return click.option(
        "--aggregator",
        type=Address(),
        default=DEFAULT_AGGREGATOR,
        envvar="PLUMBLINE_AGGREGATOR",
        show_default=True,
        metavar="HOST:PORT",
        help="The aggregator to ask.",
    )(command)


def output(*more: str) -> Callable[[Command], Command]:
    """-o with the three forms that every reading command has, and `more`."""
    forms = [*(form.value for form in Form), *more]
    return click.option("-o", "--output", "form", type=click.Choice(forms), default=Form.TABLE.value, show_default=True)


def window(command: Command) -> Command:
    """--window, in seconds as `window_seconds`."""
    return click.option(
        "--window", "window_seconds", type=Span(), default="5m", show_default=True, help="The span to look at."
    )(command)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
