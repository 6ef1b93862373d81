"""The stream against a real server that cuts, refuses, forgets and falls silent."""

import asyncio
import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from plumbline.v1.flow_pb2 import FlowDefinition

from agent import report
from agent.outbox import Outbox
from agent.packing import Status
from agent.reachability import Reachability
from agent.report import Introduction, Reporter
from agent.settings import Settings, WrongSettings
from telemetry.log import Form, Log
from tests.unit.agent.aggregators import FakeDisk, Reports, serve, until
from tests.unit.agent.rows import portion


class Sending:
    """A reporter with its outbox and log, and a flow to count on."""

    def __init__(self, settings: Settings) -> None:
        self.text = io.StringIO()
        self.outbox = Outbox(heartbeat_ns=0)
        self.flow = FlowDefinition(id=1, port=80)
        log = Log("alpha", self.text, Form.JSON)
        self.reachability = Reachability(settings.aggregator, log, time.monotonic)
        who = Introduction("boot", 42, lambda: {"flow_definitions": [self.flow]})
        self.reporter = Reporter(settings, who, self.outbox, self.reachability)
        self.task = asyncio.create_task(self.reporter.run())
        self.counted = 0

    def define(self) -> None:
        self.outbox.note("flow_definitions", [self.flow])

    def count(self, times: int = 1) -> None:
        self.counted += times
        now_ns = time.time_ns()
        self.outbox.add(portion(now_ns - 1, now_ns, [{"flow": 1, "connections": times}]), Status(now_ns))
        self.reporter.wake()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.text.getvalue().splitlines()]

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text.getvalue().splitlines()[-1])
        return line

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


@pytest.mark.parametrize("keep_before_cut", [True, False])
def test_a_stream_that_is_cut_again_and_again_delivers_each_count_once(keep_before_cut: bool) -> None:
    async def test() -> None:
        disk = FakeDisk()
        reports = Reports(disk)
        reports.cut_after, reports.keep_before_cut = 2, keep_before_cut
        server, address = await serve(reports)
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        for _ in range(40):
            sending.count()
            await asyncio.sleep(0.02)
        await until(lambda: sending.outbox.empty, 20)
        assert disk.connections == {1: sending.counted}
        assert len(reports.hellos) > 3
        assert {(hello.host, hello.epoch, hello.boot_id) for hello in reports.hellos} == {("alpha", 42, "boot")}
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_end_without_a_reason_is_told_only_when_it_goes_on() -> None:
    async def test() -> None:
        reports = Reports(FakeDisk())
        reports.refuse_with = grpc.StatusCode.INTERNAL, "Internal error from Core"
        server, address = await serve(reports)
        sending = Sending(Settings(host="alpha", aggregator=address))
        await asyncio.sleep(0.1)
        reports.refuse_with = None
        await until(lambda: sending.reachability.connected)
        assert sending.events() == ["aggregator_connected"]
        await sending.end()

        reports.refuse_with = grpc.StatusCode.INTERNAL, "Internal error from Core"
        sending = Sending(Settings(host="alpha", aggregator=address))
        await until(lambda: "aggregator_away" in sending.events(), 5)
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_aggregator_that_comes_later_and_goes_and_comes_back() -> None:
    async def test() -> None:
        disk = FakeDisk()
        reports = Reports(disk)
        server, address = await serve(reports)
        await server.stop(None)
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        sending.count()
        await until(lambda: "aggregator_away" in sending.events())
        assert "Connection refused" in sending.last()["reason"]
        server, _ = await serve(reports, address)
        await until(lambda: sending.outbox.empty)
        await server.stop(None)
        for _ in range(20):
            sending.count()
            await asyncio.sleep(0.05)
        assert sending.outbox.waiting.rows
        server, _ = await serve(reports, address)
        await until(lambda: sending.outbox.empty)
        assert sending.events() == ["aggregator_away", "aggregator_connected", "aggregator_away", "aggregator_back"]
        assert sending.last()["away_seconds"] >= 0.5
        assert disk.connections == {1: 21}
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_aggregator_whose_disk_was_damaged_is_told_the_definitions_again_and_no_count_twice() -> None:
    async def test() -> None:
        disk = FakeDisk()
        reports = Reports(disk)
        server, address = await serve(reports)
        sending = Sending(Settings(aggregator=address))
        sending.define()
        sending.count(5)
        await until(lambda: sending.outbox.empty)
        await server.stop(None)
        sending.count(7)
        disk.flows.clear()
        reports.definitions_lost = True
        server, _ = await serve(reports, address)
        await until(lambda: sending.outbox.empty)
        assert disk.connections == {1: 12}
        assert set(disk.flows) == {1}
        assert "aggregator_forgot" not in sending.events()
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_aggregator_with_an_empty_disk_is_told_the_definitions_again() -> None:
    async def test() -> None:
        server, address = await serve(Reports(FakeDisk()))
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        sending.count()
        await until(lambda: sending.outbox.acknowledged > 0 and sending.outbox.empty)
        await server.stop(None)
        sending.count(5)
        disk = FakeDisk()
        server, _ = await serve(Reports(disk), address)
        await until(lambda: sending.outbox.empty and disk.connections)
        assert disk.connections == {1: 5}
        assert "aggregator_forgot" in sending.events()
        await sending.end()
        await server.stop(None)

    run(test)


