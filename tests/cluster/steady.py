"""A small estate under a load that goes on at one rate, whatever breaks beside it: services on two hosts.

steady = Steady(cluster); run = steady.start(seconds=10); ...; run.end(); steady.truth()
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import traffic
from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON, Program
from tests.cluster.traffic import Job
from tests.cluster.truth import EdgeKey, Row, Truth

REQUESTS_A_SECOND = 2000
_TIMED_SHARE, _NEW_CONNECTIONS_SHARE = 0.8, 0.1


@dataclass(slots=True)
class Wait:
    """When it was asked, seconds since 1970, and how long until its answer's head."""

    time: float
    milliseconds: float


class Run:
    """The clients of one time."""

    def __init__(self, steady: "Steady", programs: list[tuple[Workload, Program, Path]], seconds: float) -> None:
        self._steady, self._programs, self._seconds = steady, programs, seconds
        self.waits: list[Wait] = []
        self.has_ended = False

    def stop(self) -> None:
        """Before its time."""
        for _, program, _ in self._programs:
            program.tell(signal.SIGUSR1)
        self.end()

    def end(self) -> None:
        """Returns when all clients have done all that they wanted; the truth has it from then on."""
        self.has_ended = True
        for workload, program, out in self._programs:
            program.wait(self._seconds * 3 + 60)
            for row in json.loads(out.read_text())["rows"]:
                self.waits += [Wait(*one) for one in row.pop("waits", ())]
                self._steady.rows.append((workload.node_id, row))


class Steady:
    """Everything but the clients runs when it is made."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.rows: list[tuple[str, Row]] = []
        self.frontend, self.web = cluster.unit("alpha", "frontend"), cluster.pod("beta", "web")
        self.checkout, self.cart = cluster.pod("beta", "checkout"), cluster.pod("alpha", "cart")
        self._start_nginx()
        counts = cluster.directory / "cart.counts"
        command = [PYTHON, APPS / "server.py", "--listen", "[::]:8080", "--counts", counts]
        self.cart.start("server", command, listens=["[::]:8080"])
        self.main_edge = EdgeKey(self.frontend.node_id, self.web.node_id, "", 80)
        self._runs = 0
        self._last: Run | None = None

    def start(self, seconds: float, rate: float = REQUESTS_A_SECOND) -> Run:
        """About `rate` requests a second: most over kept connections and timed, some over new ones."""
        if self._last is not None and not self._last.has_ended:
            self._last.stop()  # of a test that failed: what it did is in the graph
        self._runs += 1
        timed, new = rate * _TIMED_SHARE, rate * _NEW_CONNECTIONS_SHARE
        others = rate - timed - new
        answers = [["GET", "/"], ["GET", "/empty"], ["GET", "/old"], ["HEAD", "/missing"], ["GET", "/busy"]]
        mixed = [["GET", "/cart/17"], ["POST", "/cart/18/lines"], ["GET", "/status/404"], ["GET", "/status/500"]]

        def job(server: Workload, port: int, rate: float, paths: list[list[str]], **more: Any) -> Job:
            most = max(1, int(rate * seconds))
            fixed = {"rate": rate, "seconds": seconds, "connections": 16}
            return traffic.requests(server.ipv4, port, server.name, most, paths, **{**fixed, **more})

        kept = job(self.web, 80, timed, answers, timed=True)
        anew = job(self.web, 80, new, answers, requests_per_connection=5)
        plans = [(self.frontend, [kept, anew]), (self.checkout, [job(self.cart, 8080, others, mixed, connections=4)])]
        self._last = Run(self, [(one, *self._start(one, jobs)) for one, jobs in plans], seconds)
        return self._last

    def truth(self) -> Truth:
        truth = Truth(self._target_of)
        for source, row in self.rows:
            truth.add(source, row)
        truth.settle()
        return truth

    def _start(self, workload: Workload, jobs: list[Job]) -> tuple[Program, Path]:
        plan = self.cluster.directory / f"{workload.name}-{self._runs}.plan"
        plan.write_text(json.dumps({"jobs": jobs}))
        out = plan.with_suffix(".out")
        return workload.start(f"load-{self._runs}", [PYTHON, APPS / "load.py", plan, out]), out

    def _start_nginx(self) -> None:
        directory = self.cluster.directory
        text = (
            (APPS / "nginx.conf")
            .read_text()
            .replace("access_log @DIRECTORY@/nginx-access.log counts;", "access_log off;")
        )
        configuration = directory / "nginx.conf"
        configuration.write_text(
            text.replace("@DIRECTORY@", str(directory)).replace("@CART@", f"{self.cart.ipv4}:8080")
        )
        self.web.start("nginx", ["nginx", "-e", "stderr", "-c", configuration], listens=["[::]:80"])

    def _target_of(self, source: str, row: Row) -> str:
        host = next(one.host for one in self.cluster.workloads if one.node_id == source)
        return self.cluster.node_at(row["address"], row["port"], host)
