"""What must not leave the node: a secret, wherever it may stand, is in nothing that the product sent, kept or said.

Cause: ten thousand secrets in paths, queries, fragments, headers, cookies, users of URLs and of proxies, bodies,
trailers, statuses and ALPN, by a client that knows no shame and by real ones. Capture: every byte that agents sent,
every file that the product wrote, every answer that it gives. Compare: no secret is there; what is none of the same
calls is.
"""

import base64
import random
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.clients import Client, finish
from tests.cluster.cluster import APPS, Cluster
from tests.cluster.internet import PROXY_PORT, Internet, start_proxy
from tests.cluster.processes import PYTHON
from tests.cluster.product import Graph, Product
from tests.cluster.recorder import Recorder

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
TIMES = 10_000
CALLS = 5
FORMS = ("table", "json", "yaml", "dot", "mermaid")
# Letters only: digits would be folded, and so hidden, in a path.
CANARY = "canaryqmz"
# As it stands in a header for who is called "user".
IN_BASIC = base64.b64encode(f"user:{CANARY}".encode())[:16]
SITE, CLEAR = "api.pay.example", "clear.example"
# Python's urllib takes no user in a URL.
LANGUAGES = ("curl", "node", "go", "java")
# As much of a token as tells it from any other.
_PIECE = 16


@dataclass
class Kept:
    """What the product has of a time with secrets."""

    tokens: list[str]
    on_the_wire: bytes
    written: dict[str, bytes]
    said: dict[str, bytes]

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield "on the wire", self.on_the_wire
        yield from self.written.items()
        yield from self.said.items()


def tokens() -> list[str]:
    """As applications make them, 32 bytes in base64; the same ones each time."""
    chance = random.Random(43)
    return [base64.urlsafe_b64encode(chance.randbytes(32)).decode().rstrip("=") for _ in range(TIMES)]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with Cluster() as cluster:
        internet = Internet(cluster, {SITE: "203.0.113.101", CLEAR: "203.0.113.102"})
        server, shop, proxy = cluster.pod("beta", "pay"), cluster.pod("alpha", "shop"), cluster.pod("beta", "proxy")
        server.start("pay", [PYTHON, APPS / "secrets_server.py", 8080], listens=["0.0.0.0:8080"])
        start_proxy(proxy, cluster.directory)
        file = cluster.directory / "tokens"
        file.write_text("\n".join(made := tokens()))
        flags: list[str] = []
        product = Product(cluster, agent_flags=flags)
        with Recorder(product.agents_port) as recorder:
            flags += ["--aggregator", recorder.address]
            with product:
                command = [PYTHON, APPS / "secrets_client.py", server.ipv4, 8080, TIMES, CANARY, file]
                shop.run("shop", command)
                call_as_real_clients_do(cluster, internet, proxy.ipv4)
                product.graph_when(lambda graph: is_whole(graph, server.node_id))
                said = answers(product)
            yield Kept(made, recorder.said, written(cluster.directory), said)


def is_whole(graph: Graph, server: str) -> bool:
    """All that was asked in clear text is there; what was asked by the proxy once more."""
    asked = Counter[str]()
    for one in graph["edges"]:
        asked[one["target"]] += one["requests"]
    return asked[server] == TIMES and asked[CLEAR] >= CALLS * (len(LANGUAGES) + 2)


def call_as_real_clients_do(cluster: Cluster, internet: Internet, proxy: str) -> None:
    clients = [Client(language, cluster.pod("alpha", language), internet) for language in LANGUAGES]
    for client in clients:
        secret = CANARY + client.language
        user, rest = f"user:{secret}@", f"/v1/pay?token={secret}"
        client.start({f"http://{user}{CLEAR}{rest}": CALLS, f"https://{user}{SITE}{rest}": CALLS})
        by_proxy = f"http://{user}{proxy}:{PROXY_PORT}"
        if client.language in ("curl", "go"):
            more = {"http_proxy": by_proxy, "HTTPS_PROXY": by_proxy, "NO_PROXY": "", "no_proxy": ""}
            client.start({f"http://{CLEAR}{rest}": CALLS, f"https://{SITE}{rest}": CALLS}, more=more)
    finish(clients)
    assert {said for client in clients for _, said in client.saw} == {"200"}
    greeted = cluster.pod("alpha", "greeter")
    greeting = [PYTHON, APPS / "alpn.py", internet.certificate, internet.sites[SITE], SITE, CANARY + "alpn"]
    assert greeted.run("alpn", greeting).strip() in ("TLSv1.3", "TLSv1.2"), ssl.OPENSSL_VERSION


def answers(product: Product) -> dict[str, bytes]:
    found = {f"graph as {form}": product.plumb("graph", "-o", form, "--window", "1h").encode() for form in FORMS}
    found["thirdparties"] = product.plumb("thirdparties", "-o", "json").encode()
    return found | {path: product.http(path) for path in ("/metrics", "/catalog/backstage.yaml")}


def written(directory: Path) -> dict[str, bytes]:
    """Logs, journals and checkpoints: all that the product wrote, not what its clients did."""
    places = [directory / "data", directory / "run", *(directory / "logs").glob("ag*")]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def test_what_is_no_secret_is_there(kept: Kept) -> None:
    """Else nothing could be found in it."""
    for place, content in (("wire", kept.on_the_wire), ("graph", kept.said["graph as json"])):
        for word in (b"/pay/*", b"/pay/*/by", b"/v1/pay", b"shop", SITE.encode(), CLEAR.encode()):
            assert word in content, (place, word)
    journal = b"".join(content for name, content in kept.written.items() if name.startswith("data"))
    assert b"/pay/*/by" in journal and CLEAR.encode() in journal
    assert any(name.startswith("logs/agent") for name in kept.written)


@pytest.mark.parametrize("secret", [CANARY.encode(), IN_BASIC], ids=["plain", "in base64"])
def test_secrets_never_leave_the_node(kept: Kept, secret: bytes) -> None:
    assert [place for place, content in kept.everything() if secret in content] == []


def test_a_token_in_a_path_never_leaves_the_node(kept: Kept) -> None:
    begins = {token[:_PIECE].encode() for token in kept.tokens}
    for place, content in kept.everything():
        runs = re.findall(rb"[A-Za-z0-9_-]{%d,}" % _PIECE, content)
        found = {run[at : at + _PIECE] for run in runs for at in range(len(run) - _PIECE + 1)} & begins
        assert not found, (place, found)
