"""Until when servers' certificates are valid: openssl's own, shown by OpenSSL in handshakes up to TLS 1.2."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from plumbline.v1 import flow_pb2

from agent.certificates import Certificates
from agent.coalescing import REQUESTS, empty
from agent.records import ServerHelloSeen
from tests.cluster.cluster import Cluster
from tests.cluster.product import Graph, Product
from tests.kernel.wire import Wire, connection, say

pytestmark = pytest.mark.kernel
NAME = "api.pay.example"
NOW = datetime.now(UTC).replace(microsecond=0)
ENDS = {"expired.example": NOW - timedelta(days=30), "soon.example": NOW + timedelta(days=3)}
AUTHORITY = (
    "[ca]\ndefault_ca=own\n[own]\ndatabase={0}/index\nserial={0}/serial\nnew_certs_dir={0}\ndefault_md=sha256\n"
    "policy=any\n[any]\ncommonName=supplied\n"
)


def made(place: Path, name: str, end: datetime) -> Path:
    """A certificate with its key, by openssl; it begins a year before its end."""
    place = place / name
    place.mkdir()
    (place / "index").touch()
    (place / "serial").write_text("01\n")
    (place / "config").write_text(AUTHORITY.format(place))
    ask = f"openssl req -new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {place}/key -out {place}/asked"
    begin, ended = (f"{one:%Y%m%d%H%M%SZ}" for one in (end - timedelta(days=365), end))
    sign = f"openssl ca -batch -selfsign -notext -config {place}/config -in {place}/asked -keyfile {place}/key"
    sign += f" -startdate {begin} -enddate {ended} -out {place}/own"
    for command in (ask, sign):
        subprocess.run(command.split(), check=True, capture_output=True)
    whole = place / "both.pem"
    whole.write_text((place / "key").read_text() + (place / "own").read_text())
    return whole


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("certificates")
    return {name: made(place, name, end) for name, end in ENDS.items()}


def client_context(most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, most
    return context


def shakes_hands(
    certificate: Path, name: str, size: int = 1 << 20, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> None:
    """Over one connection; what the server says goes in segments of that size."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate)
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    client_tls = client_context(most).wrap_bio(pipes[0], pipes[1], server_hostname=name)
    server_tls = server_context.wrap_bio(pipes[2], pipes[3], server_side=True)
    with connection() as (client, server):
        for _ in range(4):
            for tls, out, one, other, into, cut in (
                (client_tls, pipes[1], client, server, pipes[2], 1 << 20),
                (server_tls, pipes[3], server, client, pipes[0], size),
            ):
                with suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                said = out.read()
                say(one, other, *(said[at : at + cut] for at in range(0, len(said), cut)))
                into.write(said)
    assert client_tls.version() and client_tls.cipher()


def read(wire: Wire) -> list[tuple[str, datetime]]:
    """(name of the server, end) of each that was read."""
    kept = Certificates()
    seen = wire.counted()
    for one in seen.announcements:
        if isinstance(one, ServerHelloSeen):
            kept.heard(one)
    assert kept.take_lost() == {} and seen.lost == {}
    found = kept.beside({**empty(REQUESTS), "flow": np.empty(0, "u8")}, 0)  # the kernel's ids
    names = [wire.name(wire.flow(one).server_name) for one in found["flow"].tolist()]
    assert set(found["protocol"].tolist()) <= {flow_pb2.PROTOCOL_TLS}
    seconds = found["kind"].astype("i8") << 16 | found["code"].astype("i8")
    return [(name, datetime.fromtimestamp(end, UTC)) for name, end in zip(names, seconds.tolist(), strict=True)]


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("size", [1 << 20, 536, 100])
def test_it_ends_when_openssl_said(wire: Wire, certificates: dict[str, Path], name: str, size: int) -> None:
    wire.counted()
    shakes_hands(certificates[name], name, size)
    assert read(wire) == [(name, ENDS[name])]


def test_one_flow_s_is_looked_at_once_in_a_while(wire: Wire, certificates: dict[str, Path]) -> None:
    wire.counted()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates["soon.example"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(10):
            with socket.create_connection(listener.getsockname()) as client:
                server, _ = listener.accept()
                with server:
                    hello = ssl.MemoryBIO(), ssl.MemoryBIO()
                    with suppress(ssl.SSLWantReadError):
                        client_context().wrap_bio(*hello, server_hostname="soon.example").do_handshake()
                    said = hello[1].read()
                    say(client, server, said)
                    answer = ssl.MemoryBIO(), ssl.MemoryBIO()
                    answer[0].write(said)
                    with suppress(ssl.SSLWantReadError):
                        context.wrap_bio(*answer, server_side=True).do_handshake()
                    say(server, client, answer[1].read())
    seen = wire.counted()
    assert len([one for one in seen.announcements if isinstance(one, ServerHelloSeen) and one.number == 0]) == 1


def test_what_is_sealed_is_not_looked_at(wire: Wire, certificates: dict[str, Path]) -> None:
    wire.counted()
    shakes_hands(certificates["soon.example"], "soon.example", most=ssl.TLSVersion.TLSv1_3)
    assert not [one for one in wire.counted().announcements if isinstance(one, ServerHelloSeen)]


@pytest.fixture(scope="module")
def seen(certificates: dict[str, Path]) -> Iterator[tuple[str, Product]]:
    addresses = dict(zip(ENDS, ("203.0.113.101", "2001:db8:99::102"), strict=True))
    with Cluster() as cluster:
        sites, shop = cluster.outsider("sites", [*addresses.values()]), cluster.pod("alpha", "shop")
        for name, address in addresses.items():
            where = f"[{address}]:443" if ":" in address else f"{address}:443"
            serve = ["openssl", "s_server", "-accept", where, "-cert", certificates[name], "-key", certificates[name]]
            sites.start(f"openssl-{name}", [*serve, "-tls1_2", "-www"], listens=[where])
        with Product(cluster) as product:
            for name, address in addresses.items():
                where = f"[{address}]" if ":" in address else address
                command = (
                    f"for n in 1 2 3; do curl -sk -o /dev/null --resolve {name}:443:{where} https://{name}/; done; true"
                )
                shop.run(f"curl-{name}", ["sh", "-c", command])
            yield shop.node_id, product


@pytest.mark.cluster
@pytest.mark.slow
def test_third_parties_have_it(seen: tuple[str, Product]) -> None:
    client, product = seen
    wanted = {name: f"{end:%Y-%m-%dT%H:%M:%S}.000Z" for name, end in ENDS.items()}

    def of_edges(graph: Graph) -> dict[str, tuple[str, int | None]]:
        edges = [one for one in graph["edges"] if one["source"] == client]
        return {one["target"]: (one["certificate_expires"], (one["handshakes"] or {}).get("done")) for one in edges}

    whole = {name: (end, 3) for name, end in wanted.items()}
    assert of_edges(product.graph_when(lambda graph: of_edges(graph) == whole)) == whole
    rows = product.answer("thirdparties")["third_parties"]
    assert {one["id"]: one["certificate_expires"] for one in rows} == wanted
    assert {one["id"]: one["tls_versions"] for one in rows} == {name: {"1.2": 3} for name in ENDS}
