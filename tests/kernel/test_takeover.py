"""New programs in the place of old ones, on their maps: connections stay followed, every count is there once."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plumbline.v1 import flow_pb2

from agent.kernel.source import SocketKernel, open_kernel
from agent.records import OOM_KILLS, KernelRefused, Offer, OomKill
from tests.cluster.limited import Limited, limited
from tests.kernel import bpf
from tests.kernel.wire import connection, own_cgroup

pytestmark = pytest.mark.kernel
REQUEST = b"GET /cart/%d HTTP/1.1\r\nHost: shop\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def cgroup() -> Iterator[Path]:
    with own_cgroup() as one:
        yield one


def ask(client: socket.socket, server: socket.socket, number: int) -> None:
    client.sendall(REQUEST % number)
    server.recv(4096)
    server.sendall(ANSWER)
    client.recv(4096)


def requests(*kernels: SocketKernel) -> dict[tuple[int, int], int]:
    """By role and code, of all of them together."""
    found: dict[tuple[int, int], int] = {}
    for kernel in kernels:
        kernel.poll(0.05)
        rows = kernel.drain(time.time_ns()).requests
        for at in range(len(rows["flow"])):
            flow = kernel.known_flow(int(rows["flow"][at]))
            if rows["protocol"][at] == flow_pb2.PROTOCOL_HTTP and flow is not None:
                key = flow.role, int(rows["code"][at])
                found[key] = found.get(key, 0) + int(rows["count"][at])
    return found


def test_a_range_that_is_ours_no_more_goes_with_its_agent(cgroup: Path) -> None:
    def inside(kernel: SocketKernel) -> set[tuple[bytes, int]]:
        rows = kernel._maps["inside"].each_key()
        return {(one["address"].tobytes(), int(one["length"])) for one in rows}

    stays, goes, comes = ((bytes([0xFD, number]) + bytes(14), 16) for number in range(3))
    old = open_kernel(cgroup)
    assert inside(old) == set()
    old.know_inside([stays, goes])
    new = open_kernel(cgroup, old.offer())
    new.go_on(old.stand())
    old.close()
    assert inside(new) == {stays, goes}
    new.know_inside([stays, comes])
    assert inside(new) == {stays, comes}
    new.close()


def test_a_connection_is_followed_through_the_change(cgroup: Path) -> None:
    old = open_kernel(cgroup)
    with connection() as (client, server):
        ask(client, server, 1)
        client.sendall((REQUEST % 2)[:20])  # half a head is in the old program's window
        server.recv(4096)
        before = bpf.loaded(cgroup, os.getpid())
        new = open_kernel(cgroup, old.offer())
        assert new.taken_over
        assert bpf.loaded(cgroup, os.getpid()).links == before.links, "a link was made anew"
        assert not bpf.loaded(cgroup, os.getpid()).programs & before.programs, "an old program is still there"
        client.sendall((REQUEST % 2)[20:])
        server.recv(4096)
        server.sendall(ANSWER)
        client.recv(4096)
        first = requests(old)
        new.go_on(old.stand())
        old.close()
        ask(client, server, 3)
        assert {key: first[key] + count for key, count in requests(new).items()} == {(1, 200): 3, (2, 200): 3}
    new.close()
    assert not bpf.still_there(before)


def test_nothing_is_missed_or_double_while_programs_change_under_load(cgroup: Path) -> None:
    kernels = [open_kernel(cgroup)]
    stop, sent = threading.Event(), [0, 0]

    def load(place: int) -> None:
        with connection() as (client, server):
            while not stop.is_set():
                sent[place] += 1
                ask(client, server, sent[place])
                time.sleep(0.001)

    loads = [threading.Thread(target=load, args=(place,), daemon=True) for place in range(2)]
    for one in loads:
        one.start()
    found: dict[tuple[int, int], int] = {}
    try:
        for _ in range(2):
            time.sleep(0.3)
            new = open_kernel(cgroup, kernels[-1].offer())
            found = merged(found, requests(kernels[-1]))
            new.go_on(kernels[-1].stand())
            kernels[-1].close()
            kernels.append(new)
    finally:
        stop.set()
        for one in loads:
            one.join()
    found = merged(found, requests(kernels[-1]))
    kernels[-1].close()
    assert sum(sent) > 500
    assert found == {(1, 200): sum(sent), (2, 200): sum(sent)}


def merged(one: dict[tuple[int, int], int], other: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}


def test_an_oom_kill_is_told_once_whenever_it_is() -> None:
    """A tracepoint's link cannot go on with another program: the old one stays, and no second one comes."""
    with limited(f"plumbline-oom-{os.getpid()}/a.service") as cgroup:
        root = cgroup.unified.parent
        old = open_kernel(root)
        first = killed_in(cgroup, old)
        new = open_kernel(root, old.offer())
        assert new.taken_over and OOM_KILLS in new.attached
        while_both = killed_in(cgroup, old)
        new.go_on(old.stand())
        old.close()
        after = killed_in(cgroup, new)
        new.close()
        assert [len(some) for some in (first, while_both, after)] == [1, 1, 1]
        (told,) = after
        assert told.cgroup_id == cgroup.unified.stat().st_ino


def killed_in(cgroup: Limited, kernel: SocketKernel) -> list[OomKill]:
    """What is told of one kill."""
    cgroup.limit_memory(40 << 20)
    greedy = cgroup.start("kept = []\nwhile True: kept.append(bytearray(1 << 20))")
    assert greedy.wait(60) == -9
    time.sleep(0.2)
    told = [one for one in kernel.poll(1) if isinstance(one, OomKill)]
    assert [one.process_id for one in told] == [greedy.pid] * len(told)
    return told


def test_another_layout_is_not_taken_over(cgroup: Path) -> None:
    old = open_kernel(cgroup)
    offer, steps = Offer("another", old.offer().maps, old.offer().links), []

    def let_go() -> None:
        steps.append(bpf.loaded(cgroup, os.getpid()).links)
        old.close()

    new = open_kernel(cgroup, offer, let_go)
    assert not new.taken_over and len(steps) == 1
    assert not bpf.loaded(cgroup, os.getpid()).links & steps[0]
    with connection() as (client, server):
        ask(client, server, 1)
        assert requests(new) == {(1, 200): 1, (2, 200): 1}
    new.close()


@pytest.mark.parametrize(
    "what",
    ["a map for another", "a map for a link"]
    + [pytest.param(what, marks=pytest.mark.long) for what in ("a file for a map", "one map less")],
)
def test_wrong_descriptors_are_refused_before_anything_changes(cgroup: Path, what: str, tmp_path: Path) -> None:
    old = open_kernel(cgroup)
    maps, links = dict(old.offer().maps), dict(old.offer().links)
    with (tmp_path / "file").open("w") as file:
        if what == "a file for a map":
            maps["flows"] = file.fileno()
        elif what == "a map for another":
            maps["flows"] = maps["names"]
        elif what == "one map less":
            del maps["dns_announced"]
        else:
            links["on_egress"] = maps["names"]
        before = bpf.loaded(cgroup, os.getpid())
        with pytest.raises(KernelRefused):
            open_kernel(cgroup, Offer(old.offer().layout, maps, links))
    assert bpf.loaded(cgroup, os.getpid()) == before
    with connection() as (client, server):
        ask(client, server, 1)
        assert requests(old) == {(1, 200): 1, (2, 200): 1}
    old.close()
