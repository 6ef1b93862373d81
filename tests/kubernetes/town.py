"""Workloads of every kind in a namespace of their own: servers that count, and load generators that say what they did.

They run on the aggregator's image. A load says its counts in its log when it is done, and stays until it is told to go:
whose its last counts are must not depend on how fast a reader looks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.cluster import Cluster, app, await_true

Json = dict[str, Any]
SERVER = "exec python3 /apps/server.py --listen [::]:{port} --counts /tmp/counts --named"
PORT = 8080
PATHS = [["GET", "/items/1"], ["GET", "/items/2"], ["POST", "/orders"], ["GET", "/status/503"], ["GET", "/status/404"]]


@dataclass(slots=True)
class Town:
    """Makes its namespaces, and what is in them, by one `apply` each."""

    cluster: Cluster
    name: str
    more: Sequence[str] = ()
    programs: Sequence[str] = ()
    _objects: list[Json] = field(default_factory=list)

    def __enter__(self) -> "Town":
        programs = {name: app(name) for name in ("server.py", "load.py", *self.programs)}
        for place in (self.name, *self.more):
            self.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
            self.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.meta("apps", place), "data": programs})
        self.apply()
        return self

    def __exit__(self, *_: object) -> None:
        self.kubectl("delete", "namespace", self.name, *self.more, "--wait=false", "--ignore-not-found")

    def kubectl(self, *arguments: str, text: str = "") -> str:
        return self.cluster.kubectl("--namespace", self.name, *arguments, text=text)

    def get(self, *arguments: str, place: str = "") -> Any:
        return self.cluster.get(*arguments, "--namespace", place or self.name)

    def add(self, *objects: Json) -> None:
        self._objects += objects

    def apply(self) -> None:
        """All that was added since."""
        whole, self._objects = {"apiVersion": "v1", "kind": "List", "items": self._objects}, []
        self.cluster.kubectl("apply", "-f-", text=json.dumps(whole))

    # --- what there is to add ---

    def meta(self, name: str, place: str = "", **labels: str) -> Json:
        return {"name": name, "namespace": place or self.name, "labels": {"app": name, **labels}}

    def pod(self, name: str, *containers: Json, place: str = "", **spec: Any) -> Json:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self.meta(name, place),
                "spec": self.pod_spec(*containers, **spec)}  # fmt: skip

    def workload(self, kind: str, name: str, *containers: Json, labels: Mapping[str, str] = {}, replicas: int = 1,
                 place: str = "", spec: Mapping[str, Any] = {}, **pod: Any) -> Json:  # fmt: skip
        """A Deployment, or a StatefulSet behind a headless Service of its name."""
        meta = self.meta(name, place)
        own = {"app": name, **labels}
        template = {"metadata": {"labels": own}, "spec": self.pod_spec(*containers, restartPolicy="Always", **pod)}
        more = {"serviceName": name, "podManagementPolicy": "Parallel"} if kind == "StatefulSet" else {}
        whole = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **more, **spec}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": whole}

    def service(self, name: str, place: str = "", to: Mapping[str, str] | None = None, **spec: Any) -> Json:
        ports = [{"name": "http", "port": 80, "targetPort": PORT}]
        return {"apiVersion": "v1", "kind": "Service", "metadata": self.meta(name, place),
                "spec": {"selector": to or {"app": name}, "ports": ports, **spec}}  # fmt: skip

    def external_name(self, name: str, stands_for: str, place: str = "") -> Json:
        return {"apiVersion": "v1", "kind": "Service", "metadata": self.meta(name, place),
                "spec": {"type": "ExternalName", "externalName": stands_for}}  # fmt: skip

    def server(self, name: str = "server", port: int = PORT, **more: Any) -> Json:
        ready = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        return self.container(name, SERVER.format(port=port), **{"readinessProbe": ready, **more})

    def load(self, *jobs: Json, name: str = "load", ends: bool = False) -> Json:
        """`jobs` are load.py's. `ends`: it does not stay."""
        plan = {"jobs": [{"host": one["address"], "kind": "requests", "paths": PATHS, **one} for one in jobs]}
        run = "python3 /apps/load.py /tmp/plan /tmp/out && cat /tmp/out && echo"
        stay = "" if ends else " && exec sleep 3600"
        return self.container(name, f"cat > /tmp/plan <<'PLAN'\n{json.dumps(plan)}\nPLAN\n{run}{stay}")

    def container(self, name: str, script: str, **more: Any) -> Json:
        return {
            "name": name,
            "image": self.cluster.aggregator_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
            "env": [{"name": "PYTHONPATH", "value": ""}],
            "volumeMounts": [{"name": "apps", "mountPath": "/apps"}],
            **more,
        }

    @staticmethod
    def pod_spec(*containers: Json, **more: Any) -> Json:
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "tolerations": [{"operator": "Exists"}],
            "enableServiceLinks": False,
            "containers": [*containers],
            "volumes": [{"name": "apps", "configMap": {"name": "apps"}}],
            **more,
        }

    # --- what came of it ---

    def await_ready(self, *workloads: str, seconds: float = 90) -> None:
        """Each KIND/NAME."""
        for one in workloads:
            self.kubectl("rollout", "status", one, f"--timeout={seconds:g}s")

    def pods(self, name: str, place: str = "") -> list[Json]:
        """Those that are not on their way out, by the label `app`."""
        found: list[Json] = self.get("pods", f"--selector=app={name}", place=place)["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def address(self, name: str, place: str = "") -> str:
        """Of the one pod, when it has one."""
        found: list[str] = []

        def has() -> bool:
            found[:] = [one["status"].get("podIP", "") for one in self.pods(name, place)]
            return len(found) == 1 and bool(found[0])

        await_true(f"{name} has an address", has)
        return found[0]

    def cluster_ip(self, name: str) -> str:
        found: str = self.get("service", name)["spec"]["clusterIP"]
        return found

    def did(self, name: str, place: str = "", seconds: float = 120) -> list[Json]:
        """What loads did, one row a job, when all of that label are done: {"requests", "statuses", ...}."""
        rows: dict[str, list[Json]] = {}

        def done() -> bool:
            pods = self.pods(name, place)
            for pod in pods:
                assert pod["status"]["phase"] != "Failed", self._log(pod)
                line = next((one for one in self._log(pod).splitlines() if one.startswith('{"rows"')), "")
                if line:
                    rows[pod["metadata"]["uid"]] = json.loads(line)["rows"]
            return bool(pods) and len(rows) == len(pods)

        await_true(f"{name} is done", done, seconds)
        return [row for one in rows.values() for row in one]

    def _log(self, pod: Json) -> str:
        if pod["status"]["phase"] == "Pending":
            return ""
        meta = pod["metadata"]
        return self.cluster.kubectl("logs", "--namespace", meta["namespace"], meta["name"], "--all-containers")

    def served(self, name: str) -> dict[str, int]:
        """Requests by client's address that the pods behind a label have taken so far, as they count themselves."""
        found: dict[str, int] = {}
        for pod in self.pods(name):
            shell = "rm -f /tmp/counts; kill -USR1 1; until [ -s /tmp/counts ]; do sleep 0.1; done; cat /tmp/counts"
            text = self.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", shell)
            for row in json.loads(text)["rows"]:
                found[row["client"]] = found.get(row["client"], 0) + row["requests"]
        return found
