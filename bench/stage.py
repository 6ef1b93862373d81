"""Hosts of the miniature cluster with real nginx and wrk, and agents that come and go, for the measurements.

Everything is taken down by the cluster, whatever happens.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import answered
from tests.cluster.cluster import Cluster, Workload
from tests.cluster.processes import Program
from tests.cluster.product import Product

CLIENT_HOST, SERVER_HOST = "alpha", "beta"
# The same once more, for what is not watched: so both can be measured in turn within seconds.
PLAIN_HOSTS = ("gamma", "delta")
PORT, TLS_PORT, REDIS_PORT = 8080, 8443, 6379
CONNECTIONS: Final = 16
_NGINX = """
daemon off; user root; worker_processes 1; pid @DIRECTORY@/bench-nginx.pid; error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path @DIRECTORY@/b; proxy_temp_path @DIRECTORY@/p; fastcgi_temp_path @DIRECTORY@/f;
  uwsgi_temp_path @DIRECTORY@/u; scgi_temp_path @DIRECTORY@/s;
  server {
    listen 0.0.0.0:8080;
    location / { return 200 "hello\\n"; }
    location /varied { add_header X-Request $request_id; return 200 "hello\\n"; }
  }
  server { listen unix:@DIRECTORY@/status; location / { stub_status; } }
  server {
    listen 0.0.0.0:8443 ssl; ssl_certificate @DIRECTORY@/certificate.pem; ssl_certificate_key @DIRECTORY@/key.pem;
    location / { return 200 "hello\n"; }
  }
}
"""
_PROGRAMS = {
    "wrk": "wrk",
    "nginx": "nginx-light",
    "bpftool": "bpftool",
    "openssl": "openssl",
    "gcc": "gcc",
}
_PROGRAMS |= {"redis-server": "redis-server", "redis-benchmark": "redis-tools"}
_CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench.example".split()
_REDIS = ["redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"]
# What wrk is told: a request of each connection every `delay` milliseconds; no request like another.
_PACED = "function delay() return tonumber(os.getenv('DELAY_MS')) end\n"
_VARIED = """
local number = 0
function request()
  number = number + 1
  return "GET /varied HTTP/1.1\\r\\nHost: bench.example\\r\\nX-Number: " .. number .. "\\r\\n\\r\\n"
end
"""


class Missing(RuntimeError):
    """A program that a measurement needs is not there; the message has the remedy."""


@dataclass(frozen=True, slots=True)
class Result:
    """What wrk says of itself."""

    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Pair:
    """nginx is a unit of one host, wrk one of the other; both share this machine's cores."""

    def __init__(self, cluster: Cluster, client_host: str, server_host: str) -> None:
        self.server = cluster.unit(server_host, "nginx")
        self.client = cluster.unit(client_host, "wrk")
        files = cluster.directory / f"nginx-{server_host}"
        files.mkdir()
        configuration = files / "nginx.conf"
        configuration.write_text(_NGINX.replace("@DIRECTORY@", str(files)))
        subprocess.run(
            [*_CERTIFICATE, "-keyout", files / "key.pem", "-out", files / "certificate.pem"],
            capture_output=True,
            check=True,
        )
        listens = [f"{self.server.ipv4}:{PORT}", f"{self.server.ipv4}:{TLS_PORT}"]
        self.server.start("nginx", ["nginx", "-e", "stderr", "-c", configuration], listens=listens)
        self._files = files
        (files / "paced.lua").write_text(_PACED)
        (files / "varied.lua").write_text(_VARIED)
        self._runs = 0
        self.served = answered.Nginx(files / "status")

    def wrk(self, seconds: int, delay_ms: int = 0, encrypted: bool = False, varied: bool = False) -> Result:
        """As fast as it goes, or paced. Returns when it has ended."""
        program = self.start_wrk(seconds, delay_ms, encrypted, varied)
        program.wait(seconds + 30)
        return result_of(program)

    def start_wrk(self, seconds: int, delay_ms: int = 0, encrypted: bool = False, varied: bool = False) -> Program:
        """Varied: no message is like the one before, neither requests nor answers."""
        self._runs += 1
        scripts = ["paced.lua"] * bool(delay_ms) + ["varied.lua"] * varied
        script = [word for one in scripts for word in ("-s", str(self._files / one))]
        url = f"https://{self.server.ipv4}:{TLS_PORT}/" if encrypted else f"http://{self.server.ipv4}:{PORT}/"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *script, url]
        environment = {"DELAY_MS": str(delay_ms)}
        return self.client.start(f"wrk-{self._runs}", command, environment=environment)

    def start_redis(self) -> None:
        command = [*_REDIS, "--bind", self.server.ipv4, "--port", REDIS_PORT, "--dir", self._files]
        command += ["--unixsocket", self._files / "redis"]
        self.server.start("redis", command, listens=[f"{self.server.ipv4}:{REDIS_PORT}"])
        self.commands = answered.Redis(self._files / "redis")

    def start_asking(self, program: str, command: Sequence[object]) -> Program:
        self._runs += 1
        return self.client.start(f"{program}-{self._runs}", command)

    def ask(self, program: str, command: Sequence[object]) -> str:
        """What a client's program says, run to its end."""
        self._runs += 1
        return self.client.run(f"{program}-{self._runs}", command)

    def cpu_seconds(self) -> float:
        """Of servers and clients together, by now."""
        stats = [(workload.place.cgroup / "cpu.stat").read_text() for workload in (self.client, self.server)]
        return sum(int(text.split()[1]) for text in stats) / 1e6


def result_of(program: Program) -> Result:
    text = program.output.read_text()
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", text)
    if found is None:
        raise RuntimeError(f"wrk said nothing of its requests:\n{text}")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return Result(int(found[1]), float(found[2]) * unit)


@contextmanager
def stage() -> Iterator[tuple[Cluster, Product]]:
    """A cluster of four hosts; the aggregator runs, no agent does yet. Raises Missing."""
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise Missing(f"{program} is not there: apt-get install {package}")
    with Cluster((CLIENT_HOST, SERVER_HOST, *PLAIN_HOSTS)) as cluster:
        product = Product(cluster)
        product.start_aggregator()
        try:
            product.await_ready()
            yield cluster, product
        finally:
            product.__exit__(None, None, None)


@contextmanager
def agents(product: Product, *hosts: str) -> Iterator[None]:
    """Agents of these hosts, for as long as this is open."""
    try:
        for host in hosts:
            product.start_agent(host)
        product.await_ready()
        yield
    finally:
        for host in hosts:
            if host in product.agents:
                product.agents.pop(host).end(timeout_seconds=15)


def edge_of(product: Product, workload: Workload, port: int) -> dict[str, Any]:
    """The edge to that port, of the last hour."""
    edges = [edge for edge in product.graph()["edges"] if edge["target"] == workload.node_id and edge["port"] == port]
    return max(edges, key=lambda edge: int(edge["requests"])) if edges else {}


@contextmanager
def run_statistics() -> Iterator[None]:
    """The kernel's statistics of BPF programs, as they were set before at the end. They cost some time themselves."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text(before)


def bpftool(*words: str) -> Any:
    done = subprocess.run(["bpftool", *words, "-j"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
