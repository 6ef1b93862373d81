"""What is done in a guest: the product, one small load whose numbers are known, and one JSON object of what was found.

guest.py OUT        runs as root in a machine of its own: it leaves its cgroups behind.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster import network, processes, product, traffic
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON
from tests.cluster.traffic import AAAA, A
from tests.cluster.truth import EdgeKey, Row, Truth, differences, expected, unequal

SETTLED_SECONDS = 60
NAME = "api.payments.example"


def main() -> None:
    found: dict[str, Any] = facts()
    out = Path(sys.argv[1])
    product.PLUMB = [sys.executable, "-m", "tests.kernels.plumb"]
    os.environ["PROGRAMS"] = str(out.with_name("programs"))
    began = time.monotonic()
    with Cluster(("alpha",)) as cluster:
        estate = Estate(cluster)
        try:
            with product.Product(cluster) as running:
                found["ready_seconds"] = round(time.monotonic() - began, 1)
                say(f"ready after {found['ready_seconds']} s")
                estate.load()
                say("the load is over")
                truth = estate.truth()
                graph = running.graph_when(lambda seen: not all_differences(truth, seen), SETTLED_SECONDS)
                found |= {"differences": all_differences(truth, graph), "requests": truth.requests()}
                found |= {"edges": len(truth.edges), "hosts": graph["hosts"]}
        except processes.ProgramFailed as failed:
            found["failed"] = str(failed)
        finally:
            found["log"] = log(cluster.directory / "logs/agent-alpha.log")
            found["seconds"] = round(time.monotonic() - began, 1)
            out.write_text(json.dumps(found))
    say(f"over after {found['seconds']} s")


def say(what: str) -> None:
    """On the guest's console: who waits for it sees how far it is."""
    sys.stdout.write(f"guest: {what}\n")
    sys.stdout.flush()


def facts() -> dict[str, Any]:
    lockdown = Path("/sys/kernel/security/lockdown")
    return {
        "release": platform.release(),
        "version": platform.version(),
        "machine": platform.machine(),
        "btf": Path("/sys/kernel/btf/vmlinux").exists(),
        "lockdown": lockdown.read_text().strip() if lockdown.exists() else "",
    }


def log(file: Path) -> list[dict[str, Any]]:
    """The agent's events, and lines that are none."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return [json.loads(line) if line.startswith("{") else {"event": "", "line": line} for line in lines]


class Estate:
    """A server that is older than the agent, one that is younger, and clients on both sides of a bridge."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.older, self.younger = cluster.pod("alpha", "older"), cluster.pod("alpha", "younger")
        self.caller, self.unit = cluster.pod("alpha", "caller"), cluster.unit("alpha", "unit")
        self._rows: list[tuple[str, Row]] = []
        self._serve(self.older, "[::]:8080")
        cluster.publish({NAME: {"A": ["203.0.113.80"], "AAAA": ["2001:db8::80"]}})

    def load(self) -> None:
        """The younger server listens at addresses of its own, the unit calls itself over the loopback."""
        self._serve(self.younger, f"{self.younger.ipv4}:8080", f"[{self.younger.ipv6}]:8080")
        self._serve(self.unit, "127.0.0.1:9090")
        every, dns = traffic.WHATEVER_A_SERVER_DOES, network.RESOLVER_IPV4
        calls = [
            traffic.requests(self.older.ipv4, 8080, "older", 400, every),
            traffic.requests(self.older.ipv6, 8080, "older", 60, every, requests_per_connection=1),
            traffic.requests(self.younger.ipv4, 8080, "younger", 200, every, depth=4),
            traffic.requests(self.younger.ipv6, 8080, "younger", 60, every, requests_per_connection=3),
            traffic.requests(self.younger.ipv4, 8080, "younger", 40, every, mapped=True, requests_per_connection=1),
            *traffic.unanswered(self.older.ipv4, 8080, 5),
            {"kind": "failed", "address": self.older.ipv4, "port": 81, "times": 12},
            {"kind": "failed", "address": self.older.ipv6, "port": 82, "times": 8},
            {"kind": "failed", "address": network.SILENT_IPV4, "port": 443, "times": 3, "patience": 1.5},
            {"kind": "failed", "address": network.UNREACHABLE_IPV4, "port": 443, "times": 3},
            {"kind": "dns", "address": dns, "port": 53, "names": [[NAME, A], [NAME, AAAA], ["no.example", A]],
             "times": 60, "patience": 60},
            {"kind": "dns", "address": dns, "port": 53, "names": [[NAME, A]], "times": 6, "transport": "tcp",
             "patience": 60},
        ]  # fmt: skip
        own = [traffic.requests("127.0.0.1", 9090, "unit", 100, every, depth=2)]
        for workload, jobs in ((self.caller, calls), (self.unit, own)):
            plan = self.cluster.directory / f"{workload.name}.plan"
            plan.write_text(json.dumps({"jobs": jobs}))
            workload.run("load", [PYTHON, APPS / "load.py", plan, plan.with_suffix(".out")])
            rows = json.loads(plan.with_suffix(".out").read_text())["rows"]
            self._rows += [(workload.node_id, row) for row in rows]

    def truth(self) -> Truth:
        truth = Truth(lambda source, row: self.cluster.node_at(row["address"], row["port"], "alpha") or row["address"])
        for source, row in self._rows:
            truth.add(source, row)
        truth.settle()
        return truth

    def _serve(self, workload: Workload, *listen: str) -> None:
        flags = [word for one in listen for word in ("--listen", one)]
        counts = self.cluster.directory / f"{workload.name}.counts"
        workload.start("server", [PYTHON, APPS / "server.py", *flags, "--counts", counts], listens=listen)


def all_differences(truth: Truth, graph: product.Graph) -> list[str]:
    """Of the edges, and of each end by itself where an agent stood there."""
    lines = differences(truth, graph["edges"])
    for edge in graph["edges"]:
        key = EdgeKey(edge["source"], edge["target"], edge["protocol"], edge["port"])
        right = truth.edges.get(key)
        if right is None or not (right.connections or right.requests):
            continue
        for side, end in (("client_side", key.source), ("server_side", key.target)):
            if end.startswith("alpha/") and edge[side] is not None:
                lines += unequal(key, expected(key, right), edge[side], f"{side}.")
            elif end.startswith("alpha/"):
                lines.append(f"{key}: no {side}")
    lost = [f"{host['name']} {kind}: {host[kind]}" for host in graph["hosts"] for kind in ("lost", "dropped")
            if any(host[kind].values())]  # fmt: skip
    return lines + lost


if __name__ == "__main__":
    main()
