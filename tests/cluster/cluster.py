"""The cluster as one object: hosts, pods, host services, the internet; it comes up whole and leaves nothing.

    with Cluster() as cluster:
        cart = cluster.pod("alpha", "cart")
        cart.start("server", [PYTHON, SERVER, "--listen", "[::]:8080"], listens=["[::]:8080"])

Counting belongs to truth.py, the programs to apps/, the product that watches to product.py.
"""

import ipaddress
import json
import secrets
import signal
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.cluster import leftovers, network, processes
from tests.cluster.impaired import ImpairedWire
from tests.cluster.leftovers import NoCluster as NoCluster
from tests.cluster.processes import Place, Program

APPS = Path(__file__).parent / "apps"
INTERNET = "internet"
_POD_CGROUP = (
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{container}.scope"
)


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
    programs: list[Program] = field(default_factory=list)
    # (address, port) as it was bound; an unspecified address is every address of the place.
    listens: list[tuple[str, int]] = field(default_factory=list)

    def start(
        self,
        program: str,
        command: Sequence[object],
        listens: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Starts a program; returns when it listens on every ADDRESS:PORT. Raises ProgramFailed."""
        started = processes.start(self.place, f"{self.host}-{self.name}-{program}", command, environment)
        self.programs.append(started)
        for address, port in map(network.split, listens):
            self._await_port(started, port)
            self.listens.append((address, port))
        return started

    def run(self, program: str, command: Sequence[object], timeout_seconds: float = 120) -> str:
        """Runs a program to its end and returns its output. Raises ProgramFailed."""
        started = self.start(program, command)
        started.wait(timeout_seconds)
        return started.output.read_text(errors="replace")

    def serves(self, address: str, port: int) -> bool:
        return any(bound in (address, "::", "0.0.0.0") and port == listened for bound, listened in self.listens)

    def _await_port(self, program: Program, port: int) -> None:
        def ready() -> bool:
            if not program.running:
                raise processes.ProgramFailed(f"{program.name} ended\n{program.tail()}")
            return processes.listens(self.place, program.pid, port)

        processes.wait_until(ready, f"{program.name} listens on {port}")


class Cluster:
    """A context manager; hosts are named when it is made, workloads are added while it is up.

    The uplinks of the hosts named in `impaired` are bad wires, in `wires`: perfect until they are told otherwise."""

    def __init__(self, hosts: Sequence[str] = ("alpha", "beta"), impaired: Sequence[str] = ()) -> None:
        self.id = leftovers.identity_of_this_process(secrets.token_hex(3))
        self.host_names = tuple(hosts)
        self.wires: dict[str, ImpairedWire] = {}
        self._impaired = impaired
        self.hosts: dict[str, network.HostNetwork] = {}
        self.workloads: list[Workload] = []
        self._zone: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Cluster":
        mount = leftovers.cgroup_mount()
        leftovers.sweep()
        self.cgroup = mount / self.id
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.id}-"))
        self._signals = leftovers.ended_by_signals()
        self._signals.__enter__()
        try:
            self._up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with leftovers.undisturbed():
            # First those that are known: one that has just been started may not be in its cgroup yet.
            for program in (program for workload in self.workloads for program in workload.programs):
                program.kill()
            for wire in self.wires.values():
                wire.close()
            leftovers.remove(self.id)
        self._signals.__exit__(None, None, None)

    def cgroup_root(self, host: str) -> Path:
        """What the agent of that host gets as --cgroup-root."""
        return self.cgroup / host

    def pod(self, host: str, name: str, pod_uid: str = "") -> Workload:
        """A network namespace with its own addresses, and a cgroup as the kubelet names it."""
        uid, container = pod_uid or str(uuid.uuid4()), secrets.token_hex(32)
        number = sum(known.kind == "pod" and known.host == host for known in self.workloads)
        net = network.add_pod(f"{self.id}-{host}-{name}", self.hosts[host], number)
        cgroup = self.cgroup / host / _POD_CGROUP.format(uid=uid.replace("-", "_"), container=container)
        place = self._place(cgroup, net.namespace)
        return self._keep(Workload(name, host, f"{host}/pod-{uid}", "pod", net.ipv4, net.ipv6, place))

    def unit(self, host: str, name: str) -> Workload:
        """A service of the host itself: system.slice/NAME.service in the host's own namespace."""
        net = self.hosts[host]
        place = self._place(self.cgroup / host / "system.slice" / f"{name}.service", net.namespace)
        return self._keep(Workload(name, host, f"{host}/{name}", "unit", net.ipv4, net.ipv6, place))

    def session(self, host: str, command: str) -> Workload:
        """Where a person on the host starts programs: they have no unit, so the graph names them by their command."""
        net = self.hosts[host]
        place = self._place(self.cgroup / host / "user.slice" / f"session-{command}.scope", net.namespace)
        return self._keep(Workload(command, host, f"{host}/{command}", "process", net.ipv4, net.ipv6, place))

    def within(self, host: str, path: str, node_id: str, kind: str) -> Workload:
        """Where a program of the host runs in a cgroup of any form, in the host's own namespace."""
        net, name = self.hosts[host], f"within-{len(self.workloads)}"
        place = self._place(self.cgroup / host / path, net.namespace)
        return self._keep(Workload(name, host, node_id, kind, net.ipv4, net.ipv6, place))

    def outsider(self, name: str, addresses: Sequence[str]) -> Workload:
        """A server or client on the internet: its first IPv4 and its first IPv6 address are the workload's own."""
        network.add_public_addresses(self._internet, addresses)
        place = self._place(self.cgroup / INTERNET / name, self._internet)
        ipv4 = next((one for one in addresses if not network.is_ipv6(one)), "")
        ipv6 = next((one for one in addresses if network.is_ipv6(one)), "")
        return self._keep(Workload(name, INTERNET, name, "third_party", ipv4, ipv6, place))

    def publish(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds names to the resolver's zone (the form is in apps/resolver.py)."""
        self._zone.update({name: dict(records) for name, records in names.items()})
        self._write_zone()
        self.resolver.programs[0].tell(signal.SIGHUP)

    def node_at(self, address: str, port: int, caller_host: str = "") -> str:
        """The node id that owns an address and port, as a caller on that host means it; "" when nobody inside does."""
        if ipaddress.ip_address(address).is_loopback:
            return self._listener(caller_host, address, port) or caller_host
        for workload in self.workloads:
            if workload.kind == "pod" and address in (workload.ipv4, workload.ipv6):
                return workload.node_id
        for name, host in self.hosts.items():
            if address in (host.ipv4, host.ipv6, host.bridge_ipv4, host.bridge_ipv6):
                return self._listener(name, address, port) or name
        return ""

    def _listener(self, host: str, address: str, port: int) -> str:
        local = [one for one in self.workloads if one.host == host and one.kind in ("unit", "process")]
        return next((one.node_id for one in local if one.serves(address, port)), "")

    def _up(self) -> None:
        (self.directory / "logs").mkdir()
        (self.directory / "resolv.conf").write_text(
            f"nameserver {network.RESOLVER_IPV4}\noptions timeout:1 attempts:2\n"
        )
        self._internet = f"{self.id}-{INTERNET}"
        network.add_internet(self._internet)
        for number, name in enumerate(self.host_names, start=1):
            wire = self._bad_wire(name) if name in self._impaired else network.perfect_wire
            self.hosts[name] = network.add_host(f"{self.id}-{name}", self._internet, number, wire)
            (self.cgroup / name).mkdir(parents=True)
        hosts = list(self.hosts.values())
        for index, host in enumerate(hosts):
            for other in hosts[index + 1 :]:
                network.connect_hosts(host, other)
        self._start_resolver()

    def _bad_wire(self, host: str) -> network.Wiring:
        self.wires[host] = wire = ImpairedWire(self.cgroup / "wires" / host, self.directory)
        return wire.join

    def _start_resolver(self) -> None:
        self.resolver = self.outsider("resolver", [network.RESOLVER_IPV4, network.RESOLVER_IPV6])
        self.resolver_counts = self.directory / "resolver.json"
        self._write_zone()
        addresses = [network.RESOLVER_IPV4, network.RESOLVER_IPV6]
        files = ["--zone", self._zone_file, "--counts", self.resolver_counts]
        command = [processes.PYTHON, APPS / "resolver.py", *files, *addresses]
        self.resolver.start("dns", command, listens=[f"{addresses[0]}:53", f"[{addresses[1]}]:53"])

    @property
    def _zone_file(self) -> Path:
        return self.directory / "zone.json"

    def _write_zone(self) -> None:
        fresh = self.directory / "zone.json.new"
        fresh.write_text(json.dumps(self._zone))
        fresh.replace(self._zone_file)

    def _place(self, cgroup: Path, namespace: str) -> Place:
        cgroup.mkdir(parents=True)
        return Place(cgroup, network.NAMESPACES / namespace, self.directory / "resolv.conf", self.directory / "logs")

    def _keep(self, workload: Workload) -> Workload:
        self.workloads.append(workload)
        return workload
