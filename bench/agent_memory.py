"""The agent's memory as its memory cgroup counts it, kernel maps and the storage of sockets included.

python -m bench.agent_memory [--json] [--connections 25000]      (root; the memory controller, of cgroup v1 or v2)

The agent starts in a memory cgroup of its own, so that whatever its loader makes in the kernel is charged to it: idle,
then with open sockets under its watched cgroup (both ends, each with a parsed request), then with 10,000 flows more.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.common import Figure, flags, progress, show, write
from bench.memory_cgroup import MEGABYTE, MemoryCgroup, NoController, memory_cgroup
from tests.cluster.cluster import Cluster
from tests.cluster.leftovers import NoCluster
from tests.cluster.processes import PYTHON, Program, ProgramFailed
from tests.cluster.product import Product

HOST = "alpha"
SETTLE_SECONDS = 8
SOCKETS = Path(__file__).with_name("sockets.py")
FIRST_PORT = 9000
# Each is two descriptors of a process that may have some 20,000.
MOST_CONNECTIONS = 9_500
_JOIN = 'echo $$ > "$0" && exec "$@"'
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec nsenter --net="$1" -- "$2" "$3" "$4"'


class MeasuredProduct(Product):
    """Its agent is in that memory cgroup from its first moment."""

    def __init__(self, cluster: Cluster, memory: MemoryCgroup) -> None:
        super().__init__(cluster)
        self._memory = memory

    def _start(self, name: str, command: list[str]) -> Program:
        if name.startswith("agent-"):
            command = ["sh", "-c", _JOIN, str(self._memory.processes), *command]
        return super()._start(name, command)


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--connections", type=int, default=25_000, help="each is two open sockets")
    asked = parser.parse_args()
    try:
        with memory_cgroup(f"plumbline-bench-{os.getpid()}") as memory, Cluster((HOST,)) as cluster:
            figures = measured(cluster, memory, asked.connections)
    except NoController as error:
        write(f"agent_memory: {error}; the agent's own metrics have its resident and kernel memory (docs/operate.md)")
        return 3
    except (NoCluster, ProgramFailed) as error:
        write(f"agent_memory: {error}")
        return 4
    show(figures, asked.json)
    return 0


def measured(cluster: Cluster, memory: MemoryCgroup, connections: int) -> list[Figure]:
    figures = []
    with MeasuredProduct(cluster, memory) as product, Holders(cluster) as holders:
        time.sleep(SETTLE_SECONDS)
        figures += _figures("idle", memory, "<= 150")
        for what, more, apart, budget in (
            ("1,000 open sockets", 500, False, "<= 150"),
            (f"{2 * connections:,} open sockets", connections - 500, False, "<= 250"),
            ("and 10,000 flows more", 5_000, True, ""),
        ):
            progress(what)
            holders.hold(more, apart)
            time.sleep(SETTLE_SECONDS)
            figures += _figures(what, memory, budget)
        flows = re.search(r"^plumbline_aggregator_known_flows (\S+)$", product.http("/metrics").decode(), re.MULTILINE)
        figures.append(Figure("flows that the aggregator knows", float(flows[1]) if flows else 0, "flows"))
        counted = sum(edge["connections"] for edge in product.graph()["edges"])
        figures.append(Figure("connections that the graph counts", counted, "connections", str(connections + 5_000)))
    return figures


class Holders:
    """Programs of one unit that hold connections; each has its own port."""

    def __init__(self, cluster: Cluster) -> None:
        self._place = cluster.unit(HOST, "sockets").place
        self._programs: list[tuple[subprocess.Popen[str], int]] = []

    def __enter__(self) -> "Holders":
        return self

    def __exit__(self, *_: object) -> None:
        for program, _room in self._programs:
            program.kill()
            program.communicate()

    def hold(self, connections: int, apart: bool) -> None:
        """Returns when so many more are open."""
        while connections:
            program, room = self._programs.pop() if self._programs else (self._started(0), MOST_CONNECTIONS)
            some = min(room, connections)
            _tell(program, f"{some} {int(apart)}")
            self._programs.append((program, room - some))
            connections -= some
            if some == room:
                self._programs.append((self._started(len(self._programs)), MOST_CONNECTIONS))

    def _started(self, number: int) -> "subprocess.Popen[str]":
        words = ["sh", "-c", _ENTER, str(self._place.cgroup), str(self._place.namespace)]
        words += [PYTHON, str(SOCKETS), str(FIRST_PORT + number)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(program: "subprocess.Popen[str]", line: str) -> None:
    assert program.stdin is not None and program.stdout is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()
    if not program.stdout.readline():
        raise ProgramFailed("the program that holds sockets has ended")


def _figures(what: str, memory: MemoryCgroup, budget: str) -> list[Figure]:
    now = memory.read()
    return [
        Figure(f"working set, {what}", now.working_set / MEGABYTE, "MB", budget),
        Figure("  all, file pages included", now.current / MEGABYTE, "MB"),
        Figure("  anonymous", now.anonymous / MEGABYTE, "MB"),
        Figure("  in the kernel", now.kernel / MEGABYTE, "MB"),
        Figure("  highest so far", now.peak / MEGABYTE, "MB"),
    ]


if __name__ == "__main__":
    sys.exit(main())
