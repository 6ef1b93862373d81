"""Identity on the real thing: cgroups, processes, network namespaces and sockets of this machine. Needs root."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_POD,
    ENDPOINT_KIND_PROCESS,
    ENDPOINT_KIND_UNIT,
    REALM_CLUSTER,
    REALM_NAMESPACE,
)

from agent.identity.addresses import Claim
from agent.identity.cgroup import CgroupIdentity, find_cgroup_root
from agent.identity.endpoints import OTHER_COMMAND, Endpoint, EndpointBook
from agent.identity.host import Host, _network_of_host, open_host
from agent.identity.namespaces import own_netns_cookie
from agent.identity.process import Proc, cgroup_namespace
from agent.identity.sockets import ANY_V4
from agent.records import ListenerSeen
from tests.unit.agent.kernels import CLIENT, LOOPBACK, SERVER, flow

MOUNT = find_cgroup_root(Path("/proc/self/mounts").read_text())
UID = "11111111-2222-3333-4444-555555555555"
CONTAINER = "c" * 64
POD = (
    f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    f"/cri-containerd-{CONTAINER}.scope"
)
POD_ADDRESS = bytes(10) + b"\xff\xff" + bytes([10, 99, 7, 5])
START_NS = 1_000
FREED_WITHIN_SECONDS = 15
ATTEMPTS = 3  # with another number, for one may be kept for longer
LISTEN = (
    "import socket, time\n"
    "sockets = [socket.create_server(('', 18080)), socket.create_server(('127.0.0.1', 18081))]\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or MOUNT is None, reason="needs root and a cgroup v2 hierarchy: run it with sudo"
)


class Machine:
    """A cgroup subtree with programs in it."""

    def __init__(self, root: Path, cleanup: ExitStack) -> None:
        self.root = root
        self._cleanup = cleanup

    def cgroup(self, path: str) -> Path:
        directory = self.root / path
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def start(
        self, path: str, code: str, own_network: bool = False, joins: int = 0, address: str = "10.99.7.5"
    ) -> "subprocess.Popen[str]":
        """Runs Python code in a cgroup, and a network namespace of its own or ours; returns when it is ready."""
        configure = f"ip link set lo up && ip addr add {address}/32 dev lo"
        enter = f"unshare --net sh -c '{configure} && exec \"$@\"' sh"
        enter = f"nsenter --net=/proc/{joins}/ns/net --" if joins else enter if own_network else ""
        shell = f'echo $$ > {self.cgroup(path)}/cgroup.procs && exec {enter} "$@"'
        process = subprocess.Popen(
            ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        )
        self._cleanup.callback(self.end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def end(self, process: "subprocess.Popen[str]") -> None:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

    def remove(self) -> None:
        deadline = time.monotonic() + 5
        for directory, _, _ in os.walk(self.root, topdown=False):
            while True:
                try:
                    Path(directory).rmdir()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)


@pytest.fixture
def machine() -> Iterator[Machine]:
    assert MOUNT is not None
    with ExitStack() as cleanup:
        root = MOUNT / f"plumbline-unit-{os.getpid()}"
        root.mkdir()
        built = Machine(root, cleanup)
        cleanup.callback(built.remove)
        yield built


def host_of(machine: Machine) -> Host:
    assert MOUNT is not None
    return open_host(machine.root, MOUNT, START_NS)


def endpoints(host: Host) -> dict[str, Endpoint]:
    return {one.identity.unit or one.identity.pod_uid or one.command: one for one in host.book.all()}


def claims_on(host: Host, port: int) -> list[Claim]:
    return [claim for claim in host.claims.open() if claim.place.port == port]


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_was_there_before_the_agent_is_found(machine: Machine) -> None:
    machine.start(POD, LISTEN, own_network=True)
    machine.start("system.slice/shop.service", LISTEN.replace("18080", "18090").replace("18081", "18091"))
    machine.start("user.slice/session-1.scope", LISTEN.replace("18080", "18082").replace("18081", "18083"))
    host = host_of(machine)
    found = host.read(START_NS)
    known = endpoints(host)
    assert {name: one.identity.kind for name, one in known.items()} == {
        UID: ENDPOINT_KIND_POD,
        "shop.service": ENDPOINT_KIND_UNIT,
        "python": ENDPOINT_KIND_PROCESS,
    }
    assert known[UID].identity.container_id == CONTAINER
    assert known[UID].cgroup_path == f"/{POD}"
    ours = Path("/proc/self/ns/net").stat().st_ino
    assert known[UID].network_namespace not in (0, ours)
    assert known["shop.service"].network_namespace == known["python"].network_namespace == ours
    assert (found.network_namespaces, found.listeners) == (2, 6)

    # The pod owns its address on every port; the host's addresses are nobody's as a whole.
    (whole,) = claims_on(host, 0)
    assert (whole.place.address, whole.place.realm, whole.endpoint) == (POD_ADDRESS, REALM_CLUSTER, known[UID].id)
    assert {claim.place.address for claim in claims_on(host, 18080)} == {LOOPBACK, POD_ADDRESS}
    (loopback_only,) = claims_on(host, 18081)
    assert (loopback_only.place.realm, loopback_only.place.network_namespace) == (
        REALM_NAMESPACE, known[UID].network_namespace,
    )  # fmt: skip
    assert {claim.endpoint for claim in claims_on(host, 18090)} == {known["shop.service"].id}
    assert all(claim.from_ns == START_NS for claim in host.claims.open())
    assert POD_ADDRESS not in host.own_addresses()
    # Named: the pod, its slices that have its name, the unit. Not the session.
    named = {host.index.path(one) for one in host.take_new_named_cgroups()}
    assert {f"/{POD}", "/system.slice/shop.service"} <= named
    assert "/user.slice/session-1.scope" not in named


def test_connections_that_were_open_before_have_a_role_and_a_command(machine: Machine) -> None:
    code = (
        "import socket, time\n"
        "server = socket.create_server(('127.0.0.1', 18084))\n"
        "client = socket.create_connection(('127.0.0.1', 18084))\n"
        "accepted, _ = server.accept()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    machine.start("misc", code)
    host = host_of(machine)
    found = [one for one in host.read(START_NS).open_connections if 18084 in (one.local_port, one.peer_port)]
    assert sorted((one.role, one.local_port == 18084) for one in found) == [(CLIENT, False), (SERVER, True)]
    cgroup_id = (machine.root / "misc").stat().st_ino
    client = host.endpoint_of(flow(1 << 40, cgroup_id=cgroup_id, port=18084, command="", role=CLIENT), 2_000)
    server = host.endpoint_of(flow(2 << 40, cgroup_id=cgroup_id, port=18084, command="", role=SERVER), 2_000)
    assert client.command == server.command == "python"


def test_a_pod_that_comes_later_and_goes(machine: Machine) -> None:
    host = host_of(machine)
    host.read(START_NS)
    process = machine.start(POD, LISTEN, own_network=True)
    cgroup_id = (machine.root / POD).stat().st_ino
    seen = flow(
        3 << 40, cgroup_id=cgroup_id, process_id=process.pid, local_address=POD_ADDRESS, role=CLIENT, command=""
    )
    endpoint = host.endpoint_of(seen, 2_000)
    assert (endpoint.identity.pod_uid, endpoint.identity.container_id) == (UID, CONTAINER)
    assert endpoint.network_namespace > 0
    assert cgroup_id in host.take_new_named_cgroups()
    # It may never listen: whom its connections come from is known by its addresses.
    assert [claim.place.address for claim in claims_on(host, 0)] == [POD_ADDRESS]
    host.listener(ListenerSeen(cgroup_id, ANY_V4, 18080, 6, "python", process.pid, 3_000))
    assert {claim.place.address for claim in claims_on(host, 18080)} == {LOOPBACK, POD_ADDRESS}
    assert [claim.place.address for claim in claims_on(host, 0)] == [POD_ADDRESS]

    host.refresh(4_000)
    assert len(claims_on(host, 18080)) == 2
    machine.end(process)
    wait_for(lambda: not (machine.root / POD / "cgroup.procs").read_text())
    (machine.root / POD).rmdir()
    host.claims.take_changes()
    host.refresh(5_000)
    assert host.claims.open() == []
    assert {claim.to_ns for claim in host.claims.take_changes()} == {5_000}
    # Its last counts may come after it: it still has its name.
    assert host.endpoint_of(seen, 5_500).id == endpoint.id


def test_a_listener_goes_with_its_process_unless_a_child_has_it(machine: Machine) -> None:
    fork = LISTEN.replace("print(", "import os\nif os.fork(): time.sleep(60)\nprint(")
    parent = machine.start("misc", fork.replace("18080", "18086").replace("18081", "18087"))
    host = host_of(machine)
    host.read(START_NS)
    cgroup_id = (machine.root / "misc").stat().st_ino
    host.listener(ListenerSeen(cgroup_id, LOOPBACK, 18087, 6, "python", parent.pid, 1_500))
    assert claims_on(host, 18087)
    machine.end(parent)
    host.refresh(2_000)
    assert claims_on(host, 18087)
    (machine.root / "misc" / "cgroup.kill").write_text("1")
    wait_for(lambda: not (machine.root / "misc" / "cgroup.procs").read_text())
    host.refresh(3_000)
    assert claims_on(host, 18087) == []
    assert claims_on(host, 18086) == []


def test_a_socket_is_in_its_own_namespace_also_when_its_process_is_gone(machine: Machine) -> None:
    there = machine.start("misc", LISTEN.replace("18080", "18094").replace("18081", "18095"), own_network=True)
    here = machine.start("misc", LISTEN.replace("18080", "18094").replace("18081", "18095"))
    cgroup_id = (machine.root / "misc").stat().st_ino
    host = host_of(machine)
    host.read(START_NS)
    theirs, ours = Path(f"/proc/{there.pid}/ns/net").stat().st_ino, Path("/proc/self/ns/net").stat().st_ino
    assert theirs != ours

    def server(number: int, process_id: int, netns_cookie: int) -> Endpoint:
        seen = flow(
            number << 40, cgroup_id=cgroup_id, process_id=process_id, netns_cookie=netns_cookie,
            role=SERVER, port=18095, command="python",
        )  # fmt: skip
        return host.endpoint_of(seen, 2_000)

    elsewhere = 2**63
    first, second = server(11, there.pid, elsewhere), server(12, here.pid, own_netns_cookie())
    assert (first.network_namespace, second.network_namespace) == (theirs, ours)
    assert [one.place.network_namespace for one in claims_on(host, 18095)] == [theirs, ours]
    machine.end(there)
    machine.end(here)
    assert server(13, there.pid, elsewhere).id == first.id
    assert server(14, here.pid, own_netns_cookie()).id == second.id
    assert server(15, 0, elsewhere).id == first.id


def test_a_namespace_is_forgotten_when_nobody_is_in_it(machine: Machine) -> None:
    """The next one that gets its number may be a pod's; one that another process is still in stays."""
    first = machine.start("system.slice/alone.service", LISTEN, own_network=True)
    namespace = Path(f"/proc/{first.pid}/ns/net").stat().st_ino
    second = machine.start(
        "user.slice/session-1.scope", "import time\nprint('ready', flush=True)\ntime.sleep(60)\n", joins=first.pid
    )
    host = host_of(machine)
    host.read(START_NS)
    assert namespace in host.claims.namespaces()
    machine.end(first)
    host.refresh(2_000)
    assert namespace in host.claims.namespaces()
    machine.end(second)
    host.refresh(3_000)
    assert namespace not in host.claims.namespaces()
    assert claims_on(host, 18080) == []


