"""What names cost the agent: CPU for new TLS connections and for DNS look-ups, beside one that ships events.

python -m bench.naming [--json] [--seconds 10]     (root; the programs of scripts/setup dev)

Both look at the same client at the same time: ours, which counts in the kernel and is told of a name once, and the same
hooks with an event for each handshake and each answer. The client says how many it made.
"""

import sys
import time
from dataclasses import dataclass
from typing import Final

from bench.agent_cpu import both_cpu, events_agent
from bench.common import Figure, flags, progress, show, write
from bench.stage import CLIENT_HOST, SERVER_HOST, TLS_PORT, Missing, Pair, agents, stage
from tests.cluster.leftovers import NoCluster
from tests.cluster.network import RESOLVER_IPV4
from tests.cluster.processes import PYTHON, Program, ProgramFailed
from tests.cluster.product import Product

NAMES: Final = 16
_SETTLE_SECONDS: Final = 2
# A full handshake each, with a name in its hello.
_TLS: Final = """
import itertools, socket, ssl, sys, time
context = ssl._create_unverified_context()
address, port, names, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), time.monotonic() + float(sys.argv[4])
for count in itertools.count():
    if time.monotonic() > end:
        break
    plain, name = socket.create_connection((address, port)), f"n{count % names}.bench.example"
    context.wrap_socket(plain, server_hostname=name).close()
print(count)
"""
_DNS: Final = """
import itertools, socket, struct, sys, time
address, names, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
label = lambda text: bytes([len(text)]) + text.encode()
asked = [b"".join(map(label, (f"n{n}", "bench", "example"))) + b"\\0" + struct.pack("!HH", 1, 1) for n in range(names)]
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect((address, 53))
for count in itertools.count():
    if time.monotonic() > end:
        break
    one.send(struct.pack("!HHHHHH", count & 0xffff, 0x100, 1, 0, 0, 0) + asked[count % names])
    one.recv(4096)
print(count)
"""


@dataclass(frozen=True, slots=True)
class Used:
    """CPU in seconds of ours and of the other, how much ours differs from itself idle, and how many there were."""

    ours: float
    theirs: float
    noise: float
    count: int


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    try:
        with stage() as (cluster, product):
            cluster.publish({f"n{one}.bench.example": {"A": [f"192.0.2.{one}"]} for one in range(NAMES)})
            scene = Pair(cluster, CLIENT_HOST, SERVER_HOST)
            with agents(product, CLIENT_HOST):
                figures = measured(scene, product, asked.seconds)
    except (Missing, NoCluster, ProgramFailed) as error:
        write(f"naming: {error}")
        return 4
    show(figures, asked.json)
    return 0


def measured(scene: Pair, product: Product, seconds: float) -> list[Figure]:
    tls = [PYTHON, "-c", _TLS, scene.server.ipv4, TLS_PORT, NAMES, seconds + _SETTLE_SECONDS]
    dns = [PYTHON, "-c", _DNS, RESOLVER_IPV4, NAMES, seconds + _SETTLE_SECONDS]
    figures = []
    for what, command in (("new TLS connections", tls), ("DNS look-ups", dns)):
        progress(what)
        used = _used(scene, product, what.partition(" ")[0], command, seconds)
        ours, theirs, noise = (cpu / used.count * 1e6 for cpu in (used.ours, used.theirs, used.noise))
        rate = f"{used.count / (seconds + _SETTLE_SECONDS):.0f} a second"
        figures += [
            Figure(f"CPU for 1,000 {what}", ours, "ms", note=rate),
            Figure("  idle against idle", noise, "ms"),
            Figure("  an event each", theirs, "ms"),
            Figure("  times less, or what can be told", theirs / max(ours, noise), "x", row=f"{what} against events"),
        ]
    return figures


def _used(scene: Pair, product: Product, name: str, command: list[object], seconds: float) -> Used:
    """Without what each takes idle. Names are told at the load's begin: that belongs to it."""
    said: list[str] = []
    length = seconds + _SETTLE_SECONDS
    with events_agent(product, CLIENT_HOST, said) as events:
        before = both_cpu(product, CLIENT_HOST, events, length)
        program: Program = scene.client.start(f"load-{name}", command)
        busy = both_cpu(product, CLIENT_HOST, events, length)
        program.wait(30)
        time.sleep(_SETTLE_SECONDS)
        after = both_cpu(product, CLIENT_HOST, events, length)
    ours, theirs = (max(one - (early + late) / 2, 0) for early, one, late in zip(before, busy, after, strict=True))
    return Used(ours, theirs, abs(after[0] - before[0]), int(program.output.read_text().split()[-1]))


if __name__ == "__main__":
    sys.exit(main())
