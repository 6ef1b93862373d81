"""What is done in a guest, whose cgroups are of version 2 alone: a pod that is throttled, that holds memory, and that
the kernel ends for want of it; and one JSON object with what `plumb show` says beside what the kernel's files say.

limits.py OUT       runs as root in a machine of its own: it leaves its cgroups behind.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster import processes, product
from tests.cluster.cluster import Cluster, Workload
from tests.cluster.leftovers import cgroup_mount
from tests.cluster.limited import Limited, limited
from tests.cluster.processes import PYTHON, wait_until
from tests.kernels.guest import facts, log, say

MB = 1 << 20
SETTLED_SECONDS = 60
# Each waits until it is in every hierarchy that there is.
WAITS = "import time\ntime.sleep(1)\n"
BUSY = "end = time.monotonic() + 4\nwhile time.monotonic() < end: pass"
HOLDS = "kept = b'1' * (60 << 20)\ntime.sleep(1000)"
GREEDY = "kept = []\nwhile True: kept.append(b'1' * (1 << 20))"


def main() -> None:
    found: dict[str, Any] = facts()
    out = Path(sys.argv[1])
    with Cluster(("alpha",)) as cluster:
        try:
            with product.Product(cluster) as running:
                say("ready")
                # It was not there when the agent began: all that the kernel counts of it is told.
                cart = cluster.pod("alpha", "cart")
                with limited(str(cart.place.cgroup.relative_to(cgroup_mount())), beside=True) as cgroup:
                    try:
                        found |= looked_at(running, cart, cgroup)
                    finally:
                        for program in cart.programs:
                            program.kill()
        except processes.ProgramFailed as failed:
            found["failed"] = str(failed)
        finally:
            found["log"] = log(cluster.directory / "logs/agent-alpha.log")
            out.write_text(json.dumps(found))


def looked_at(running: product.Product, cart: Workload, cgroup: Limited) -> dict[str, Any]:
    cgroup.limit_cpu(0.2)
    cgroup.limit_memory(150 * MB)
    server = cart.start("server", [PYTHON, "-m", "http.server", "8080"], ["0.0.0.0:8080"])
    cgroup.take_in(server.pid)

    def begin(name: str, code: str) -> processes.Program:
        program = cart.start(name, [PYTHON, "-c", WAITS + code])
        cgroup.take_in(program.pid)
        return program

    holder, busy = begin("holds", HOLDS), begin("busy", BUSY)
    busy.wait(SETTLED_SECONDS * 5)
    say("it was busy")

    def shown() -> dict[str, Any]:
        answer = running.answer("show", cart.node_id, "--window", "1h")
        return dict(answer["resources"] or {})

    def is_settled() -> bool:
        used = shown().get("cpu_throttled_seconds") or 0
        return used > 0 and abs(used - cgroup.throttled()[2] / 1e9) < 1e-5

    wait_until(is_settled, "what was throttled is told", SETTLED_SECONDS, 1)
    throttled = {"told": shown(), "periods": cgroup.throttled(), "usage_bytes": cgroup.usage_bytes()}
    say("throttling is told")
    holder.kill()
    greedy = begin("greedy", GREEDY)
    wait_until(lambda: not greedy.running, "it is ended", SETTLED_SECONDS)
    wait_until(lambda: shown().get("oom_kills"), "the kill is told", SETTLED_SECONDS, 1)
    time.sleep(5)
    return {"throttled": throttled, "killed": {"told": shown(), "oom_kills": cgroup.oom_kills()}}


if __name__ == "__main__":
    main()
