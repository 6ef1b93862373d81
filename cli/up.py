"""`plumb up`: the aggregator and an agent of this machine, as children of one foreground command."""

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

import click

from cli.failure import Failure, Status

AGGREGATOR_HTTP, AGENT_HTTP = "127.0.0.1:7172", "127.0.0.1:7173"
_START_SECONDS, _STOP_SECONDS = 60.0, 10.0


class _Stopped(Exception):
    """A signal asked for the end."""


@click.command("up")
@click.option("--host", metavar="NAME", help="This host's name in the graph.  [default: the machine's]")
@click.option("--cgroup-root", type=click.Path(path_type=Path), metavar="PATH", help="Watch only this and below.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="The journal's place.")
@click.option("--catalog", multiple=True, metavar="PATH", help="Declarations: a file or a directory; may be repeated.")
def command(host: str | None, cgroup_root: Path | None, data: Path | None, catalog: tuple[str, ...]) -> int:
    """Agent and aggregator on this machine, until Ctrl-C."""
    aggregator_flags = [*_flag("--data", data), *(part for path in catalog for part in ("--catalog", path))]
    agent_flags = [*_flag("--host", host), *_flag("--cgroup-root", cgroup_root), "--metrics", AGENT_HTTP]
    signal.signal(signal.SIGTERM, _stop)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for name, flags, http in (
            ("aggregator", aggregator_flags, AGGREGATOR_HTTP),
            ("agent", agent_flags, AGENT_HTTP),
        ):
            _check_free(name, http)
            children.append(_start(name, flags))
            _wait_until_ready(name, children[-1], http)
        click.echo("plumb: ready; look with plumb graph, plumb watch. Ctrl-C ends both.", err=True)
        return _first_to_end(children)
    except (_Stopped, KeyboardInterrupt):
        return Status.DONE
    finally:
        _end(children)


def _flag(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _check_free(name: str, http: str) -> None:
    """Else the answer of another one would be taken for that of ours."""
    address, port = http.split(":")
    with socket.socket() as caller:
        caller.settimeout(1)
        if caller.connect_ex((address, int(port))) == 0:
            raise Failure(
                Status.NOT_REACHED,
                f"Something listens at {http} already, where the {name} would: plumb doctor names it. "
                "If it is Plumbline, look with plumb graph, or end it (make down).",
            )


def _start(name: str, flags: list[str]) -> subprocess.Popen[bytes]:
    # Killed itself, this command can end nobody: then the kernel ends its children.
    setpriv = shutil.which("setpriv")
    bond = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    # A group of its own: Ctrl-C reaches this command, which ends the agent before the aggregator.
    return subprocess.Popen([*bond, sys.executable, "-m", "cli", name, *flags], process_group=0)


def _wait_until_ready(name: str, child: subprocess.Popen[bytes], http: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            status = Status.WRONG_USE if child.returncode == Status.WRONG_USE else Status.NOT_REACHED
            raise Failure(status, f"The {name} did not start; its last line above tells why, and plumb doctor more.")
        if _is_ready(http):
            return
        time.sleep(0.1)
    raise Failure(Status.NOT_REACHED, f"The {name} was not ready in {_START_SECONDS:.0f} s; its log above tells why.")


def _is_ready(http: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{http}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _first_to_end(children: list[subprocess.Popen[bytes]]) -> int:
    while True:
        for child in children:
            if child.poll() is not None:
                return child.returncode if child.returncode > 0 else Status.NOT_REACHED
        time.sleep(0.2)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    """The agent first: it still has something to deliver."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for child in reversed(children):
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _Stopped