def test_cgroups_that_came_and_went_are_forgotten_a_look_later(machine: Machine) -> None:
    host = host_of(machine)
    host.read(START_NS)
    short, kept = machine.cgroup("short.service"), machine.cgroup("kept.service")
    ids = {one: one.stat().st_ino for one in (short, kept)}
    host.refresh(2_000)
    assert set(host.named_cgroups()) == set(ids.values())
    short.rmdir()
    host.refresh(3_000)
    assert host.forget_cgroups() == set()
    assert host.forget_cgroups() == {ids[short]}
    assert host.named_cgroups() == [ids[kept]]
    assert host.forget_cgroups() == set()


def test_endpoints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.identity.endpoints.MOST_ENDPOINTS", 2)
    book = EndpointBook()
    known = [book.process(f"worker-{one}", "/", 7) for one in range(2)]
    for one in range(3):
        assert book.process(f"late-{one}", "/", 7).command == OTHER_COMMAND
    assert (
        book.named(CgroupIdentity(ENDPOINT_KIND_UNIT, unit="late.service"), "/late.service", 7).command == OTHER_COMMAND
    )
    assert (book.refused, len(book.all())) == (4, 3)
    assert book.process("worker-0", "/", 7) == known[0]


def test_a_process_is_called_by_its_name_and_by_what_the_kernel_noted_when_it_is_gone(machine: Machine) -> None:
    process = machine.start("misc", LISTEN.replace("18080", "18088").replace("18081", "18089"))
    cgroup_id = (machine.root / "misc").stat().st_ino
    host = host_of(machine)
    host.read(START_NS)
    living = flow(4 << 40, cgroup_id=cgroup_id, process_id=process.pid, command="a-thread")
    assert host.endpoint_of(living, 2_000).command == "python"
    machine.end(process)
    gone = host.endpoint_of(flow(5 << 40, cgroup_id=cgroup_id, process_id=process.pid, command="curl"), 2_000)
    assert gone.command == "curl"
    unknown = host.endpoint_of(flow(6 << 40, cgroup_id=2**40, process_id=0, command=""), 3_000)
    assert unknown.command == "(unknown)"
    assert unknown.network_namespace == Path("/proc/self/ns/net").stat().st_ino


