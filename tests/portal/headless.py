"""A real portal without pages: the backend of Backstage with its catalog, from published packages pinned by a lock.

`python -m tests.portal.headless` installs it into a cache, which takes minutes, once. Nothing of it is in a checkout.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from tests.cluster import processes
from tests.cluster.processes import wait_until
from tests.cluster.product import free_ports

Entity: TypeAlias = dict[str, Any]

_SOURCE = Path(__file__).parent / "backstage"
_FILES = ("package.json", "package-lock.json", "index.js")
_NATIVE = "better-sqlite3"
_TOKEN = "only-the-test-reads-this-portal"
_START_SECONDS = 120
_OLDEST_NODE = 20
# It looks for its package where it is started.
_START = 'echo $$ > "$0/cgroup.procs" && cd "$1" && shift && exec "$@"'


def lacking() -> str:
    """What this machine lacks for it, in a sentence; "" when it lacks nothing."""
    for program in ("node", "npm", "make", "g++"):
        if shutil.which(program) is None:
            return f"the portal needs {program}, which is not on PATH"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major = int(said.removeprefix("v").partition(".")[0])
    return "" if major >= _OLDEST_NODE else f"the portal needs node {_OLDEST_NODE} or later, and here is {said.strip()}"


def installed() -> Path:
    """The directory of the portal, which is installed first where it is not there. Raises CalledProcessError."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plumbline-backstage"
    content = b"".join((_SOURCE / name).read_bytes() for name in _FILES)
    place = base / hashlib.sha256(content).hexdigest()[:16]
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            _install(place)
            (place / "complete").touch()
    return place


def _install(place: Path) -> None:
    began = time.monotonic()
    for name in _FILES:
        shutil.copy(_SOURCE / name, place / name)
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run(["npm", "ci", "--ignore-scripts", *quiet], cwd=place, check=True, stdout=subprocess.DEVNULL)
    # Not as an installation's script, which some versions of npm hold back: this one is asked for by name.
    build = ["npm", "run", "build-release", *quiet]
    subprocess.run(build, cwd=place / "node_modules" / _NATIVE, check=True, stdout=subprocess.DEVNULL)
    sys.stdout.write(f"portal: installed in {time.monotonic() - began:.0f} s\n")


class Portal:
    """A context manager. It reads `feed` (a URL) as Resources, and `files` as whatever they declare.

    It looks by itself once an hour only: when it looks is what a test decides, by `refresh`.
    """

    def __init__(self, feed: str, files: Sequence[Path], directory: Path, cgroup: Path) -> None:
        self._feed, self._files, self._directory, self._cgroup = feed, files, directory, cgroup

    def __enter__(self) -> "Portal":
        (port,) = free_ports(1)
        self._base = f"http://127.0.0.1:{port}"
        configuration = self._directory / "app-config.json"
        configuration.write_text(json.dumps(self._configuration(port)))
        self._cgroup.mkdir(parents=True)
        command = [installed(), "node", "index.js", "--config", configuration]
        self.program = processes.spawn("portal", ["sh", "-c", _START, self._cgroup, *command], self._directory)
        try:
            wait_until(self._is_ready, "the portal is ready", _START_SECONDS, pause_seconds=0.2)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.end(timeout_seconds=20)

    def log(self) -> str:
        return self.program.output.read_text(errors="replace")

    def entities(self, **wanted: str) -> list[Entity]:
        """Those whose fields have all these values: entities(kind="resource")."""
        query = ",".join(f"{field}={value}" for field, value in wanted.items())
        found: list[Entity] = self._asked(f"entities/by-query?limit=1000&filter={query}")["items"]
        return found

    def entity(self, reference: str) -> Entity | None:
        """None: it has no such one."""
        kind, _, rest = reference.partition(":")
        try:
            found: Entity = self._asked(f"entities/by-name/{kind}/{rest}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def depends_on(self, reference: str) -> set[str]:
        """What its page shows as its dependencies."""
        entity = self.entity(reference) or {}
        return {one["targetRef"] for one in entity.get("relations", ()) if one["type"] == "dependsOn"}

    def refresh(self) -> None:
        """It looks at the feed, in a moment."""
        self._asked("refresh", {"entityRef": self._feed_location()})

    def trouble(self) -> str:
        """What it says of the feed at its last look; "" when it could read it."""
        location = self.entity(self._feed_location()) or {}
        return " ".join(item["error"]["message"] for item in location.get("status", {}).get("items", ()))

    def _feed_location(self) -> str:
        name = hashlib.sha1(f"url:{self._feed}".encode(), usedforsecurity=False).hexdigest()
        return f"location:default/generated-{name}"

    def _is_ready(self) -> bool:
        if not self.program.running:
            raise processes.ProgramFailed(f"the portal ended\n{self.program.tail()}")
        try:
            with urllib.request.urlopen(f"{self._base}/.backstage/health/v1/readiness", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _asked(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._base}/api/catalog/{path}", content, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def _configuration(self, port: int) -> dict[str, Any]:
        host, _, path = self._feed.removeprefix("http://").partition("/")
        kinds = [{"allow": ["Component", "Resource", "API", "System", "Group"]}]
        files = [{"type": "file", "target": str(file), "rules": kinds} for file in self._files]
        feed = {"type": "url", "target": self._feed, "rules": [{"allow": ["Resource"]}]}
        access = {"type": "static", "options": {"token": _TOKEN, "subject": "test"}}
        return {
            "backend": {
                "baseUrl": self._base,
                "listen": {"host": "127.0.0.1", "port": port},
                "database": {"client": _NATIVE, "connection": ":memory:"},
                "auth": {"externalAccess": [access]},
                "reading": {"allow": [{"host": host, "paths": [f"/{path.partition('/')[0]}/"]}]},
            },
            # A database in memory has one connection: an event of a conflict would wait for itself.
            "events": {"useEventBus": "never"},
            "catalog": {"processingInterval": {"hours": 1}, "locations": [*files, feed]},
        }


if __name__ == "__main__":
    lack = lacking()
    sys.stdout.write(f"portal: left out: {lack}\n" if lack else f"portal: in {installed()}\n")
