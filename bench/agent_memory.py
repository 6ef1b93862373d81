"""The agent's memory as its memory cgroup counts it, kernel maps and the storage of sockets included.

python -m bench.agent_memory [--json] [--connections 25000]      (root; the memory controller, of cgroup v1 or v2)

The agent starts in a memory cgroup of its own, so that whatever its loader makes in the kernel is charged to it: idle,
then with open sockets under its watched cgroup (both ends, each with a parsed request), then with 10,000 flows more.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
PORTS = 4
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
    with MeasuredProduct(cluster, memory) as product, holding(cluster) as hold:
        time.sleep(SETTLE_SECONDS)
        figures += _figures("idle", memory, "<= 150")
        for what, more, apart, budget in (
            ("1,000 open sockets", 500, False, "<= 150"),
            (f"{2 * connections:,} open sockets", connections - 500, False, "<= 250"),
            ("and 10,000 flows more", 5_000, True, ""),
        ):
            progress(what)
            hold(more, apart)
            time.sleep(SETTLE_SECONDS)
            figures += _figures(what, memory, budget)
        counted = sum(edge["connections"] for edge in product.graph()["edges"])
        figures.append(Figure("connections that the graph counts", counted, "connections", str(connections + 5_000)))
    return figures


@contextmanager
def holding(cluster: Cluster) -> Iterator[Callable[[int, bool], None]]:
    """A function (connections, apart) that returns when so many more are open, by a unit of the host."""
    place = cluster.unit(HOST, "sockets").place
    words = ["sh", "-c", _ENTER, str(place.cgroup), str(place.namespace), PYTHON, str(SOCKETS), str(PORTS)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None and program.stdout is not None
        told, said = program.stdin, program.stdout

        def hold(connections: int, apart: bool) -> None:
            told.write(f"{connections} {int(apart)}\n")
            told.flush()
            if not said.readline():
                raise ProgramFailed("the program that holds sockets has ended")

        try:
            yield hold
        finally:
            program.kill()


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
