"""The product as people ask it, and as processes beside a control plane without nodes; and what a kubelet would say of
pods there: that those whose image exists are ready."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.request import urlopen

from tests.kubernetes.control import ControlPlane

Row = dict[str, Any]
PLUMB = [sys.executable, "-m", "cli"]
# The image that nobody can pull has this in its name.
MISSING = "missing"


class Watcher:
    """What `plumb watch -o json` printed by now: each row with the time of its arrival. `reader` makes the command line
    of a reading command."""

    def __init__(self, reader: Callable[..., list[str]]) -> None:
        self.rows: list[tuple[float, Row]] = []
        self._reader_of = reader

    @contextmanager
    def watching(self) -> Iterator[None]:
        take = lambda line: self.rows.append((time.monotonic(), json.loads(line)))  # noqa: E731
        with started(self._reader_of("watch", "-o", "json")) as lines, _reading(lines, take):
            yield

    def ask(self, *words: str) -> tuple[int, Any]:
        """(exit status, the answer) of a reading command."""
        command = self._reader_of(*words, "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    def find(self, node: str, field: str) -> Any:
        """What is known of a workload; nothing while it is unknown."""
        status, answer = self.ask("show", node)
        return answer[field] if status == 0 else None

    def happened(self, node: str, since: int = 0) -> list[Row]:
        """Events of a workload, in the order in which they were printed."""
        rows = [row["happened"] for _, row in list(self.rows) if "happened" in row]
        return [one for one in rows if one["node"] == node][since:]

    def until(self, what: str, found: Callable[[], Any], seconds: float = 30) -> Any:
        """What it finds, when that is anything. Raises AssertionError."""
        end = time.monotonic() + seconds
        while not (it := found()):
            rows = [(row["event"], row.get("happened", {})) for _, row in self.rows[-8:]]
            assert time.monotonic() < end, f"after {seconds:g} s still not: {what}; the last rows: {rows}"
            time.sleep(0.02)
        return it

    def until_done(self, node: str, since: int = 0, seconds: float = 60) -> list[Row]:
        """What happened until a rollout was done."""
        self.until(f"{node} is done", lambda: "done" in states(self.happened(node, since)), seconds)
        return self.happened(node, since)


class Plumb(Watcher):
    """With an aggregator of its own."""

    def __init__(self, control: ControlPlane, folder: Path, *flags: str) -> None:
        given = dict(flag.split("=", 1) for flag in flags)
        place = f"--aggregator={given.get('--grpc', '127.0.0.1:7171')}"
        super().__init__(lambda *words: control.within(*PLUMB, *words, place))
        self._control = control
        self._command = [*PLUMB, "aggregator", "--kubernetes", f"--data={folder}", *flags]
        self._http = given.get("--http", "127.0.0.1:7172")

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            environment = {**os.environ, "KUBECONFIG": self._control.kubeconfig}
            log = opened.enter_context(started(self._control.within(*self._command), env=environment))
            assert any('"aggregator_ready"' in line for line in log)
            opened.enter_context(_reading(log, lambda _line: None))
            opened.enter_context(self.watching())
            self.until("somebody watches", lambda: "aggregator_watchers 1.0" in self.metrics())
            self._ends = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def metrics(self) -> str:
        def read() -> str:
            with urlopen(f"http://{self._http}/metrics", timeout=10) as response:
                return str(response.read(), "utf-8")

        return self._control.inside(read)


def states(events: list[Row]) -> list[str]:
    """Of rollouts, and the other kinds but warnings."""
    return [one["state"] if one["kind"] == "rollout" else one["kind"] for one in events if one["kind"] != "warning"]


def changes(event: Row) -> list[tuple[Any, ...]]:
    return [(one["path"], one["before"], one["after"], one["manager"]) for one in event["changes"]]


@contextmanager
def started(command: list[str], **more: Any) -> Iterator[IO[str]]:
    """Its standard output. It ends when this does, whatever it does."""
    one = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **more)
    assert one.stdout
    try:
        yield one.stdout
    finally:
        one.terminate()
        one.wait(timeout=30)
        one.stdout.close()


@contextmanager
def _reading(lines: IO[str], take: Callable[[str], None]) -> Iterator[None]:
    """All of it, or whoever writes it would wait."""

    def read() -> None:
        with suppress(ValueError):  # it is closed
            for line in lines:
                take(line)

    threading.Thread(target=read, daemon=True).start()
    yield


@contextmanager
def kubelet(control: ControlPlane) -> Iterator[None]:
    """Says of each new pod how it is, as if it ran."""
    ended = threading.Event()

    def work() -> None:
        said: set[str] = set()
        while not ended.wait(0.1):
            found = control.kubectl("get", "pods", "--all-namespaces", "--output=json", check=False)
            for pod in json.loads(found)["items"] if found else ():
                meta = pod["metadata"]
                if meta["uid"] not in said and "deletionTimestamp" not in meta:
                    said.add(meta["uid"])
                    patch = f"--patch={json.dumps({'status': _status(pod)})}"
                    place = (meta["name"], f"--namespace={meta['namespace']}", "--subresource=status")
                    control.kubectl("patch", "pod", *place, "--type=merge", patch, check=False)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _status(pod: Row) -> Row:
    containers = pod["spec"]["containers"]
    is_ready = not any(MISSING in one["image"] for one in containers)
    ready = {"type": "Ready", "status": "True" if is_ready else "False"}
    said = [_container_status(one) for one in containers]
    return {"phase": "Running" if is_ready else "Pending", "conditions": [ready], "containerStatuses": said}


def _container_status(container: Row) -> Row:
    image = container["image"]
    is_there = MISSING not in image
    state: Row = (
        {"running": {}} if is_there else {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    )
    one = {"name": container["name"], "image": image, "state": state, "ready": is_there, "restartCount": 0}
    return {**one, "imageID": f"docker.io/{image}@sha256:{'0' * 63}{len(image) % 10}" if is_there else ""}
