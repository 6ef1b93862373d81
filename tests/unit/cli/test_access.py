"""How a reader is let in: TLS from a real listener, and a token that never crosses a network in plain text."""

import subprocess
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from plumbline.v1 import topology_pb2_grpc

from .conftest import Served, run, shop


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


def make_pair(place: Path, name: str) -> Pair:
    """A certificate for 127.0.0.1 that is its own authority."""
    pair = Pair(place / f"{name}.pem", place / f"{name}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pair.key,
         "-out", pair.certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return pair


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    place = tmp_path_factory.mktemp("pairs")
    return {name: make_pair(place, name) for name in ("server", "reader", "stranger")}


@pytest.fixture
def secured(pairs: dict[str, Pair]) -> Iterator[Served]:
    """Lets in who shows the reader's certificate."""
    service = Served(shop())
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    topology_pb2_grpc.add_TopologyServiceServicer_to_server(service, server)
    own = [(pairs["server"].key.read_bytes(), pairs["server"].certificate.read_bytes())]
    credentials = grpc.ssl_server_credentials(own, pairs["reader"].certificate.read_bytes(), require_client_auth=True)
    service.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    yield service
    server.stop(grace=None).wait()


def flags(authority: Pair, own: Pair) -> list[str]:
    return ["--tls-ca", str(authority.certificate), "--tls-cert", str(own.certificate), "--tls-key", str(own.key)]


def test_who_shows_the_right_certificate_is_let_in(secured: Served, pairs: dict[str, Pair]) -> None:
    ended = run("graph", "--aggregator", secured.address, *flags(pairs["server"], pairs["reader"]))
    assert (ended.status, ended.stderr) == (0, "")
    assert "alpha/frontend" in ended.stdout


def test_the_token_crosses_under_tls(secured: Served, pairs: dict[str, Pair], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    access = [*flags(pairs["server"], pairs["reader"]), "--token-file", str(token)]
    assert run("graph", "--aggregator", secured.address, *access).status == 0
    assert secured.metadata["authorization"] == "Bearer secret"


@pytest.mark.parametrize(("authority", "own"), [("stranger", "reader"), ("server", "stranger")])
def test_strangers_stay_outside(secured: Served, pairs: dict[str, Pair], authority: str, own: str) -> None:
    ended = run("graph", "--aggregator", secured.address, *flags(pairs[authority], pairs[own]))
    assert (ended.status, ended.stdout) == (4, "")
    assert ended.stderr == f"plumb: No TLS with {secured.address}; check --tls-ca, and --tls-cert with --tls-key.\n"
    assert not secured.requests


def test_plain_text_does_not_get_in(secured: Served) -> None:
    ended = run("graph", "--aggregator", secured.address)
    assert (ended.status, ended.stdout) == (4, "")
    assert ended.stderr.startswith(f"plumb: No aggregator answers at {secured.address}")


def test_the_token_is_shown_on_this_machine(served: Served, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    assert run("graph", "--aggregator", served.address, "--token-file", str(token)).status == 0
    assert served.metadata["authorization"] == "Bearer secret"


def test_the_token_does_not_cross_a_network_in_plain_text(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    ended = run("graph", "--aggregator", "192.0.2.1:7171", "--token-file", str(token))
    assert ended.status == 2
    assert "plain text" in ended.stderr
