"""Real clients, each with its own resolver, TLS and HTTP, that call what they are told and count what they saw.

apps/clients/ has one a language. Each reads lines "TIMES URL", opens a connection for every call, gives up a connect
after CLIENT_PATIENCE seconds, trusts CLIENT_CA alone, speaks TLS up to CLIENT_TLS, and says for each call "URL WORD":
the status of the answer, or `resolve`, `refused`, `timeout`, `certificate`, else `other:` and its own words.
"""

import hashlib
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cluster.cluster import APPS, Workload
from tests.cluster.internet import Internet
from tests.cluster.processes import PYTHON, Program

SOURCES = APPS / "clients"
# Beside the tree: made once, and anew when a source changes.
BUILT = Path(__file__).parents[2] / ".run" / "clients"
# With it a SYN was sent again by then, so that a connect in vain is a time-out.
PATIENCE_SECONDS = 1.5
# (url, what the client saw) -> how often.
Saw: TypeAlias = Counter[tuple[str, str]]
Command: TypeAlias = list[object]


@dataclass(slots=True)
class Client:
    """One language in a workload of its own."""

    language: str
    workload: Workload
    internet: Internet
    saw: Saw = field(default_factory=Counter)
    _running: list[Program] = field(default_factory=list)

    def start(self, calls: Mapping[str, int], tls: str = "1.3", more: Mapping[str, str] | None = None) -> None:
        """Begins to call each of these URLs that many times, one after the other. `more`: of its environment."""
        name = f"{self.language}-{len(self.workload.programs)}"
        plan = self.internet.cluster.directory / f"{self.workload.name}-{name}.calls"
        plan.write_text("".join(f"{times} {url}\n" for url, times in calls.items()))
        environment = {
            "CLIENT_CA": str(self.internet.certificate),
            "CLIENT_TLS": tls,
            "CLIENT_PATIENCE": str(PATIENCE_SECONDS),
            **(more or {}),
        }
        command = ["sh", "-c", 'exec "$@" < "$0"', plan, *command_of(self.language, more or {})]
        self._running.append(self.workload.start(name, command, environment=environment))

    def finish(self, timeout_seconds: float = 120) -> None:
        """Waits for all that was begun, and has what it saw."""
        while self._running:
            program = self._running.pop()
            program.wait(timeout_seconds)
            rows = (line.split() for line in program.output.read_text().splitlines())
            self.saw.update((url, said) for url, said in rows)

    def times(self, url: str) -> int:
        return sum(count for (called, _), count in self.saw.items() if called == url)


def command_of(language: str, environment: Mapping[str, str]) -> Command:
    """The command of a client. Where the machine has no such language the test is skipped, and says so."""
    return _COMMANDS[language](environment)


def finish(clients: Iterable[Client]) -> None:
    for client in clients:
        client.finish()


def _curl(environment: Mapping[str, str]) -> Command:
    return ["sh", SOURCES / "client.sh"]


def _python(environment: Mapping[str, str]) -> Command:
    return [PYTHON, SOURCES / "client.py"]


def _node(environment: Mapping[str, str]) -> Command:
    return [_program("node"), SOURCES / "client.js"]


def _go(environment: Mapping[str, str]) -> Command:
    source = SOURCES / "client.go"
    return [_built(source, lambda made: [_program("go"), "build", "-o", made / "client", source]) / "client"]


def _java(environment: Mapping[str, str]) -> Command:
    """Which has no variables of its own for a proxy."""
    source = SOURCES / "Client.java"
    made = _built(source, lambda made: [_program("javac"), "-d", made, source])
    address = environment.get("http_proxy", "").removeprefix("http://")
    host, _, port = address.partition(":")
    proxy = [f"-D{scheme}.proxy{what}" for scheme in ("http", "https") for what in (f"Host={host}", f"Port={port}")]
    small = ["-Dhttp.keepAlive=false", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m"]
    return [_program("java"), *small, *(proxy if address else []), "-cp", made, "Client"]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this machine has no {name}: scripts/setup dev installs it")
    return found


def _built(source: Path, command: Callable[[Path], Command]) -> Path:
    """The directory of what is made of that source."""
    made = BUILT / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not made.exists():
        for older in BUILT.glob(f"{source.stem}-*"):
            shutil.rmtree(older)
        fresh = made.with_suffix(f".{os.getpid()}")
        fresh.mkdir(parents=True)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
        subprocess.run([str(word) for word in command(fresh)], env=environment, check=True)
        fresh.rename(made)
    return made


_COMMANDS: dict[str, Callable[[Mapping[str, str]], Command]] = {
    "curl": _curl,
    "python": _python,
    "node": _node,
    "go": _go,
    "java": _java,
}
LANGUAGES = tuple(_COMMANDS)
