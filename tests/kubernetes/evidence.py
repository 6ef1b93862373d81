"""What a failed test leaves to be looked at: a fault that comes once in a dozen runs is not waited for twice."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.kubernetes.cluster import NAMESPACE, Cluster, Failed


def keep(cluster: Cluster, folder: Path) -> None:
    """The graph, pods, logs of the product's, and what the aggregator has on its disk: claims, endpoints, flows. What
    cannot be had is left out: nothing may be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    asked: dict[str, Callable[[], str]] = {
        "graph.json": lambda: json.dumps(cluster.plumb("graph", "--background"), indent=1),
        "pods.json": lambda: cluster.kubectl("get", "pods", "--all-namespaces", "--output=json"),
        "logs": lambda: cluster.kubectl(
            *("logs", "--namespace", NAMESPACE, "--selector=app.kubernetes.io/part-of=plumbline"),
            *("--prefix", "--tail=-1"),
        ),
    }
    for name, ask in asked.items():
        with suppress(Failed):
            (folder / name).write_text(ask())
    if cluster.lab is not None:
        volumes = "own/var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/data"
        for place in cluster.lab.directory.glob(f"n*/{volumes}"):
            with suppress(shutil.Error, OSError):  # it is being written
                shutil.copytree(place, folder / "data" / place.parts[-4], dirs_exist_ok=True)
