"""Tokens and certificates of the three listeners, read again when their files change."""

import asyncio
import itertools
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from plumbline.v1 import topology_pb2, topology_pb2_grpc

from aggregator.outputs import http
from aggregator.outputs.security import Guard, Unusable
from aggregator.settings import ListenerSecurity
from tests.unit.outputs.running import UNAVAILABLE, Running, Stream, agent, certificate, run, running, until

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


_CHANGES = itertools.count(1)


def write(path: Path, content: str | bytes) -> None:
    """As a change that is seen whatever the clock's resolution."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    later = path.stat().st_mtime_ns + next(_CHANGES) * 1_000_000
    os.utime(path, ns=(later, later))


async def statuses(aggregator: Running, *token: tuple[str, str]) -> tuple[Any, Any, int]:
    """What each listener says to one who shows this."""
    stream = Stream(aggregator.channel("agents"), *token)
    await stream.call.done_writing()
    agents, _ = await stream.refusal()
    call = aggregator.topology.GetTopology(topology_pb2.GetTopologyRequest(), metadata=token)
    http_status, _, _ = await aggregator.get("/metrics", **dict(token))
    return agents, await call.code(), http_status


def test_every_listener_wants_its_token_and_takes_a_changed_one_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, "first\n")
    with_token = ListenerSecurity(token_file=file)
    settings = {f"{name}_security": with_token for name in ("agents", "grpc", "http")}
    refused = (UNAUTHENTICATED, UNAUTHENTICATED, 401)
    # Who may come in is told that it should have said hello.
    let_in = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK, 200)

    async def test() -> None:
        async with running(tmp_path / "data", **settings) as aggregator:
            assert await statuses(aggregator) == refused
            for wrong in ("", "firs", "firstly", "second"):
                assert await statuses(aggregator, bearer(wrong)) == refused
            assert await statuses(aggregator, ("authorization", "first")) == refused
            assert await statuses(aggregator, bearer("first")) == let_in
            write(file, "second")
            assert await statuses(aggregator, bearer("first")) == refused
            assert await statuses(aggregator, bearer("second")) == let_in
            file.unlink()
            assert await statuses(aggregator, bearer("second")) == let_in
            assert len(aggregator.events("certificate_unreadable")) == 1
            # Who asks whether the daemon lives has no token.
            assert [(await aggregator.get(path))[0] for path in ("/livez", "/readyz")] == [200, 200]

    run(test)


@pytest.mark.parametrize("emptied", ["", " \n"])
def test_a_token_file_that_is_empty_for_a_moment_lets_nobody_in(tmp_path: Path, emptied: str) -> None:
    file, troubles = tmp_path / "token", list[str]()
    write(file, "secret")
    guard = Guard(ListenerSecurity(token_file=file), troubles.append)
    write(file, emptied)
    assert not guard.allows("Bearer ") and not guard.allows("Bearer") and not guard.allows(None)
    assert guard.allows("Bearer secret")
    assert "is empty" in troubles[0]
    write(file, "new")
    assert guard.allows("Bearer new") and not guard.allows("Bearer secret")


def test_files_that_cannot_be_used_stop_a_start(tmp_path: Path) -> None:
    crt, key = certificate(tmp_path, "one")
    _, other_key = certificate(tmp_path, "two")
    empty = tmp_path / "empty"
    empty.write_text("")
    for security in (
        ListenerSecurity(token_file=tmp_path / "none"),
        ListenerSecurity(token_file=empty),
        ListenerSecurity(crt, tmp_path / "none"),
        ListenerSecurity(crt, other_key),
        ListenerSecurity(empty, key),
        ListenerSecurity(crt, key, empty),
    ):
        with pytest.raises(Unusable) as unusable:
            Guard(security, lambda _: None)
        assert str(unusable.value).endswith(".")


async def shown(port: int) -> bytes:
    """The certificate that a listener shows to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    raw: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return raw


def der(crt: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(crt.decode())


def test_tls_on_every_listener_follows_its_files_and_survives_half_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_TLS_SECONDS", 0.02)
    crt, key = certificate(tmp_path, "served")
    new_crt, new_key = (path.read_bytes() for path in certificate(tmp_path, "new"))
    old_crt = crt.read_bytes()
    settings = {f"{name}_security": ListenerSecurity(crt, key) for name in ("agents", "grpc", "http")}

    async def test() -> None:
        async with running(tmp_path / "data", **settings) as aggregator:
            ports = [aggregator.port(name) for name in ("agents", "grpc", "http")]
            assert [await shown(port) for port in ports] == [der(old_crt)] * 3
            credentials = grpc.ssl_channel_credentials(old_crt)
            stub = topology_pb2_grpc.TopologyServiceStub(aggregator.channel("grpc", credentials))
            await stub.GetTopology(topology_pb2.GetTopologyRequest())
            async with aiohttp.ClientSession() as session:
                trusted = ssl.create_default_context(cadata=old_crt.decode())
                async with session.get(f"https://127.0.0.1:{ports[2]}/livez", ssl=trusted) as response:
                    assert response.status == 200
            # A certificate whose key is still the old one.
            write(crt, new_crt)
            await until(lambda: aggregator.events("certificate_unreadable"))
            assert [await shown(port) for port in ports] == [der(old_crt)] * 3
            write(key, new_key)
            await asyncio.sleep(0.1)
            for port in ports:
                assert await shown(port) == der(new_crt)
            assert not aggregator.task.done()

    run(test)


def test_agents_can_be_asked_for_certificates(tmp_path: Path) -> None:
    crt, key = certificate(tmp_path, "server")
    mine, other = certificate(tmp_path, "agent"), certificate(tmp_path, "stranger")
    security = ListenerSecurity(crt, key, client_authority=mine[0])

    def shows(pair: tuple[Path, Path] | None) -> Any:
        chain = (pair[1].read_bytes(), pair[0].read_bytes()) if pair else ()
        return grpc.ssl_channel_credentials(crt.read_bytes(), *chain)

    async def test() -> None:
        async with running(tmp_path / "data", agents_security=security) as aggregator:
            for stranger in (None, other):
                stream = Stream(aggregator.channel("agents", shows(stranger)))
                code, _ = await stream.refusal()
                assert code == UNAVAILABLE
            stream = Stream(aggregator.channel("agents", shows(mine)))
            assert await stream.greet(agent().hello(0)) == 0

    run(test)
