"""The lab as one object: it comes up whole, with images in every node, and leaves nothing.

    with Lab(nodes=2, images=[...]) as lab:
        lab.kubectl("get", "nodes")

Its id is that of a miniature cluster, so that whoever sweeps up after dead tests finds it too.
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import leftovers
from tests.kubernetes.lab import files, network
from tests.kubernetes.lab.build import build_missing, program
from tests.kubernetes.lab.images import COREDNS, PAUSE, pack
from tests.kubernetes.lab.keys import Keys

_HERE = Path(__file__).parent
_START_SECONDS = 120.0
_NODE_PLACES = (
    *("/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods", "/var/lib/cni", "/etc/cni/net.d"),
    *("/run/containerd", "/run/plumbline"),
)


class LabFailed(RuntimeError):
    """The message has the end of the log of what failed."""


class Lab:
    """A context manager. `proxy` is kube-proxy's mode: nftables or iptables. Raises LabFailed, CannotBuild."""

    def __init__(self, nodes: int = 2, images: Sequence[Path] = (), proxy: str = "nftables") -> None:
        self.id = leftovers.identity_of_this_process(secrets.token_hex(3))
        self._nodes = range(1, nodes + 1)
        self._images, self._proxy = images, proxy
        self._started: list[subprocess.Popen[bytes]] = []
        # Directories that a node's own ones are mounted over; those that were not there before go with us.
        self._made = [place for place in _NODE_PLACES if not Path(place).exists()]

    def __enter__(self) -> Self:
        build_missing()
        leftovers.sweep()
        self._signals = leftovers.ended_by_signals()
        self._signals.__enter__()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.id}-"))
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
            for one in self._started:
                one.kill()
                one.wait()
            leftovers.remove(self.id)
            for place in self._made:
                if Path(place).is_dir() and not any(Path(place).iterdir()):
                    Path(place).rmdir()
        self._signals.__exit__(None, None, None)

    @property
    def kubeconfig(self) -> str:
        return str(self.directory / "keys" / "admin.conf")

    def within(self, *command: str) -> list[str]:
        """The command as one that runs where the API server, pods and Services answer."""
        return network.within(self._control, *command)

    def kubectl(self, *arguments: str, text: str = "", check: bool = True) -> str:
        command = self.within(str(program("kubernetes")), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
        if check and done.returncode:
            raise LabFailed(f"kubectl {' '.join(arguments)}: {done.stderr[-3000:]}")
        return done.stdout

    def on_node(self, number: int, *command: str) -> str:
        """Runs a command in the namespaces of a node."""
        shell = (self.directory / f"n{number}" / "shell").read_text().strip()
        done = subprocess.run(
            ["nsenter", "-t", shell, "-m", "-n", "-u", "-C", *command], capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def use_proxy(self, mode: str) -> None:
        """Another mode of kube-proxy on all nodes. It removes what the one before it made of rules."""
        if mode == self._proxy:
            return
        self._proxy = mode
        for number in self._nodes:
            self._state_proxy(number)
            unit = leftovers.cgroup_mount() / self.id / f"n{number}" / "system.slice" / "kube-proxy.service"
            for pid in (unit / "cgroup.procs").read_text().split():
                if Path(f"/proc/{pid}/exe").resolve() == program("kubernetes").resolve():
                    os.kill(int(pid), signal.SIGTERM)
        time.sleep(1)
        self._await("kube-proxy is ready on all nodes", lambda: all(map(self._proxy_is_ready, self._nodes)))

    def _proxy_is_ready(self, number: int) -> bool:
        ask = f"import urllib.request as r; r.urlopen('http://{network.node_address(number)}:10256/healthz', timeout=2)"
        return not subprocess.run(self.within(sys.executable, "-c", ask), capture_output=True).returncode

    def _state_proxy(self, number: int) -> None:
        (self.directory / f"n{number}" / "proxy-mode").write_text(self._proxy)

    def give_next(self, node: str, address: str) -> None:
        """The next pod of a node has that address, when nobody has it any more: ranges are gone through in order."""
        given = self.directory / node / "own" / "var/lib/cni/networks/lab"
        self._await(f"{address} is free", lambda: not (given / address).exists())
        (given / "last_reserved_ip.0").write_text(str(ip_address(address) - 1))

    def logs(self, name: str, lines: int = 15) -> str:
        return "\n".join((self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    @property
    def _control(self) -> str:
        return f"{self.id}-control"

    def _up(self) -> None:
        self._place_images()
        keys = Keys(self.directory / "keys", f"https://{network.CONTROL}:6443")
        network.build(self._control, {number: f"{self.id}-n{number}" for number in self._nodes})
        self._start_control_plane(keys)
        for number in self._nodes:
            self._start_node(number, keys)
        self._await("all nodes are ready", self._nodes_are_ready)
        self.kubectl("apply", "--filename", str(_HERE / "coredns.yaml"))

    def _place_images(self) -> None:
        place = self.directory / "images"
        place.mkdir()
        pack(PAUSE, place / "pause.tar", "/pause", program("pause"))
        pack(COREDNS, place / "coredns.tar", "/coredns", program("coredns"))
        for image in self._images:
            (place / image.name).symlink_to(image)

    def _start_control_plane(self, keys: Keys) -> None:
        kubernetes = str(program("kubernetes"))
        keys.kubeconfig("admin", "/O=system:masters/CN=admin")
        self._start("etcd", str(program("etcd")), *files.etcd(self.directory / "etcd"))
        self._start("kube-apiserver", kubernetes, "kube-apiserver", *files.api_server(keys))
        ready = ["get", "--raw", "/readyz"]
        self._await("the API server is ready", lambda: self.kubectl(*ready, check=False) == "ok")
        for name, flags in files.controllers(keys).items():
            self._start(name, kubernetes, name, *flags)

    def _start(self, name: str, *command: str) -> None:
        cgroup = leftovers.cgroup_mount() / self.id / "control"
        cgroup.mkdir(parents=True, exist_ok=True)
        self._spawn(name, [cgroup], self.within(*command), {})

    def _start_node(self, number: int, keys: Keys) -> None:
        directory = self.directory / f"n{number}"
        environment = files.write_node(directory, number, keys)
        places = [root / self.id / f"n{number}" for root in leftovers.hierarchies()]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            _share_processors(place)
        own = ["unshare", "--cgroup", "--mount", "--uts", "--propagation", "private", "bash"]
        self._state_proxy(number)
        environment |= {"KUBERNETES": str(program("kubernetes")), "PODS": network.PODS}
        script = [str(_HERE / "node.sh"), f"n{number}", str(directory)]
        self._spawn(f"n{number}", places, network.within(f"{self.id}-n{number}", *own, *script), environment)

    def _spawn(self, name: str, cgroups: Sequence[Path], command: Sequence[str], environment: dict[str, str]) -> None:
        """Enters its cgroups before anything else."""
        enter = 'until [ "$1" = -- ]; do echo $$ > "$1/cgroup.procs" || exit 97; shift; done; shift; exec "$@"'
        words = ["sh", "-c", enter, "sh", *map(str, cgroups), "--", *command]
        with (self.directory / f"{name}.log").open("wb") as log:
            started = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._started.append(started)

    def _nodes_are_ready(self) -> bool:
        states = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status} {end}"
        found = self.kubectl("get", "nodes", f"--output=jsonpath={states}", check=False).split()
        return len(found) == len(self._nodes) and set(found) == {"True"}

    def _await(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _START_SECONDS
        while not holds():
            dead = [one for one in self._started if one.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "".join(f"--- {one.name}\n{self.logs(one.stem)}\n" for one in self.directory.glob("*.log"))
                raise LabFailed(f"not {what}: {len(dead)} programs ended\n{logs}")
            time.sleep(0.2)


def _share_processors(cgroup: Path) -> None:
    """In version 1 a new one has no processor and no memory until it is told."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (cgroup / name).exists():
            for below in (cgroup.parent, cgroup):
                (below / name).write_text((below.parent / name).read_text())
