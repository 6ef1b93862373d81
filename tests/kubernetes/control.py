"""A control plane alone: an API server, its store and its controllers, without a node. Pods are made, and never run."""

import base64
import ctypes
import json
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tests.kubernetes.lab import network
from tests.kubernetes.lab.keys import Keys
from tests.kubernetes.lab.lab import Lab

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_ETCD = "http://127.0.0.1:2379"
# What each request was, when it is answered; a watch when it begins.
_AUDIT = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata, verbs: [list, watch]}]
"""


class ControlPlane(Lab):
    """Its programs can be killed and started again. `flags`: by program, beside what all have."""

    def __init__(self, flags: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(nodes=0)
        self._flags = flags or {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def kill(self, name: str) -> None:
        one = self._running.pop(name)
        one.kill()
        one.wait()
        self._started.remove(one)

    def start_again(self, name: str, *flags: str) -> None:
        """With these flags beside its own."""
        command = self._commands[name]
        self._start(name, *command, *flags)
        self._commands[name] = command

    def restart_api_server(self, *flags: str) -> None:
        """Returns when it answers."""
        self.kill("kube-apiserver")
        self.start_again("kube-apiserver", *flags)
        self._await("it answers", lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok")

    def compact(self) -> None:
        """The store forgets what was before now. To be called where it answers."""
        key = base64.b64encode(b"/").decode()
        now = int(_etcd("kv/range", {"key": key, "limit": 1})["header"]["revision"])
        _etcd("kv/compaction", {"revision": now, "physical": True})

    def asked(self, user_agent: str) -> Counter[str]:
        """Lists and watches that the API server has answered, by its own audit: `list`, `watch`, by `403` and the like
        where it was no success."""
        found: Counter[str] = Counter()
        for line in (self.directory / "audit.log").read_text().splitlines():
            event = json.loads(line)
            code = event.get("responseStatus", {}).get("code", 0)
            if event.get("userAgent", "").startswith(user_agent):
                if event["stage"] == "ResponseStarted" or event["verb"] == "list":
                    found[event["verb"]] += 1
                if code != 200 and event["stage"] == "ResponseComplete":
                    found[str(code)] += 1
        return found

    def token(self, account: str) -> str:
        """A kubeconfig that shows the token of a service account in the default namespace."""
        admin = (self.directory / "keys" / "admin.conf").read_text()
        head, _, _ = admin.partition("users:")
        shown = self.kubectl("create", "token", account).strip()
        path = self.directory / f"{account}.conf"
        path.write_text(f"{head}users:\n- name: admin\n  user:\n    token: {shown}\n")
        return str(path)

    def inside(self, function: Callable[[], T]) -> T:
        """Calls it in a thread that is where the API server answers. Raises what it does."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with (network.NAMESPACES / self._control).open() as place:
                    if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised where it was called from
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def _up(self) -> None:
        keys = Keys(self.directory / "keys", f"https://{network.CONTROL}:6443")
        subprocess.run(["ip", "netns", "add", self._control], check=True)
        for command in (["link", "set", "lo", "up"], ["addr", "add", f"{network.CONTROL}/32", "dev", "lo"]):
            subprocess.run(["ip", "-n", self._control, *command], check=True)
        self._start_control_plane(keys)
        self._await("there is a default account", self._has_account)

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """A program where the API server answers, that ends when all do."""
        self._start(name, *command)
        return self._running[name]

    def _start(self, name: str, *command: str) -> None:
        own = list(self._flags.get(name, ()))
        if name == "kube-apiserver":
            (self.directory / "audit.yaml").write_text(_AUDIT)
            own += [f"--audit-policy-file={self.directory / 'audit.yaml'}"]
            own += [f"--audit-log-path={self.directory / 'audit.log'}"]
        super()._start(name, *command, *own)
        self._commands[name], self._running[name] = command, self._started[-1]

    def _has_account(self) -> bool:
        return bool(self.kubectl("get", "serviceaccount", "default", "--output=name", check=False))


def _etcd(path: str, asked: dict[str, Any]) -> Any:
    """By the gateway of its own: its client would be one more program to build."""
    request = urllib.request.Request(f"{_ETCD}/v3/{path}", json.dumps(asked).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_for(what: str, holds: Callable[[], object], seconds: float = 30) -> None:
    """From a thread beside the one that works on it. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"after {seconds:g} s still not: {what}"
        time.sleep(0.02)
