"""What giving back costs where 500,000 endpoints and a million flows are known: `python -m bench.giving_back ALIVE`.

Of the endpoints the last ALIVE have two flows with rows and a claim; nothing refers to the others. The tables are
filled directly: through agents it takes an hour.
"""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from plumbline.v1 import flow_pb2 as pb
from plumbline.v1.columns import REQUEST_TYPES

from aggregator.estate import Estate
from aggregator.garbage import search_all, search_seldom
from aggregator.ingest.tables import Epoch
from aggregator.records import SECOND_NS, Endpoint, Flow, HostKey, Name, Owned
from aggregator.settings import Settings
from aggregator.state import State
from aggregator.topology.columns import COUNTERS, Rows
from aggregator.topology.coverage import HostCoverage
from telemetry.process import resident_bytes

HOSTS, ENDPOINTS, FLOWS_EACH, NAMES = 500, 500_000, 2, 100_000
NOW_NS = 1_800_000_000 * SECOND_NS


def address(number: int) -> bytes:
    return bytes(10) + b"\xff\xff\x0a" + (64 * 65536 + number).to_bytes(3, "big")


def known(settings: Settings, alive: int) -> State:
    state = State.of(Estate(settings).checkpoint())
    tables, first = state.tables, ENDPOINTS - alive
    for host in range(HOSTS):
        tables.hosts.id_of(HostKey("default", f"host{host}"))
        tables.epochs[host] = Epoch(1, "boot", SECOND_NS, 0)
        state.coverage[host] = HostCoverage(heard_ns=NOW_NS, covered=[[NOW_NS - 100 * SECOND_NS, NOW_NS]])
    for number in range(NAMES):
        tables.names.id_of(Name(number > 0, f"/route{number}/*" if number else ""))
    for one in range(ENDPOINTS):
        pod = Endpoint(one % HOSTS, pb.ENDPOINT_KIND_POD, f"{one:036d}", f"{one:064x}", "", "", one)
        tables.endpoints.id_of(pod)
        tables.epochs[one % HOSTS].endpoints.define(one + 1, one)
        for flow in range(FLOWS_EACH):
            peer = address((7 * one + 13 * flow + 1) % alive)
            ours = tables.flows.id_of(Flow(one, address(one % alive), peer, 8000 + flow, 1 + flow, 6, b"", 0))
            tables.epochs[one % HOSTS].flows.define(ours + 1, ours)
    state.claims += [
        Owned(one, address(one % alive), 0, 0, pb.REALM_CLUSTER, one, False, NOW_NS - 50 * SECOND_NS)
        for one in range(first, ENDPOINTS)
    ]
    rows = rows_of(np.arange(first * FLOWS_EACH, ENDPOINTS * FLOWS_EACH))
    state.lives.note(rows.flows)
    return replace(state, hot=[(-1, 0, rows)])


def rows_of(flows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Rows:
    nothing = np.zeros(len(flows), np.int64)
    times = {"flow": flows, "from_ns": nothing + NOW_NS - SECOND_NS, "to_ns": nothing + NOW_NS}
    transport = {**dict.fromkeys((*COUNTERS, "protocols"), nothing), "bytes_sent": nothing + 10}
    requests = {**dict.fromkeys(REQUEST_TYPES, nothing), "count": nothing + 3, "name": flows % 1000}
    return Rows.of({**transport, **times}, {**requests, **times})


def main(alive: int) -> None:
    with TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        estate = Estate.of(settings, known(settings, alive))
    search_seldom()
    before = resident_bytes()
    began = time.thread_time()
    estate, given = estate.without_unused(NOW_NS)
    held_up_seconds, began = time.thread_time() - began, time.thread_time()
    steps = [began, *(time.thread_time() for _ in estate.warming(NOW_NS)), time.thread_time()]
    searched = time.thread_time()
    search_all()
    spent = np.diff(steps)
    found_seconds = time.thread_time() - searched
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = (
        f"{alive} alive: {given}",
        f"agents wait {held_up_seconds:.2f} s, then {sum(spent):.2f} s in steps of {max(spent):.2f} s at most",
        f"the search for garbage takes {found_seconds:.2f} s (all of CPU)",
        f"{before >> 20} MB before, {peak >> 20} MB at most, {resident_bytes() >> 20} MB after",
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
