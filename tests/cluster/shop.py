"""A shop of real services on two hosts, with its customers and third parties, and what it declared about itself.

Its catalog (shop-catalog/) is wrong in six ways, which shop-findings.json states as `plumb drift` must find them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.cluster import APPS, Cluster, Workload
from tests.cluster.processes import PYTHON

HERE = Path(__file__).parent
CATALOG = HERE / "shop-catalog"
FINDINGS = HERE / "shop-findings.json"
# A pod is joined to its component by an annotation, which needs to know its uid.
CART_POD = "5b1f6a52-93c1-4a07-8d0e-c2f9b8a4e611"
ALPHA, BETA = "10.0.0.1", "10.0.0.2"
CART_PORT = 8080
REQUESTS_A_SECOND = 30


@dataclass(frozen=True, slots=True)
class Service:
    """One unit; `calls` must answer well, `tries` may fail. Both are URLs; {cart} is the pod's address."""

    name: str
    host: str
    listen: str
    calls: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()


SERVICES = (
    Service("catalog", "alpha", f"{ALPHA}:3001"),
    Service("recommendations", "alpha", f"{ALPHA}:3002"),
    Service(
        "payments",
        "beta",
        f"{BETA}:4001",
        ("http://api.bank.example/v1/charges/*",),
        ("http://score.fraudshield.example/v2/score",),
    ),
    Service("shipping", "beta", f"{BETA}:4002", (), ("http://rates.carrier.example/rates/*",)),
    Service("checkout", "beta", f"{BETA}:4000", (f"http://{BETA}:4001/pay/*",), (f"http://{BETA}:4002/quote/*",)),
    Service(
        "frontend",
        "alpha",
        f"{ALPHA}:3000",
        (f"http://{ALPHA}:3001/products/*", "http://{cart}:8080/carts/*"),
        (f"http://{ALPHA}:3002/for/*", f"http://{BETA}:4000/checkout/*"),
    ),
)
# name -> (address, milliseconds, share of failures)
THIRD_PARTIES = {
    "api.bank.example": ("203.0.113.10", 180, 0.0),
    "score.fraudshield.example": ("203.0.113.20", 5, 0.0),
    "rates.carrier.example": ("203.0.113.30", 10, 0.3),
    "feed.supplier.example": ("203.0.113.40", 20, 0.0),
}
_SYNC = "while :; do curl -s -o /dev/null http://feed.supplier.example/stock/$((RANDOM % 50)); sleep 1; done"


class Shop:
    """Everything runs when it is made, but the customers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        for name, (address, slow_ms, failing) in THIRD_PARTIES.items():
            third_party = cluster.outsider(name, [address])
            self._serve(third_party, f"{address}:80", "--slow", str(slow_ms), "--failing", str(failing))
            cluster.publish({name: {"A": [address]}})
        cart = cluster.pod("alpha", "cart", CART_POD)
        self._serve(cart, f"0.0.0.0:{CART_PORT}")
        for service in SERVICES:
            calls = [word for url in service.calls for word in ("--call", url.format(cart=cart.ipv4))]
            tries = [word for url in service.tries for word in ("--try", url)]
            self._serve(cluster.unit(service.host, service.name), service.listen, *calls, *tries)
        self._start_gateway(cluster.unit("alpha", "gateway"))
        cluster.unit("beta", "stock-sync").start("curl", ["bash", "-c", _SYNC])
        self.customers = cluster.outsider("(outside)", ["198.51.100.20"])

    def open(self) -> None:
        """The customers come, and do not stop."""
        paths = [["GET", "/"], ["GET", "/products/7"], ["POST", "/orders"], ["GET", "/favicon.ico"]]
        job = {
            "kind": "requests",
            "address": ALPHA,
            "port": 80,
            "host": "shop.example",
            "connections": 6,
            "paths": paths,
            "from": self.customers.ipv4,
        }
        plan = self.cluster.directory / "customers.plan"
        plan.write_text(json.dumps({"jobs": [{**job, "requests": 10**9, "rate": REQUESTS_A_SECOND}]}))
        self.customers.start("customers", [PYTHON, APPS / "load.py", plan, plan.with_suffix(".out")])

    @staticmethod
    def findings() -> list[dict[str, Any]]:
        """What drift must find, each with "why" in words."""
        found: list[dict[str, Any]] = json.loads(FINDINGS.read_text())
        return found

    @staticmethod
    def _serve(workload: Workload, listen: str, *flags: str) -> None:
        workload.start("service", [PYTHON, APPS / "service.py", "--listen", listen, *flags], listens=[listen])

    def _start_gateway(self, gateway: Workload) -> None:
        configuration = self.cluster.directory / "gateway.conf"
        text = (APPS / "gateway.conf").read_text()
        configuration.write_text(text.replace("@DIRECTORY@", str(self.cluster.directory)).replace("@ADDRESS@", ALPHA))
        gateway.start("nginx", ["nginx", "-e", "stderr", "-c", configuration], listens=[f"{ALPHA}:80"])
