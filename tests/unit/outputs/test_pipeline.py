"""The aggregator's life as a whole: how it begins, what it says of itself, how it ends."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from aggregator import pipeline
from aggregator.settings import ListenerSecurity, Settings
from tests.unit.outputs.running import Stream, agent, batch_now, run, running, until

TREE = Path(__file__).parents[3]
FREE: dict[str, Any] = {"agents": "127.0.0.1:0", "grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}


def ended(capsys: pytest.CaptureFixture[str], settings: Settings) -> tuple[int, list[dict[str, Any]]]:
    """(exit status, lines of the log) of a start that ends by itself."""
    status = asyncio.run(asyncio.wait_for(pipeline.run(settings, asyncio.Event()), 20))
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("listener", ["agents", "grpc", "http"])
def test_a_port_that_another_one_has_ends_it_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listener: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = Settings(data=tmp_path, **FREE | {listener: f"127.0.0.1:{port}"})
        status, lines = ended(capsys, settings)
    assert status == 4
    (failed,) = [line for line in lines if line["level"] == "error"]
    assert failed["event"] == "aggregator_failed"
    assert f"--{listener} 127.0.0.1:{port}" in failed["reason"] and f"--{listener}" in failed["remedy"]


@pytest.mark.parametrize("place", ["a file", "in use", "beneath a file"])
def test_a_data_directory_that_cannot_be_used_ends_it_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    data = {"a file": tmp_path / "file", "in use": tmp_path / "data", "beneath a file": tmp_path / "file" / "data"}
    (tmp_path / "file").write_text("")

    async def test() -> None:
        async with running(tmp_path / "data"):
            settings = Settings(data=data[place], **FREE)
            assert await pipeline.run(settings, asyncio.Event()) == 4

    run(test)
    (failed,) = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["level"] == "error"]
    assert "--data" in failed["reason"] + failed["remedy"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"catalog_default_owner": "a b"},
        {"http_security": ListenerSecurity(token_file=Path("/nonexistent/token"))},
        {"vendors": Path("/nonexistent/vendors.yaml")},
        {"allowed_vendors": ("Strpe",)},
    ],
    ids=["owner", "token", "vendors", "allowed vendors"],
)
def test_wrong_use_ends_it_with_its_own_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    status, lines = ended(capsys, Settings(data=tmp_path, **FREE | wrong))
    assert status == 2
    assert [line["event"] for line in lines] == ["aggregator_starting", "aggregator_failed"]


def test_a_wrong_file_of_vendors_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text("# ours\nbank.test: [Bank]\n")
    status, lines = ended(capsys, Settings(data=tmp_path / "data", vendors=file, **FREE))
    assert status == 2
    assert lines[-1]["reason"] == (
        f"{file}:2: 'bank.test' needs a vendor and a category; write it like stripe.com: [Stripe, payments]."
    )


def test_what_was_damaged_and_what_was_restored_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        one = agent()
        async with running(tmp_path) as aggregator:
            stream = Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            await stream.bring(batch_now(one))
        (checkpoint,) = tmp_path.glob("checkpoint-*.bin")
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
        (segment,) = tmp_path.glob("journal-*.log")
        with segment.open("ab") as file:
            file.write(b"half a record")
        async with running(tmp_path) as aggregator:
            damaged = aggregator.events("journal_damaged")
            assert {Path(line["file"]).name for line in damaged} == {checkpoint.name, segment.name}
            assert [line["cut_bytes"] for line in damaged if line["file"] == str(segment)] == [len(b"half a record")]
            (restored,) = aggregator.events("journal_restored")
            assert (restored["records"], restored["refused"], restored["checkpoint_position"]) == (2, 0, 0)

    run(test)


def test_the_summary_and_the_metrics_say_what_happened(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path, summary_seconds=1.0) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            one.flows.append({"flow": 99, "connections": 1})
            await stream.bring(batch_now(one))
            spoiled = batch_now(one)
            spoiled.sequence = 0
            await stream.bring(spoiled)
            metrics = await aggregator.metrics()
            assert metrics['dropped_total{reason="undefined_flow"}'] == 1
            assert (metrics["known_hosts"], metrics["known_flows"]) == (1, 1)
            assert metrics["journal_bytes"] > 0
            await until(lambda: aggregator.events("aggregator_summary"))
            summary = aggregator.events("aggregator_summary")[0]
            assert {name: summary[name] for name in ("agents", "batches", "records", "refused", "watchers")} == {
                "agents": 1,
                "batches": 2,
                "records": 3,
                "refused": {"sequence": 1},
                "watchers": 0,
            }
            assert summary["nodes"] == 2 and summary["edges"] == 1
            await until(lambda: len(aggregator.events("aggregator_summary")) > 1)
            assert aggregator.events("aggregator_summary")[1]["batches"] == 0

    run(test)


def test_a_checkpoint_is_made_when_enough_has_come_and_a_full_disk_only_delays_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_CHECKPOINT_LOOK_SECONDS", 0.02)

    async def test() -> None:
        # A checkpoint takes this file's place; there is none for it.
        blocked = tmp_path / "checkpoint.new"
        blocked.mkdir()
        async with running(tmp_path, checkpoint_bytes=1) as aggregator:
            one, stream = agent(), Stream(aggregator.channel("agents"))
            await stream.greet(one.hello(0))
            await until(lambda: aggregator.events("checkpoint_failed"))
            await asyncio.sleep(0.1)
            assert len(aggregator.events("checkpoint_failed")) == 1
            blocked.rmdir()
            await stream.bring(batch_now(one))
            while not (await aggregator.metrics())["checkpoints_total"]:
                await asyncio.sleep(0.01)
            assert list(tmp_path.glob("checkpoint-*.bin"))

    run(test)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    flags = [f"--{name}={address}" for name, address in FREE.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "aggregator", *flags, "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TREE,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_with_a_checkpoint(
    tmp_path: Path, daemon: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert daemon.stdout
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != "aggregator_ready":
        lines.append(json.loads(daemon.stdout.readline()))

    async def report() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{lines[-1]['agents_port']}") as channel:
            one, stream = agent(), Stream(channel)
            await stream.greet(one.hello(0))
            assert await stream.bring(batch_now(one)) == 1
            daemon.send_signal(number)
            await stream.refusal()

    asyncio.run(report())
    began = time.monotonic()
    out, errors = daemon.communicate(timeout=20)
    assert (daemon.returncode, errors) == (0, "")
    assert time.monotonic() - began < 5
    events = [json.loads(line) for line in out.splitlines()]
    stopping = [line for line in events if line["event"] == "aggregator_stopping"]
    assert [line["reason"] for line in stopping] == [number.name]
    assert events[-1]["event"] == "aggregator_stopped"
    (checkpoint,) = (tmp_path / "data").glob("checkpoint-*.bin")
    assert int(checkpoint.stem.removeprefix("checkpoint-")) == events[-1]["journal_position"] > 0
