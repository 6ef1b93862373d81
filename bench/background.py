"""A synthetic fleet that reports to a real aggregator at a steady rate, until it is ended.

python -m bench.background AGENTS_PORT EDGES RECORDS_A_SECOND
"""

import queue
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1.flow_pb2_grpc import ReportServiceStub

from bench.fleet import HostAgent, fleet

HOSTS = 2


def main(port: int, edges: int, records_a_second: float) -> None:
    agents = fleet(edges, HOSTS, time.time_ns())
    threads = [
        threading.Thread(target=report, args=(port, agent, records_a_second / HOSTS), daemon=True) for agent in agents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report(port: int, agent: HostAgent, records_a_second: float) -> None:
    """One host's stream: an interval's rows each second, spread over it, never faster than they are acknowledged."""
    acknowledged: queue.Queue[None] = queue.Queue()

    def requests() -> Iterator[pb.ReportRequest]:
        dice = np.random.default_rng(1)
        yield agent.hello(time.time_ns())
        yield from agent.definitions()
        rows = int(records_a_second)
        since_ns = time.time_ns()
        while True:
            acknowledged.get()
            time.sleep(max(0.0, 1 - (time.time_ns() - since_ns) / 1e9))
            now_ns = time.time_ns()
            for left in range(rows, 0, -16_000):
                yield agent.rows(min(left, 16_000), since_ns, now_ns, dice)
            since_ns = now_ns

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in ReportServiceStub(channel).Report(requests()):
            acknowledged.put(None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
