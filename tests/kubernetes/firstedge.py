"""How long it takes from the command that installs until all is ready, and until the graph shows its first edge.

Two pods talk before anything is installed. On a busy machine all of it is slow: figures are for printing, and bounds
that tests hold them to are generous.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.kubernetes.cluster import NAMESPACE, Cluster, Failed
from tests.kubernetes.town import PORT, Json, Town

_AGENTS = "app.kubernetes.io/component=agent"
_LONGEST_SECONDS = 300.0


@dataclass(slots=True)
class Times:
    """Seconds since the command began: until it returned, all pods were Ready, the graph had an edge of the two pods',
    and both ends of it had their names. `agent`: from the start of that client's agent to the edge, to a second."""

    returned: float = 0.0
    ready: float = 0.0
    edge: float = 0.0
    named: float = 0.0
    agent: float = 0.0

    def __str__(self) -> str:
        return (
            f"the command returned after {self.returned:.1f} s, all pods were Ready after {self.ready:.1f} s, "
            f"the first edge was there after {self.edge:.1f} s ({self.agent:.0f} s after its agent began), "
            f"with both names after {self.named:.1f} s"
        )


@contextmanager
def traffic(cluster: Cluster) -> Iterator[Town]:
    """Twenty requests a second from the pod `asks` to the pod `answers`, on new connections, until the end."""
    # That of a run before goes slowly.
    with Town(cluster, f"early-{secrets.token_hex(2)}") as town:
        near, far = cluster.nodes[0], cluster.nodes[-1]
        town.add(town.pod("answers", town.server(), nodeName=far))
        town.apply()
        job: Json = {"address": town.address("answers"), "port": PORT, "requests": 10**6, "rate": 20, "seconds": 1200}
        town.add(town.pod("asks", town.load({**job, "requests_per_connection": 10, "begin": 1}), nodeName=near))
        town.apply()
        town.kubectl("wait", "--for=condition=Ready", "pod/answers", "pod/asks", "--timeout=90s")
        yield town
        town.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")


def measured(town: Town, install: Callable[[], object]) -> Times:
    """Raises what `install` does, and Failed when there is no edge with both names in five minutes."""
    times, began, failed = Times(), time.monotonic(), list[Exception]()

    def work() -> None:
        try:
            install()
        except Exception as error:  # noqa: BLE001 - it is raised where the times are waited for
            failed.append(error)
        times.returned = time.monotonic() - began

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while not (times.ready and times.named and times.returned):
            if failed:
                raise failed[0]
            if time.monotonic() - began > _LONGEST_SECONDS:
                raise Failed(f"not after {_LONGEST_SECONDS:g} s: {times}")
            if not times.ready and _all_ready(town.cluster):
                times.ready = time.monotonic() - began
            if not times.named:
                _look(town, times, began)
    finally:
        thread.join()
    return times


def _all_ready(cluster: Cluster) -> bool:
    """One agent a node, and the aggregator."""
    with suppress(Failed):
        pods = cluster.get("pods", "--namespace", NAMESPACE)["items"]
        return len(pods) == len(cluster.nodes) + 1 and all(map(is_ready, pods))
    return False


def is_ready(pod: Json) -> bool:
    return any((one["type"], one["status"]) == ("Ready", "True") for one in pod["status"].get("conditions", ()))


def _look(town: Town, times: Times, began: float) -> None:
    """Nobody answers until the aggregator is ready."""
    asks, answers = f"{town.name}/pod/asks", f"{town.name}/pod/answers"
    # Before it has its name it is a pod without one; nobody else on its machine asks by HTTP on this port.
    nameless = f"{town.cluster.nodes[0]}/pod-"
    with suppress(Failed):
        edges = [one for one in town.cluster.plumb("graph")["edges"] if one["requests"] and one["port"] == PORT]
        found = [one for one in edges if one["source"] == asks or one["source"].startswith(nameless)]
        if found and not times.edge:
            times.edge, times.agent = time.monotonic() - began, time.time() - _agent_began(town.cluster)
        if any((one["source"], one["target"]) == (asks, answers) for one in found):
            times.named = time.monotonic() - began


def _agent_began(cluster: Cluster) -> float:
    pods: list[Any] = cluster.get("pods", "--namespace", NAMESPACE, f"--selector={_AGENTS}")["items"]
    (pod,) = (one for one in pods if one["spec"]["nodeName"] == cluster.nodes[0])
    state = pod["status"]["containerStatuses"][0]["state"]
    return datetime.fromisoformat(state["running"]["startedAt"]).timestamp()