def test_processes_that_vanish_while_everything_is_read(machine: Machine) -> None:
    machine.cgroup("misc")
    shell = (
        f"echo $$ > {machine.root}/misc/cgroup.procs; i=0; while [ $i -lt 400 ]; do /bin/true & i=$((i+1)); done; wait"
    )
    churn = subprocess.Popen(["/bin/sh", "-c", shell])
    host = host_of(machine)
    rounds = 0
    while churn.poll() is None:
        host.read(START_NS + rounds)
        host.refresh(START_NS + rounds)
        rounds += 1
    assert rounds > 1


def test_names_of_sockets_of_this_very_process_survive_hostile_commands(machine: Machine) -> None:
    code = LISTEN.replace("import socket", "open('/proc/self/comm', 'w').write('a\\nb\\x1b[1m<i>')\nimport socket")
    machine.start("misc", code.replace("18080", "18092").replace("18081", "18093"))
    host = host_of(machine)
    host.read(START_NS)
    (claim, *_) = claims_on(host, 18092)
    endpoint = host.book.get(claim.endpoint)
    assert endpoint is not None
    assert endpoint.command == r"a\x0ab\x1b[1m<i>"


def test_the_test_machine_has_the_ports_free() -> None:
    for port in range(18080, 18094):
        with socket.create_server(("127.0.0.1", port)):
            pass


