"""What must not leave the node: a secret, wherever it may stand, is in nothing that the product kept or said."""

import secrets
import sys
from pathlib import Path

import pytest

from tests.cluster.cluster import APPS, Cluster
from tests.cluster.processes import PYTHON
from tests.cluster.product import Product

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
TIMES = 10_000
FORMS = ("table", "json", "yaml", "dot", "mermaid")


def test_secrets_never_leave_the_node() -> None:
    # Letters only: digits would be folded, and so hidden, in a path.
    canary = "canary" + secrets.token_hex(16).translate(str.maketrans("0123456789", "ghijklmnop"))
    with Cluster() as cluster:
        server, client = cluster.pod("beta", "pay"), cluster.pod("alpha", "shop")
        server.start("pay", [PYTHON, APPS / "secrets_server.py", 8080], listens=["0.0.0.0:8080"])
        with Product(cluster) as product:
            client.run("shop", [PYTHON, APPS / "secrets_client.py", server.ipv4, 8080, TIMES, canary])
            graph = product.graph_when(lambda graph: sum(edge["requests"] for edge in graph["edges"]) >= TIMES)
            said = "".join(product.plumb("graph", "-o", form, "--window", "1h") for form in FORMS)
            served = product.http("/metrics")
        routes = {route["route"] for edge in graph["edges"] for route in edge["routes"]}
        assert "/pay/*" in routes, "the requests themselves are seen"
        assert canary not in said and canary.encode() not in served
        assert files_with(canary.encode(), cluster.directory) == []


def files_with(secret: bytes, directory: Path) -> list[str]:
    """Logs, journals and checkpoints: everything that was written."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert any(path.stat().st_size > 1000 for path in files), sys.argv
    return [str(path) for path in files if secret in path.read_bytes()]
