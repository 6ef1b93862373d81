"""The cluster as one object: hosts, pods, host services, the internet; it comes up whole and leaves nothing.

    with Cluster() as cluster:
        cart = cluster.pod("alpha", "cart")
        cart.start("server", [PYTHON, SERVER, "--port", "8080"], port=8080)

Counting belongs to truth.py, the programs to apps/, the product that watches to product.py.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from tests.cluster import network, processes
from tests.cluster.processes import Place, Program

PREFIX = "plumbline-"
APPS = Path(__file__).parent / "apps"
_POD_CGROUP = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{container}.scope"


class NoCluster(RuntimeError):
    """This machine cannot hold a cluster; the message says why."""


@dataclass(slots=True)
class Workload:
    """A pod or a host service: a place to run programs in, with addresses and the id that the graph must give it."""

    name: str
    host: str
    node_id: str
    kind: str
    ipv4: str
    ipv6: str
    place: Place
    pod_uid: str = ""
    programs: list[Program] = field(default_factory=list)

    def start(
        self,
        program: str,
        command: Sequence[str | Path],
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Starts a program; with a port, returns when that port listens. Raises ProgramFailed."""
        started = processes.start(self.place, f"{self.host}-{self.name}-{program}", command, environment)
        self.programs.append(started)
        if port is not None:
            self._await_port(started, port)
        return started

    def run(self, program: str, command: Sequence[str | Path], timeout_seconds: float = 120) -> str:
        """Runs a program to its end and returns its output. Raises ProgramFailed."""
        started = self.start(program, command)
        started.wait(timeout_seconds)
        return started.output.read_text(errors="replace")

    def _await_port(self, program: Program, port: int) -> None:
        def ready() -> bool:
            if not program.running:
                raise processes.ProgramFailed(f"{program.name} ended\n{program.tail()}")
            return processes.listens(self.place, program.pid, port)

        processes.wait_until(ready, f"{program.name} listens on {port}")