@pytest.mark.parametrize(
    ("code", "sentence", "remedy"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "this aggregator speaks contract 3 and 4", "versions"),
        (grpc.StatusCode.ALREADY_EXISTS, "another machine reports as host alpha", "--host"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "10000 hosts report already", "--aggregator"),
    ],
)
def test_a_refusal_is_told_once_with_the_aggregators_own_sentence(
    code: grpc.StatusCode, sentence: str, remedy: str
) -> None:
    async def test() -> None:
        reports = Reports(FakeDisk())
        reports.refuse_with = (code, sentence)
        server, address = await serve(reports)
        sending = Sending(Settings(host="alpha", aggregator=address))
        await asyncio.sleep(1.5)
        assert sending.events() == ["aggregator_refuses"]
        assert sending.last()["reason"] == sentence
        assert remedy in sending.last()["remedy"]
        reports.refuse_with = None
        await until(lambda: sending.reachability.connected)
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_aggregator_of_another_contract_gets_nothing() -> None:
    async def test() -> None:
        reports = Reports(FakeDisk())
        reports.contract_version = 9
        server, address = await serve(reports)
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        sending.count()
        await until(lambda: len(reports.hellos) > 1)
        assert sending.events() == ["aggregator_refuses"]
        assert "version 9" in sending.last()["reason"]
        assert reports.disk.remembered == 0
        await sending.end()
        await server.stop(None)

    run(test)


def test_a_token_is_shown_and_read_again_when_it_changes(tmp_path: Path) -> None:
    async def test() -> None:
        reports = Reports(FakeDisk())
        reports.token = "secret"
        server, address = await serve(reports)
        token_file = tmp_path / "token"
        sending = Sending(Settings(host="alpha", aggregator=address, token_file=token_file))
        await until(lambda: sending.events() == ["aggregator_away"])
        assert str(token_file) in sending.last()["reason"]
        token_file.write_text("wrong\n")
        await until(lambda: sending.events()[-1] == "aggregator_refuses")
        assert "--token-file" in sending.last()["remedy"]
        token_file.write_text("secret\n")
        await until(lambda: sending.reachability.connected)
        await sending.end()
        await server.stop(None)

    run(test)


def test_an_aggregator_that_stops_acknowledging_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_ACKNOWLEDGEMENT_SECONDS", 0.5)

    async def test() -> None:
        disk = FakeDisk()
        reports = Reports(disk)
        reports.acknowledges = False
        server, address = await serve(reports)
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        sending.count()
        await until(lambda: "aggregator_away" in sending.events())
        assert "acknowledged nothing" in sending.last()["reason"]
        reports.acknowledges = True
        await until(lambda: sending.outbox.empty)
        assert disk.connections == {1: 1}
        await sending.end()
        await server.stop(None)

    run(test)


def test_over_tls_with_the_right_authority_only(tmp_path: Path) -> None:
    def certificate(name: str) -> tuple[Path, Path]:
        cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )  # fmt: skip
        return cert, key

    async def test() -> None:
        ours, other = certificate("ours"), certificate("other")
        server, address = await serve(Reports(FakeDisk()), tls=ours)
        trusting = Sending(Settings(host="alpha", aggregator=address, tls_ca=ours[0]))
        await until(lambda: trusting.reachability.connected)
        await trusting.end()
        doubting = Sending(Settings(host="alpha", aggregator=address, tls_ca=other[0]))
        await until(lambda: doubting.events() != [])
        assert doubting.events() == ["aggregator_refuses"]
        assert "--tls-ca" in doubting.last()["remedy"]
        await doubting.end()
        await server.stop(None)

    run(test)


def test_plain_text_leaves_the_machine_only_when_asked_for() -> None:
    with pytest.raises(WrongSettings, match="--insecure"):
        Settings(host="alpha", aggregator="10.1.2.3:7170")
    Settings(host="alpha", aggregator="10.1.2.3:7170", insecure=True)
    Settings(host="alpha", aggregator="[::1]:7170")


def test_flush_returns_when_all_is_delivered_or_the_time_is_up() -> None:
    async def test() -> None:
        disk = FakeDisk()
        server, address = await serve(Reports(disk))
        sending = Sending(Settings(host="alpha", aggregator=address))
        sending.define()
        sending.count(3)
        await sending.reporter.flush(5)
        assert disk.connections == {1: 3}
        await server.stop(None)
        sending.count(3)
        began = time.monotonic()
        await sending.reporter.flush(0.3)
        assert 0.2 < time.monotonic() - began < 2
        assert not sending.outbox.empty
        await sending.end()

    run(test)
