"""The estate under load: services of real servers on two hosts and the internet, and who calls what.

estate = Estate(cluster)
truth = estate.load(share=0.1)
"""

import json
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.cluster import network, traffic
from tests.cluster.cluster import APPS, INTERNET, Cluster, Workload
from tests.cluster.processes import PYTHON, Program
from tests.cluster.traffic import AAAA, A, Job
from tests.cluster.truth import Row, Truth

PAYMENTS_API, FILES, FILES_ALIAS = "api.payments.example", "files.partner.example", "edge7.cdn.example"
FILES_IPV4, NAMELESS_IPV4 = "203.0.113.90", "198.51.100.30"
LOAD_SECONDS = 240
_CURL_FORM = "%{http_code} %{num_connects} %{size_request} %{size_header} %{size_download}\\n"


class Server:
    """A program that counts what it serves: apps/server.py or apps/relay.js."""

    def __init__(self, workload: Workload, program: Program, counts_file: Path, number: signal.Signals) -> None:
        self.workload, self._program, self._file, self._number = workload, program, counts_file, number

    def counts(self) -> Any:
        return self._program.counts(self._file, self._number)


class Estate:
    """Everything runs when it is made."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.servers: dict[str, Server] = {}
        self._rows: list[tuple[str, Row]] = []
        self._named: dict[tuple[str, str], str] = {}
        self._make_inside()
        self._make_outside()

    def load(self, share: float = 1.0) -> Truth:
        """Runs every client to its end; returns what clients and servers have counted since the estate was made."""
        running = [(workload, self._start_load(workload, jobs, share)) for workload, jobs in self._jobs()]
        running_curls = [(workload, self._start_curl(workload, share)) for workload in (self.batch, self.shell)]
        for workload, (program, out) in running:
            program.wait(LOAD_SECONDS)
            self._rows += [(workload.node_id, row) for row in json.loads(out.read_text())["rows"]]
        for workload, program in running_curls:
            program.wait(LOAD_SECONDS)
            self._rows.append((workload.node_id, _curl_row(program.output, self.payments_api.ipv4)))
        return self.truth()

    def call(self, workload: Workload, *jobs: Job) -> None:
        """Runs jobs of the caller's own; the truth has them from then on."""
        program, out = self._start_load(workload, jobs, 1)
        program.wait(LOAD_SECONDS)
        self._rows += [(workload.node_id, row) for row in json.loads(out.read_text())["rows"]]

    def note(self, rows: Iterable[tuple[str, Row]]) -> None:
        """What others have done beside it: (node id of who called, row)."""
        self._rows += rows

    def truth(self) -> Truth:
        truth = Truth(self._target_of)
        truth.listeners = {one.node_id for one in self.cluster.workloads if one.listens and one.host != INTERNET}
        for source, row in [*self._rows, *self._relayed(), *self._proxied(), *self._looked_up()]:
            truth.add(source, row)
        truth.settle()
        return truth

    def serve(self, workload: Workload, *listen: str) -> Server:
        file = self.cluster.directory / f"{workload.host}-{workload.name}.counts"
        flags = [word for one in listen for word in ("--listen", one)]
        command = [PYTHON, APPS / "server.py", *flags, "--counts", file]
        program = workload.start("server", command, listens=listen)
        self.servers[workload.name] = Server(workload, program, file, signal.SIGUSR1)
        return self.servers[workload.name]

    def _make_inside(self) -> None:
        cluster = self.cluster
        self.cart, self.web, self.checkout = (cluster.pod("alpha", name) for name in ("cart", "web", "checkout"))
        self.orders, self.relay, self.idle = (cluster.pod("beta", name) for name in ("orders", "relay", "idle"))
        self.frontend, self.batch = cluster.unit("alpha", "frontend"), cluster.unit("alpha", "batch")
        self.payments, self.ledger = cluster.unit("beta", "payments"), cluster.unit("beta", "ledger")
        self.shell = cluster.session("beta", "curl")
        for pod in (self.cart, self.orders, self.idle):
            self.serve(pod, "[::]:8080")
        self.serve(self.frontend, "[::]:8000")
        # One port, two services: they are told apart by the address.
        self.serve(self.payments, f"{self.payments.ipv4}:9090", f"[{self.payments.ipv6}]:9090")
        self.serve(self.ledger, "127.0.0.1:9090", "[::1]:9090")
        self._start_nginx()
        self._start_relay()

    def _make_outside(self) -> None:
        cluster = self.cluster
        self.payments_api = cluster.outsider(PAYMENTS_API, ["203.0.113.80", "2001:db8::80"])
        self.files = cluster.outsider(FILES, [FILES_IPV4])
        self.nameless = cluster.outsider(NAMELESS_IPV4, [NAMELESS_IPV4])
        self.browser = cluster.outsider("(outside)", ["198.51.100.20", "2001:db8:1::20"])
        self.serve(self.payments_api, "203.0.113.80:80", "[2001:db8::80]:80")
        self.serve(self.files, f"{FILES_IPV4}:5432")
        self.serve(self.nameless, f"{NAMELESS_IPV4}:9000")
        cluster.publish(
            {
                PAYMENTS_API: {"A": ["203.0.113.80"], "AAAA": ["2001:db8::80"]},
                FILES: {"CNAME": FILES_ALIAS},
                FILES_ALIAS: {"A": [FILES_IPV4]},
                "broken.example": {"rcode": 2},
                "silent.example": {"silent": True},
            }
        )

    def _start_nginx(self) -> None:
        directory = self.cluster.directory
        text = (APPS / "nginx.conf").read_text()
        configuration = directory / "nginx.conf"
        filled = text.replace("@DIRECTORY@", str(directory)).replace("@CART@", f"{self.cart.ipv4}:8080")
        configuration.write_text(filled)
        self.nginx_log = directory / "nginx-access.log"
        self.web.start("nginx", ["nginx", "-e", "stderr", "-c", configuration], listens=["[::]:80"])

    def _start_relay(self) -> None:
        file = self.cluster.directory / "relay.counts"
        command = ["node", APPS / "relay.js", "3000", file, f"http://{self.orders.ipv4}:8080"]
        program = self.relay.start("node", command, listens=["[::]:3000"])
        self.servers["relay"] = Server(self.relay, program, file, signal.SIGUSR2)

    def _jobs(self) -> Iterator[tuple[Workload, list[Job]]]:
        every, deep = traffic.WHATEVER_A_SERVER_DOES, {"depth": 8}
        cart, orders, relay, web = self.cart, self.orders, self.relay, self.web
        own_answers = [["GET", "/"], ["GET", "/empty"], ["GET", "/old"], ["GET", "/busy"], ["HEAD", "/missing"]]
        passed_on = [["GET", "/api/status/200"], ["GET", "/api/status/404"], ["GET", "/api/chunked/2"]]
        yield (
            self.frontend,
            [
                traffic.requests(cart.ipv4, 8080, "cart", 40_000, every),
                traffic.requests(cart.ipv6, 8080, "cart", 6_000, every, requests_per_connection=3),
                traffic.requests(web.ipv4, 80, "web", 40_000, own_answers, **deep),
                traffic.requests(web.ipv6, 80, "web", 6_000, passed_on),
                traffic.requests(
                    relay.ipv4, 3000, "relay", 12_000, [["GET", "/via/status/200"], ["GET", "/status/418"]]
                ),
                *traffic.unanswered(cart.ipv4, 8080, 30),
            ],
        )
        # From the host's address too: only the clients' side can tell who it was.
        yield self.batch, [traffic.requests(cart.ipv4, 8080, "cart", 5_000, every, mapped=True)]
        yield self.checkout, self._checkout_jobs()
        yield (
            self.payments,
            [
                traffic.requests("127.0.0.1", 9090, "ledger", 30_000, every, depth=4),
                traffic.requests("::1", 9090, "ledger", 5_000, every, requests_per_connection=1),
                traffic.requests(orders.ipv6, 8080, "orders", 20_000, every),
            ],
        )
        calls = [traffic.requests(self.frontend.ipv4, 8000, "shop.example", 8_000, every)]
        calls += traffic.unanswered(self.frontend.ipv4, 8000, 5)
        yield self.browser, [{**job, "from": self.browser.ipv4} for job in calls]

    def _checkout_jobs(self) -> list[Job]:
        every, payments, orders = traffic.WHATEVER_A_SERVER_DOES, self.payments, self.orders
        body = traffic.LOOKS_LIKE_A_REQUEST
        names = [[PAYMENTS_API, A], [PAYMENTS_API, AAAA], ["nowhere.example", A], ["broken.example", A]]
        plain_tcp = {"kind": "garbage", "times": 20, "seed": 1}
        self._named[self.checkout.node_id, FILES_IPV4] = FILES
        return [
            traffic.requests(payments.ipv4, 9090, "payments", 20_000, every, requests_per_connection=10, mapped=True),
            traffic.requests(payments.ipv6, 9090, "payments", 10_000, every, depth=16),
            traffic.requests(orders.ipv4, 8080, "orders", 10_000, [["POST", "/orders/12"]], body=body),
            traffic.requests(orders.ipv4, 8080, "orders", 500, [["GET", "/close"]]),
            traffic.requests(self.payments_api.ipv4, 80, PAYMENTS_API, 4_000, [["POST", "/v1/charges/77"]]),
            traffic.requests(self.payments_api.ipv6, 80, PAYMENTS_API, 1_000, [["GET", "/v1/charges/78"]]),
            *traffic.unanswered(orders.ipv4, 8080, 20),
            {"kind": "silent", "address": orders.ipv4, "port": 8080, "times": 25},
            {"kind": "dns", "address": network.RESOLVER_IPV4, "port": 53, "times": 1, "names": [[FILES, A]]},
            {**plain_tcp, "address": FILES_IPV4, "port": 5432, "begin": 2},
            {**plain_tcp, "address": NAMELESS_IPV4, "port": 9000},
            {"kind": "datagrams", "address": network.SILENT_IPV4, "port": 514, "times": 50, "size": 200},
            *traffic.failures((orders.ipv4, 81), (self.cart.ipv6, 82), payments.ipv4),
            *traffic.questions(names),
        ]

    def _start_load(self, workload: Workload, jobs: Sequence[Job], share: float) -> tuple[Program, Path]:
        plan = self.cluster.directory / f"{workload.host}-{workload.name}.plan"
        out = plan.with_suffix(".out")
        plan.write_text(json.dumps({"jobs": traffic.scaled(list(jobs), share)}))
        return workload.start("load", [PYTHON, APPS / "load.py", plan, out]), out

    def _start_curl(self, workload: Workload, share: float) -> Program:
        last = max(10, int(2000 * share))
        url = f"http://{PAYMENTS_API}/curl/[1-{last}]"
        return workload.start(
            f"curl-{len(workload.programs)}", ["curl", "-sS", "-4", "-o", "/dev/null", "-w", _CURL_FORM, url]
        )

    def _relayed(self) -> Iterator[tuple[str, Row]]:
        for row in self.servers["relay"].counts()["called"]:
            yield self.relay.node_id, row

    def _proxied(self) -> Iterator[tuple[str, Row]]:
        """What nginx asked of the cart, as the cart counted it."""
        for row in self.servers["cart"].counts()["rows"]:
            if row["client"] in (self.web.ipv4, self.web.ipv6):
                sent_and_received = {"bytes_sent": row["bytes_received"], "bytes_received": row["bytes_sent"]}
                yield self.web.node_id, {**row, **sent_and_received, "address": self.cart.ipv4}

    def _looked_up(self) -> Iterator[tuple[str, Row]]:
        """The look-ups of curl, as the resolver counted them: each is alone on its host's address to ask by name."""
        callers = {workload.ipv4: workload for workload in (self.batch, self.shell)}
        queries = self.cluster.resolver.programs[0].counts(self.cluster.resolver_counts)["queries"]
        for client, _, _, _, rcode, count in queries:
            if client in callers:
                zero = {"connections": 0, "unanswered": {}}
                yield (
                    callers[client].node_id,
                    {
                        "address": network.RESOLVER_IPV4,
                        "port": 53,
                        "requests": count,
                        "statuses": {rcode: count},
                        **zero,
                    },
                )

    def _target_of(self, source: str, row: Row) -> str:
        address = row["address"]
        host = next(one.host for one in self.cluster.workloads if one.node_id == source)
        inside = self.cluster.node_at(address, row["port"], host)
        host_header = row.get("host") if row["requests"] and row["port"] != 53 else None
        return inside or host_header or self._named.get((source, address)) or address


def _curl_row(output: Path, address: str) -> Row:
    rows = [list(map(int, line.split())) for line in output.read_text().splitlines()]
    status, connects, request, head, body = zip(*rows, strict=True)
    return {
        "address": address,
        "port": 80,
        "host": PAYMENTS_API,
        "requests": len(rows),
        "statuses": Counter(status),
        "unanswered": {},
        "connections": sum(connects),
        "bytes_sent": sum(request),
        "bytes_received": sum(head) + sum(body),
    }
