"""Requests by the million: real nginx servers in pods of two hosts, and clients in C that count what they do.

bulk = Bulk(cluster); rows = bulk.run(10_000_000)
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import Program
from tests.cluster.truth import Row

PORT, CLOSED_PORT = 8080, 8081
SECONDS = 900
_SERVERS = 8
_NGINX = """
daemon off; user root; worker_processes 1; pid @DIRECTORY@/nginx.pid; error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path @DIRECTORY@/b; proxy_temp_path @DIRECTORY@/p; fastcgi_temp_path @DIRECTORY@/f;
  uwsgi_temp_path @DIRECTORY@/u; scgi_temp_path @DIRECTORY@/s;
  server {
    listen [::]:8080 ipv6only=off;
    location / { return 200 "hello\\n"; }
    location /empty { return 204; }
    location /moved { return 301 /; }
    location /missing { return 404; }
    location /busy { return 503; }
    location /never { return 444; }
  }
}
"""
_MANY = "/ /items/17 /empty /items/18/lines /moved /missing /busy"
_FEW = 300


class Bulk:
    """Eight services, three clients: a unit of each host, and a pod."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._burst = cluster.directory / "burst"
        subprocess.run(["gcc", "-O2", "-o", self._burst, APPS / "burst.c"], check=True)
        self.servers = [self._server(number) for number in range(_SERVERS)]
        self.clients = [
            cluster.unit("alpha", "burst"),
            cluster.unit("beta", "burst"),
            cluster.pod("alpha", "burst-pod"),
        ]

    def run(self, requests: int) -> Iterator[tuple[str, Row]]:
        """About so many, a part by each client, all at once: (node id of the caller, row) of each kind of load."""
        share = requests // len(self.clients) // len(self.servers)
        running = [(client, *self._start(client, share)) for client in self.clients]
        for client, program, out in running:
            program.wait(SECONDS)
            for row in json.loads(out.read_text())["rows"]:
                yield client.node_id, row

    def _start(self, client: Workload, share: int) -> tuple[Program, Path]:
        plan = self._cluster.directory / f"{client.host}-{client.name}.plan"
        out = plan.with_suffix(".out")
        lines = [line for number, server in enumerate(self.servers) for line in _lines(server, number, share)]
        plan.write_text("\n".join(lines) + "\n")
        return client.start("burst", [self._burst, plan, out]), out

    def _server(self, number: int) -> Workload:
        pod = self._cluster.pod(("alpha", "beta")[number % 2], f"bulk-{number}")
        files = self._cluster.directory / f"bulk-{number}"
        files.mkdir()
        configuration = files / "nginx.conf"
        configuration.write_text(_NGINX.replace("@DIRECTORY@", str(files)))
        pod.start("nginx", ["nginx", "-e", "stderr", "-c", configuration], listens=[f"[::]:{PORT}"])
        return pod


def _lines(server: Workload, number: int, share: int) -> Iterator[str]:
    """Most over connections that stay, by eight in a write; some one by one; and what goes wrong."""
    for address in (server.ipv4, server.ipv6):
        half = share // 2
        single, fresh = half // 10, min(half // 20, 3_000)
        way = f"{address} {PORT}"
        yield f"{way} 8 {half - single - fresh} 0 8 bulk-{number} {_MANY}"
        yield f"{way} 8 {single} 1000 1 bulk-{number} {_MANY}"
        yield f"{way} 4 {fresh} 1 1 bulk-{number} {_MANY}"
        yield f"{way} 2 {_FEW} 1 1 bulk-{number} /never"
        yield f"{address} {CLOSED_PORT} 2 {_FEW} 1 1 bulk-{number} /"
