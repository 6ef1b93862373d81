"""TLS handshakes on the real kernel, as OpenSSL makes them: each is told once, how it ended, and by whose doing."""

import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest
from plumbline.v1 import flow_pb2

from tests.kernel.test_tls import extension, number, real_hello
from tests.kernel.wire import OUTCOMES, SIDES, Counted, Wire, connection, say

pytestmark = pytest.mark.kernel
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NAME = "api.pay.example"
PROTOCOL_VERSION, UNKNOWN_CA = 70, 48
# (how it ended, version, alert) -> how often.
Ends: TypeAlias = Counter[tuple[str, int, int]]
Serve: TypeAlias = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its key."""
    place = tmp_path_factory.mktemp("keys")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"
    subprocess.run([*command.split(), "-keyout", place / "key", "-out", place / "own"], check=True, capture_output=True)
    whole = place / "both.pem"
    whole.write_text((place / "key").read_text() + (place / "own").read_text())
    return whole


def ends(seen: Counted, wire: Wire) -> Ends:
    """Only a client's end tells of them."""
    found: Ends = Counter()
    for row in seen.request_rows:
        if row["protocol"] == flow_pb2.PROTOCOL_TLS:
            assert SIDES[wire.flow(row["flow"]).role] == "client"
            assert (row["sum_ns"] > 0) == (row["latency_bucket"] > 0) == (row["outcome"] == flow_pb2.OUTCOME_ANSWERED)
            found[OUTCOMES[row["outcome"]], row["kind"], row["code"]] += row["count"]
    return found


def record(kind: int, content: bytes) -> bytes:
    return bytes([kind, 3, 3]) + number(len(content)) + content


def trusting(
    certificate: Path | None, most: ssl.TLSVersion = TLS_1_3, least: ssl.TLSVersion = TLS_1_2
) -> ssl.SSLContext:
    """A client's."""
    context = ssl.create_default_context(cafile=str(certificate) if certificate else None)
    context.minimum_version, context.maximum_version = least, most
    return context