class Cluster:
    """A context manager; hosts are named when it is made, workloads are added while it is up."""

    def __init__(self, hosts: Sequence[str] = ("alpha", "beta")) -> None:
        self.id = f"{PREFIX}{os.getpid()}-{_start_ticks(os.getpid())}-{secrets.token_hex(3)}"
        self.host_names = tuple(hosts)
        self.hosts: dict[str, network.HostNetwork] = {}
        self.workloads: dict[str, Workload] = {}
        self._pods_on: dict[str, int] = {}
        self._zone: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Cluster":
        mount = cgroup_mount()
        if os.geteuid():
            raise NoCluster("the miniature cluster needs root: it makes network namespaces and cgroups")
        sweep()
        self.cgroup = mount / self.id
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.id}-"))
        self._signals = _ended_by_signals()
        self._signals.__enter__()
        try:
            self._up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _undisturbed():
            remove(self.id)
        self._signals.__exit__(None, None, None)

    def cgroup_root(self, host: str) -> Path:
        """What the agent of that host gets as --cgroup-root."""
        return self.cgroup / host

    def pod(self, host: str, name: str, pod_uid: str = "") -> Workload:
        """A network namespace with its own addresses, and a cgroup as the kubelet names it."""
        uid, container = pod_uid or str(uuid.uuid4()), secrets.token_hex(32)
        net = network.add_pod(f"{self.id}-{host}-{name}", self.hosts[host], self._next_pod(host))
        cgroup = self.cgroup / host / _POD_CGROUP.format(uid=uid.replace("-", "_"), container=container)
        place = self._place(cgroup, net.namespace)
        return self._keep(Workload(name, host, f"{host}/pod-{uid}", "pod", net.ipv4, net.ipv6, place, uid))

    def unit(self, host: str, name: str) -> Workload:
        """A service of the host itself: system.slice/NAME.service in the host's own namespace."""
        net = self.hosts[host]
        place = self._place(self.cgroup / host / "system.slice" / f"{name}.service", net.namespace)
        return self._keep(Workload(name, host, f"{host}/{name}", "unit", net.ipv4, net.ipv6, place))

    def outsider(self, name: str, addresses: Sequence[str]) -> Workload:
        """A server on the internet: the first IPv4 and the first IPv6 address are the workload's own."""
        network.add_public_addresses(self._internet, addresses)
        place = self._place(self.cgroup / "internet" / name, self._internet)
        ipv4 = next((one for one in addresses if not network.is_ipv6(one)), "")
        ipv6 = next((one for one in addresses if network.is_ipv6(one)), "")
        return self._keep(Workload(name, "internet", name, "third_party", ipv4, ipv6, place))

    def publish(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds names to the resolver's zone (the form is in apps/resolver.py); they hold at once."""
        self._zone.update({name: dict(records) for name, records in names.items()})
        self._write_zone()
        self.resolver.programs[0].tell(signal.SIGHUP)

    def ask_for_counts(self, workload: Workload, program: Program, counts: Path) -> Any:
        """What a server of apps/ has counted by now."""
        del workload
        counts.unlink(missing_ok=True)
        program.tell(signal.SIGUSR1)
        processes.wait_until(counts.exists, f"{program.name} has written its counts")
        return json.loads(counts.read_text())

    def _up(self) -> None:
        (self.directory / "logs").mkdir()
        (self.directory / "resolv.conf").write_text(f"nameserver {network.RESOLVER_IPV4}\noptions timeout:1 attempts:2\n")
        self._internet = f"{self.id}-internet"
        network.add_internet(self._internet)
        for number, name in enumerate(self.host_names, start=1):
            self.hosts[name] = network.add_host(f"{self.id}-{name}", self._internet, number)
            (self.cgroup / name).mkdir(parents=True)
        hosts = list(self.hosts.values())
        for index, host in enumerate(hosts):
            for other in hosts[index + 1 :]:
                network.connect_hosts(host, other)
        self._start_resolver()

    def _start_resolver(self) -> None:
        self.resolver = self.outsider("resolver", [network.RESOLVER_IPV4, network.RESOLVER_IPV6])
        self.resolver_counts = self.directory / "resolver.json"
        self._write_zone()
        command = [processes.PYTHON, APPS / "resolver.py", "--zone", self._zone_file, "--counts", self.resolver_counts]
        self.resolver.start("dns", [*command, network.RESOLVER_IPV4, network.RESOLVER_IPV6], port=53)

    @property
    def _zone_file(self) -> Path:
        return self.directory / "zone.json"

    def _write_zone(self) -> None:
        fresh = self.directory / "zone.json.new"
        fresh.write_text(json.dumps(self._zone))
        fresh.replace(self._zone_file)

    def _next_pod(self, host: str) -> int:
        number = self._pods_on.get(host, 0)
        self._pods_on[host] = number + 1
        return number

    def _place(self, cgroup: Path, namespace: str) -> Place:
        cgroup.mkdir(parents=True)
        return Place(cgroup, network.NAMESPACES / namespace, self.directory / "resolv.conf", self.directory / "logs")

    def _keep(self, workload: Workload) -> Workload:
        self.workloads[workload.node_id] = workload
        return workload


def cgroup_mount() -> Path:
    """Where cgroup v2 is mounted. Raises NoCluster."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise NoCluster("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


def remove(identity: str) -> None:
    """Ends what runs in a cluster and removes its cgroups, namespaces and files; what is gone already is no error."""
    root = cgroup_mount() / identity
    if root.is_dir():
        (root / "cgroup.kill").write_text("1")
        processes.wait_until(lambda: _is_empty(root), f"the processes of {identity} ended")
        for directory, _, _ in os.walk(root, topdown=False):
            os.rmdir(directory)
    network.remove_namespaces(identity)
    for directory in Path(tempfile.gettempdir()).glob(f"{identity}-*"):
        shutil.rmtree(directory, ignore_errors=True)


def sweep() -> list[str]:
    """Removes the clusters whose makers are dead; returns their ids."""
    places = (cgroup_mount(), network.NAMESPACES, Path(tempfile.gettempdir()))
    found = {_identity(path.name) for place in places if place.is_dir() for path in place.glob(f"{PREFIX}*-*-*")}
    dead = sorted(identity for identity in found if identity and not _maker_lives(identity))
    for identity in dead:
        remove(identity)
    return dead


def _is_empty(cgroup: Path) -> bool:
    return "populated 0" in (cgroup / "cgroup.events").read_text()


def _identity(name: str) -> str:
    words = name.removeprefix(PREFIX).split("-")
    return f"{PREFIX}{'-'.join(words[:3])}" if words[0].isdigit() and words[1].isdigit() else ""


def _maker_lives(identity: str) -> bool:
    pid, ticks, _ = identity.removeprefix(PREFIX).split("-")
    return _start_ticks(int(pid)) == int(ticks)


def _start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none. With the pid it names one process."""
    try:
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    state_and_later_begin_at_field = 3
    return int(after_command[22 - state_and_later_begin_at_field])


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as an exception, so that the cluster is taken down on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Holds back the signals that would interrupt taking the cluster down."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