WAIT = "import time; print('ready', flush=True); time.sleep(60)"
OTHER_POD = POD.replace("11111111", "22222222").replace(CONTAINER, "d" * 64)


def test_a_namespace_with_the_number_of_one_that_is_gone_is_another_one(machine: Machine) -> None:
    """The kernel gives the lowest free number, so that the next pod often has that of the last one."""
    met, second = met_and_followed(machine)
    host = met.host
    address = POD_ADDRESS[:-1] + bytes([6])
    one = flow(3, cgroup_id=id_of(machine, OTHER_POD), local_address=address, process_id=second.pid)
    endpoint = host.endpoint_of(one, START_NS + 10**9)
    assert [claim.endpoint for claim in host.claims.open() if claim.place.address == address] == [endpoint.id]
    assert not [claim for claim in host.claims.open() if claim.place.address == POD_ADDRESS]


def test_what_is_told_late_of_a_pod_that_is_gone_takes_nothing_from_the_next_one(machine: Machine) -> None:
    """Its last connections are counted when another pod is in a namespace with that number already."""
    met, second = met_and_followed(machine)
    host = met.host
    cgroup_id = id_of(machine, OTHER_POD)
    host.listener(ListenerSeen(cgroup_id, ANY_V4, 18080, 6, "python", second.pid, START_NS + 10**9))
    claims = host.claims.open()
    assert {claim.place.address for claim in claims} == {LOOPBACK, POD_ADDRESS[:-1] + bytes([6])}
    late = START_NS + 2 * 10**9
    for address in (LOOPBACK, POD_ADDRESS):
        for role in (CLIENT, SERVER):
            one = flow(
                9, local_address=address, port=18080, role=role, cgroup_id=met.cgroup_id, process_id=met.process_id
            )
            assert host.endpoint_of(one, late).id == met.endpoint.id
    assert host.claims.open() == claims