def with_certificate(certificate: Path, most: ssl.TLSVersion = TLS_1_3) -> ssl.SSLContext:
    """A server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = most
    return context


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Has each connection handled by a function; gives the port."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def begin(handle: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def work() -> None:
            with suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    one.settimeout(5)
                    with one, suppress(OSError):
                        handle(one)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield begin
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def echo(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def handle(one: socket.socket) -> None:
        with context.wrap_socket(one, server_side=True) as tls:
            tls.sendall(tls.recv(100))
            tls.recv(100)

    return handle


def call(
    port: int, context: ssl.SSLContext, times: int = 1, session: ssl.SSLSession | None = None
) -> ssl.SSLSession | None:
    """Handshakes, and a word each way where they are done."""
    for _ in range(times):
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            suppress(ssl.SSLError, ConnectionError),
            context.wrap_socket(plain, server_hostname=NAME, session=session) as tls,
        ):
            tls.sendall(b"a word")
            tls.recv(100)
            session = tls.session
    return session


@pytest.mark.parametrize("most", [TLS_1_2, TLS_1_3])
def test_those_that_are_done(wire: Wire, certificate: Path, serve: Serve, most: ssl.TLSVersion) -> None:
    wire.counted()
    call(serve(echo(with_certificate(certificate, most))), trusting(certificate), times=7)
    seen = wire.counted()
    assert ends(seen, wire) == {("answered", int(most), 0): 7}
    assert seen.totals["client"]["connections"] == seen.totals["client"]["closed"] == 7
    assert seen.lost == {}


def test_one_that_goes_on_from_an_earlier_one(wire: Wire, certificate: Path, serve: Serve) -> None:
    wire.counted()
    context = trusting(certificate, TLS_1_2)
    port = serve(echo(with_certificate(certificate)))
    session = call(port, context)
    assert session is not None
    call(port, context, times=3, session=session)
    assert ends(wire.counted(), wire) == {("answered", int(TLS_1_2), 0): 4}


def test_one_in_which_the_server_asks_for_another_key(wire: Wire, certificate: Path, serve: Serve) -> None:
    """A client says two hellos then."""
    wire.counted()
    server = with_certificate(certificate)
    server.set_ecdh_curve("secp521r1")
    call(serve(echo(server)), trusting(certificate), times=3)
    assert ends(wire.counted(), wire) == {("answered", int(TLS_1_3), 0): 3}


@pytest.mark.parametrize("most", [TLS_1_2, TLS_1_3])
def test_a_client_that_does_not_trust(wire: Wire, certificate: Path, serve: Serve, most: ssl.TLSVersion) -> None:
    wire.counted()
    call(serve(echo(with_certificate(certificate, most))), trusting(None), times=5)
    assert ends(wire.counted(), wire) == {("client", int(most), UNKNOWN_CA): 5}


@pytest.mark.parametrize("cut", [1000, 1, 7])
def test_an_alert_under_seal_has_its_length_alone(wire: Wire, cut: int) -> None:
    """As clients say it that have the key to seal it with, Go so and Java padded; whatever segments it comes in."""
    versions = extension(43, number(TLS_1_3))
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\x13\x01" + b"\0" + number(len(versions)) + versions
    answer = record(22, b"\2" + number(len(body), 3) + body) + record(20, b"\1") + record(23, bytes(500))
    wire.counted()
    alerts = [record(23, bytes(size)) for size in (19, 35)]
    ends_well = [record(23, bytes(21)) + record(23, bytes(60)), *(record(23, bytes(size)) for size in (25, 41, 53, 69))]
    for last in (*alerts, *ends_well):
        with connection() as (client, server):
            say(client, server, real_hello())
            say(server, client, *(answer[at : at + cut] for at in range(0, len(answer), cut)))
            said = record(20, b"\1") + last
            say(client, server, *(said[at : at + cut] for at in range(0, len(said), cut)))
    seen = wire.counted()
    assert ends(seen, wire) == {("client", int(TLS_1_3), 0): len(alerts), ("answered", int(TLS_1_3), 0): len(ends_well)}
    assert seen.lost == {}


def test_a_server_that_speaks_another_version(wire: Wire, certificate: Path, serve: Serve) -> None:
    wire.counted()
    port = serve(echo(with_certificate(certificate, TLS_1_2)))
    call(port, trusting(certificate, least=TLS_1_3), times=4)
    assert ends(wire.counted(), wire) == {("server", 0, PROTOCOL_VERSION): 4}


def test_a_server_that_speaks_no_tls(wire: Wire, serve: Serve) -> None:
    def refuses(one: socket.socket) -> None:
        one.recv(10000)
        one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    wire.counted()
    call(serve(refuses), trusting(None), times=3)
    assert ends(wire.counted(), wire) == {("server", 0, 0): 3}


def test_who_hangs_up_in_the_middle(wire: Wire, serve: Serve) -> None:
    def hangs_up(one: socket.socket) -> None:
        one.recv(10000)

    def waits(one: socket.socket) -> None:
        while one.recv(10000):
            pass

    wire.counted()
    call(serve(hangs_up), trusting(None), times=3)
    assert ends(wire.counted(), wire) == {("server", 0, 0): 3}
    with socket.create_connection(("127.0.0.1", serve(waits))) as plain, suppress(TimeoutError):
        plain.settimeout(0.3)
        trusting(None).wrap_socket(plain, server_hostname=NAME)
    assert ends(wire.counted(), wire) == {("client", 0, 0): 1}


def test_what_is_said_under_seal_moves_nothing(wire: Wire, certificate: Path, serve: Serve) -> None:
    """Records of every size, the size of an alert's too, after a handshake: it is over."""

    def swallow(one: socket.socket) -> None:
        with with_certificate(certificate).wrap_socket(one, server_side=True) as tls:
            while tls.recv(1 << 16):
                pass

    wire.counted()
    plain = socket.create_connection(("127.0.0.1", serve(swallow)), 5)
    with plain, trusting(certificate).wrap_socket(plain, server_hostname=NAME) as tls:
        for size in (1, 2, 3, 100, 20000):
            tls.sendall(bytes(size))
    assert ends(wire.counted(), wire) == {("answered", int(TLS_1_3), 0): 1}
