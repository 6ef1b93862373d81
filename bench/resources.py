"""What reading the resources of containers costs an agent: user and system CPU of one round, real cgroups.

`python -m bench.resources [CONTAINERS]` makes them in every hierarchy that this machine has, reads them 50 times, and
removes them. Needs root.
"""

import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from agent.identity.cgroup import CgroupIndex
from agent.identity.endpoints import EndpointBook
from agent.identity.naming import Naming
from agent.identity.process import Proc
from agent.resources.reading import Reader, places_of
from agent.resources.usage import PERIOD_NS, Usage
from tests.cluster.leftovers import cgroup_mount
from tests.cluster.limited import limited

_ROUNDS = 50


def measure(containers: int) -> tuple[float, float]:
    """Milliseconds of user and of system CPU for one round."""
    name = f"plumbline-bench-{os.getpid()}"
    mount = cgroup_mount()
    with ExitStack() as cleanup:
        for number in range(containers):
            made = cleanup.enter_context(limited(f"{name}/kubepods/pod{number:032x}/{number:064x}"))
            cleanup.callback(_end, made.start_program("sleep", "1000"))
        _all_run(mount / name, containers)
        root = mount / name
        naming = Naming(CgroupIndex(root), Proc(), f"/{name}")
        reader = Reader(places_of(Path("/proc/self/mounts").read_text(), root, mount))
        usage = Usage(naming, EndpointBook(), reader, counts_kills=True, begun_ns=0)
        now_ns = time.time_ns()
        usage.take(now_ns)
        assert usage.cgroups == containers
        before = resource.getrusage(resource.RUSAGE_SELF)
        for one in range(_ROUNDS):
            usage.take(now_ns + (one + 1) * PERIOD_NS)
        after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return 1000 * user / _ROUNDS, 1000 * system / _ROUNDS


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _all_run(root: Path, containers: int) -> None:
    while sum(bool(one.read_text()) for one in root.rglob("cgroup.procs")) < containers:
        time.sleep(0.1)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    user_ms, system_ms = measure(count)
    share = 100 * user_ms / (PERIOD_NS / 1e6)
    line = f"{count} containers, one round: {user_ms:.2f} ms user, {system_ms:.2f} ms system"
    sys.stdout.write(f"{line}; user CPU is {share:.3f} % of a core\n")