@dataclass(frozen=True, slots=True)
class Met:
    """A pod, as a host has met it."""

    host: Host
    endpoint: Endpoint
    cgroup_id: int
    process_id: int


def met_and_followed(machine: Machine) -> "tuple[Met, subprocess.Popen[str]]":
    """A pod that is gone, and another one in a namespace that has its number."""
    for _ in range(ATTEMPTS):
        host = host_of(machine)
        host.read(START_NS)
        first = machine.start(POD, WAIT, own_network=True)
        number = Path(f"/proc/{first.pid}/ns/net").stat().st_ino
        cgroup_id = id_of(machine, POD)
        one = flow(2, local_address=POD_ADDRESS, cgroup_id=cgroup_id, process_id=first.pid)
        met = Met(host, host.endpoint_of(one, START_NS), cgroup_id, first.pid)
        machine.end(first)
        wait_for(lambda: removed(machine.root / POD))
        if second := with_number(machine, number):
            return met, second
    raise AssertionError(f"the kernel gave none of {ATTEMPTS} numbers again, each within {FREED_WITHIN_SECONDS} s")


def id_of(machine: Machine, path: str) -> int:
    return (machine.root / path).stat().st_ino


def removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:
        return False
    return True


def with_number(machine: Machine, number: int) -> "subprocess.Popen[str] | None":
    """The kernel gives the lowest free number, and frees one a while after its last process: ask until then.

    Those that it gives below stay taken meanwhile.
    """
    below = []
    deadline = time.monotonic() + FREED_WITHIN_SECONDS
    try:
        while time.monotonic() < deadline:
            started = machine.start(OTHER_POD, WAIT, own_network=True, address="10.99.7.6")
            given = Path(f"/proc/{started.pid}/ns/net").stat().st_ino
            if given == number:
                return started
            if given < number:
                below.append(started)
            else:
                machine.end(started)
    finally:
        for one in below:
            machine.end(one)
    return None


OWN, FIRST = 21, 22


class Shown(Proc):
    """What /proc says in a pod, or not in one."""

    def __init__(self, own_cgroup: str, first: int) -> None:
        super().__init__()
        self._own_cgroup, self._first = own_cgroup, first

    def cgroup_path(self, pid: int | str) -> str:
        return self._own_cgroup

    def network_namespace(self, pid: int | str) -> int:
        return self._first if pid == "1" else OWN


