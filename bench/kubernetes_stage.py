"""A cluster of any size that is only the API server's: real controllers and scheduler, nodes and pods by kwok."""

import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.common import progress
from tests.kubernetes.control import ControlPlane
from tests.kubernetes.lab.build import build_missing, program

HTTP_PORT: Final = 17172
PODS_A_NODE: Final = 110
_NODES = "kwok.x-k8s.io/node"
_FAST = ["--kube-api-qps=1000", "--kube-api-burst=2000"]
_FLAGS = {"kube-controller-manager": [*_FAST, "--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20"]}
_FLAGS |= {"kube-scheduler": _FAST}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Size:
    """All Deployments are alike."""

    pods: int
    nodes: int
    replicas: int

    @property
    def deployments(self) -> int:
        return self.pods // self.replicas


@dataclass(frozen=True, slots=True)
class Used:
    """Of a process, since it began."""

    cpu_seconds: float
    resident_bytes: int
    highest_bytes: int


class Crowd(ControlPlane):
    """`size` is what there shall be."""

    def __init__(self, size: Size) -> None:
        super().__init__(_FLAGS)
        self.size = size

    def fill(self, seconds: float) -> float:
        """Returns how long it took until all pods were ready. Raises TimeoutError."""
        began = time.monotonic()
        kwok = [f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=false", "--cidr=10.0.0.0/8"]
        kwok += [f"--manage-nodes-with-annotation-selector={_NODES}=fake", "--node-lease-duration-seconds=40"]
        self.start("kwok", str(program("kwok")), *kwok)
        self._create([_node(number) for number in range(self.size.nodes)])
        names = [f"d{number}" for number in range(self.size.deployments)]
        self._create([_deployment(name, self.size.replicas) for name in names] + [_service(name) for name in names])
        told = 0.0
        while (ready := self.ready()) < self.size.pods:
            took = time.monotonic() - began
            if took - told > 20:
                told = took
                progress(f"{took:.0f} s: {ready:,} of {self.size.pods:,} pods are ready")
            if took > seconds:
                raise TimeoutError(f"only {ready} pods were ready after {took:.0f} s")
            time.sleep(2)
        return time.monotonic() - began

    def ready(self) -> int:
        shown = self.kubectl("get", "deployments", "--output=jsonpath={.items[*].status.readyReplicas}", check=False)
        return sum(map(int, shown.split()))

    def roll(self, name: str) -> None:
        self.kubectl("rollout", "restart", f"deployment/{name}")

    def rolling(self) -> set[str]:
        """Deployments that are not through yet."""
        columns = "{range .items[*]}{.metadata.name} {.metadata.generation} {.status.observedGeneration} "
        columns += "{.status.updatedReplicas} {.status.readyReplicas} {.status.replicas}{'\\n'}{end}"
        found = set()
        for line in self.kubectl("get", "deployments", f"--output=jsonpath={columns}").splitlines():
            name, wanted, seen, *counts = line.split()
            if wanted != seen or counts != [str(self.size.replicas)] * 3:
                found.add(name)
        return found

    def metric(self, name: str) -> float:
        """Of the aggregator; 0 where it has none such, or does not answer yet."""

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}/metrics", timeout=10) as answer:
                return str(answer.read().decode())

        try:
            found = re.search(rf"^{re.escape(name)} (\S+)$", self.inside(read), re.MULTILINE)
        except OSError:
            return 0
        return float(found[1]) if found else 0

    def watcher(self, what: str, *more: str) -> tuple[int, Path]:
        """Its process id, and the file that it writes."""
        notes = self.directory / f"{what}.notes"
        command = ["env", f"KUBECONFIG={self.kubeconfig}", sys.executable, "-m", "bench.watchers"]
        return self.start(what, *command, what, str(notes), *more).pid, notes

    def _create(self, things: list[dict[str, Any]]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": things})
        self.kubectl("create", "--filename=-", "--output=name", text=text)


@contextmanager
def crowd(size: Size) -> Iterator[Crowd]:
    """Raises LabFailed, CannotBuild."""
    build_missing(("kwok",))
    with Crowd(size) as one:
        yield one


def used(process: int) -> Used:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{process}/status").read_text()
    resident, highest = (int(re.search(rf"{one}:\s+(\d+)", status)[1]) for one in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return Used((int(fields[11]) + int(fields[12])) / _TICKS, resident * 1024, highest * 1024)


def _node(number: int) -> dict[str, Any]:
    name, room = f"kwok-{number}", {"cpu": "64", "memory": "512Gi", "pods": str(PODS_A_NODE)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {_NODES: "fake"},
            "labels": {"type": "kwok", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name},
        },
        "status": {"allocatable": room, "capacity": room},
    }


def _deployment(name: str, replicas: int) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": f"registry.example.test/{name}:1",
        "env": [{"name": f"SETTING_{number}", "value": "x" * 30} for number in range(10)],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    labels = {"app": name, "app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }


def _service(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }
