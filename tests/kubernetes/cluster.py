"""A cluster to install into: the lab, or the one that $KUBECONFIG names. What is asked of it is the same.

For a given one the images are in a registry: $PLUMBLINE_AGENT_IMAGE and $PLUMBLINE_AGGREGATOR_IMAGE name them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kubernetes.lab.build import program
from tests.kubernetes.lab.images import AGENT, AGGREGATOR, TREE
from tests.kubernetes.lab.lab import Lab

CHART = TREE / "deploy" / "chart"
NAMESPACE = "plumbline"
APPS = TREE / "tests" / "cluster" / "apps"


class Failed(RuntimeError):
    """A command of kubectl, helm or plumb; the message has its own words."""


@dataclass(slots=True)
class Cluster:
    """`lab` is None for a given cluster."""

    lab: Lab | None
    nodes: list[str] = field(default_factory=list)
    agent_image: str = AGENT
    aggregator_image: str = AGGREGATOR

    def kubectl(self, *arguments: str, text: str = "", seconds: float = 300) -> str:
        return self._run([*self._program("kubectl"), *arguments], text, seconds)

    def helm(self, *arguments: str) -> str:
        return self._run([*self._program("helm"), *arguments, "--namespace", NAMESPACE], "", 400)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def plumb(self, *arguments: str) -> Any:
        """The JSON that a reading command prints: from outside, through the Service, where that answers here."""
        return json.loads(self.plumb_text(*arguments, "--output", "json"))

    def plumb_text(self, *arguments: str) -> str:
        """The same as a person reads it."""
        return self._run(self.reader(*arguments), "", 60)

    def reader(self, *arguments: str) -> list[str]:
        """The command line of a reading command."""
        if self.lab is None:
            pod = f"{NAMESPACE}-aggregator-0"
            return [*self._program("kubectl"), "exec", "--namespace", NAMESPACE, pod, "--", "plumb", *arguments]
        service = self.get("service", f"{NAMESPACE}-aggregator", "--namespace", NAMESPACE)
        address = f"{service['spec']['clusterIP']}:7171"
        return self.lab.within(sys.executable, "-m", "cli", *arguments, "--aggregator", address)

    def install(self, *flags: str) -> None:
        """Installs the chart or upgrades to it, with an emptyDir for its data; returns when all of it is ready."""
        values = {
            "agent.image": self.agent_image,
            "aggregator.image": self.aggregator_image,
            "aggregator.persistence.enabled": "false",
            "namespace.create": "false",
        }
        stated = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        self.helm("upgrade", "--install", NAMESPACE, str(CHART), *stated, *flags, "--wait", "--timeout", "5m")

    def make_namespace(self) -> None:
        """With the level of pod security that agents need."""
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        meta = {"name": NAMESPACE, "labels": labels}
        self.kubectl("apply", "-f-", text=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))

    def diagnosis(self) -> str:
        """What somebody would look at first."""
        pods = self.kubectl("get", "pods", "--all-namespaces", "--output=wide")
        events = self.kubectl("get", "events", "--namespace", NAMESPACE, "--sort-by=.lastTimestamp")
        logs = self.kubectl("logs", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/part-of=plumbline",
                            "--prefix", "--tail=20")  # fmt: skip
        return f"{pods}\n{events[-4000:]}\n{logs[-6000:]}"

    def _program(self, name: str) -> list[str]:
        if self.lab is not None:
            own = [str(program("kubernetes")), "kubectl"] if name == "kubectl" else [str(program(name))]
            return self.lab.within(*own, f"--kubeconfig={self.lab.kubeconfig}")
        return [shutil.which(name) or str(program(name))]

    def _run(self, command: Sequence[str], text: str, seconds: float) -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, cwd=TREE,
                              env={**os.environ, "PYTHONPATH": f"{TREE}:{TREE / 'protos'}"})  # fmt: skip
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {done.stderr[-4000:]}")
        return done.stdout


def await_true(what: str, holds: Callable[[], object], seconds: float = 60, pause_seconds: float = 0.5) -> None:
    """Raises Failed when it does not hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failed(f"after {seconds:g} s still not: {what}")
        time.sleep(pause_seconds)


def given() -> Cluster | None:
    """The one that $KUBECONFIG names. Raises Failed when nobody says where its images are."""
    if not os.environ.get("KUBECONFIG"):
        return None
    images = [os.environ.get(f"PLUMBLINE_{one}_IMAGE", "") for one in ("AGENT", "AGGREGATOR")]
    if not all(images):
        raise Failed("name images that this cluster can pull: PLUMBLINE_AGENT_IMAGE, PLUMBLINE_AGGREGATOR_IMAGE")
    return Cluster(None, [], *images)


def app(name: str) -> str:
    """The text of a program of the miniature cluster."""
    return Path(APPS / name).read_text()