@pytest.mark.parametrize(
    ("own_cgroup", "first", "network"),
    [
        ("/system.slice/plumbline-agent.service", FIRST, ("self", OWN)),
        (f"/{POD}", FIRST, ("1", FIRST)),
        (f"/{POD}", 0, ("self", 0)),
    ],
    ids=["on a host", "in a pod", "in a pod, the first process hidden"],
)
def test_the_hosts_network_is_not_that_of_our_own_pod(own_cgroup: str, first: int, network: tuple[str, int]) -> None:
    assert _network_of_host(Shown(own_cgroup, first), OWN) == network


def test_in_a_cgroup_namespace_of_our_own_others_have_their_paths_too(machine: Machine) -> None:
    """As in a container of a node with cgroup v2 alone, which has the node's hierarchy mounted."""
    other = machine.start("kubepods.slice/other", "import time; print('ready', flush=True); time.sleep(60)")
    assert MOUNT is not None
    look = (
        "import os, sys; from pathlib import Path; from agent.identity.process import Proc, cgroup_namespace\n"
        "mount, shown = Path(sys.argv[1]), Proc().cgroup_path(os.getpid())\n"
        "namespace = cgroup_namespace(mount, shown, os.getpid())\n"
        "print(shown, namespace, Proc(cgroup_namespace=namespace).cgroup_path(int(sys.argv[2])))\n"
    )
    own = machine.cgroup("kubepods.slice/own/inner")
    enter = f'echo $$ > {own}/cgroup.procs && exec unshare --cgroup "$@"'
    words = ["sh", "-c", enter, "sh", sys.executable, "-c", look, str(MOUNT), str(other.pid)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    below = f"/{machine.root.name}/kubepods.slice"
    assert said == ["/", f"{below}/own/inner", f"{below}/other"]


def test_without_one_nothing_changes(machine: Machine) -> None:
    assert MOUNT is not None
    assert cgroup_namespace(MOUNT, Proc().cgroup_path(os.getpid()) or "/", os.getpid()) == "/"


class Leaving(Proc):
    """The first process that is asked for its network has ended by then."""

    def __init__(self, machine: Machine, processes: "list[subprocess.Popen[str]]") -> None:
        super().__init__()
        self._machine, self._processes = machine, processes
        self.left: list[int] = []

    def network_table(self, pid: int | str, name: str) -> str:
        for process in self._processes:
            if process.pid == pid and not self.left:
                self.left.append(process.pid)
                self._machine.end(process)
        return super().network_table(pid, name)


@pytest.mark.parametrize("at_the_start", [True, False])
def test_one_that_ends_while_it_is_read_takes_no_address_from_its_namespace(
    machine: Machine, at_the_start: bool
) -> None:
    """A runtime begins a container beside one that runs: by processes that are in its pod for a moment."""
    sleep = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
    pod = POD.removesuffix(CONTAINER)
    first = machine.start(f"{pod}{'0' * 64}", sleep, own_network=True)
    others = [machine.start(f"{pod}{one * 64}", sleep, joins=first.pid) for one in "1f"]
    server = machine.start(POD, LISTEN, joins=first.pid)
    host = host_of(machine)
    if not at_the_start:
        host.read(START_NS)
    host.proc = leaving = Leaving(machine, [first, *others])
    if at_the_start:
        host.read(START_NS)
    else:
        cgroup_id = (machine.root / POD).stat().st_ino
        host.listener(ListenerSeen(cgroup_id, ANY_V4, 18080, 6, "python", server.pid, 1_500))
        host.refresh(2_000)
    assert leaving.left
    assert {claim.place.address for claim in claims_on(host, 18080)} == {LOOPBACK, POD_ADDRESS}
    assert all(claim.to_ns is None for claim in host.claims.take_changes())
