"""The example for other people's programs, run as they would run it: on plumbline.v1 alone."""

import subprocess
import time
from collections.abc import Callable

import pytest
from plumbline.v1.topology_pb2 import (
    CHANGE_KIND_APPEARED,
    CHANGE_KIND_VANISHED,
    Bookmark,
    Change,
    Edge,
    Position,
    Topology,
    WatchTopologyResponse,
)

from .conftest import Served, eventually
from .test_watch import delta, restart, snapshot

EDGE = Edge(id="x3", source="a", target="b", protocol="http", port=80)


@pytest.fixture
def follower(served: Served, started: Callable[..., subprocess.Popen[str]]) -> subprocess.Popen[str]:
    return started(served.address, program=("examples/subscribe.py",))


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def test_snapshot_deltas_and_resume(served: Served, follower: subprocess.Popen[str]) -> None:
    served.events.put(snapshot(served.topology, 7))
    assert line(follower) == "7 snapshot 2 edges\n"
    began = time.monotonic()
    served.events.put(delta(8, Change(kind=CHANGE_KIND_APPEARED, edge=EDGE)))
    assert line(follower) == "8 delta 3 edges\n"
    assert time.monotonic() - began < 1
    served.events.put(delta(9, Change(kind=CHANGE_KIND_VANISHED, edge=EDGE)))
    assert line(follower) == "9 delta 2 edges\n"
    served.events.put(None)
    eventually(lambda: len(served.requests) == 2)
    assert served.requests[1].resume == Position(epoch="e1", version=9)
    served.events.put(WatchTopologyResponse(position=Position(epoch="e1", version=9), bookmark=Bookmark(edges=2)))
    assert line(follower) == "9 bookmark 2 edges\n"


def test_told_to_begin_anew_it_forgets(served: Served, follower: subprocess.Popen[str]) -> None:
    served.events.put(snapshot(served.topology, 7))
    served.events.put(restart("too old"))
    served.events.put(snapshot(Topology(edges=[EDGE]), 1, epoch="e2"))
    assert [line(follower) for _ in range(3)] == ["7 snapshot 2 edges\n", "1 restart 0 edges\n", "1 snapshot 1 edges\n"]


def test_it_waits_for_an_aggregator_that_is_not_there(served: Served, follower: subprocess.Popen[str]) -> None:
    served.events.put(None)
    assert follower.stderr
    assert follower.stderr.readline() == "waiting for the aggregator: UNAVAILABLE\n"
    served.events.put(snapshot(served.topology, 7))
    assert line(follower) == "7 snapshot 2 edges\n"
