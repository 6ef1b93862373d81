"""Each way to end has its exit status and, when it is not the wanted one, one sentence on stderr."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc import StatusCode as Code

from cli.__main__ import plumb

from .conftest import TREE, Served, run


@pytest.mark.parametrize(
    ("code", "details", "status", "says"),
    [
        (Code.INVALID_ARGUMENT, "A window of 9 days is more than is kept; ask for less.", 2, "more than is kept"),
        (Code.UNIMPLEMENTED, "Method not found!", 2, "use a plumb and an aggregator of one version"),
        (Code.FAILED_PRECONDITION, "Nothing was seen yet; wait.", 3, "Nothing was seen yet"),
        (Code.UNAUTHENTICATED, "", 4, "give it with --token-file"),
        (Code.UNAVAILABLE, "No catalog is loaded; start it with --catalog.", 4, "start it with --catalog"),
        (Code.UNAVAILABLE, "Socket closed", 4, "start one (plumb up)"),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", 4, "did not answer in 30 s"),
        (Code.INTERNAL, "", 4, "The aggregator failed (INTERNAL)."),
    ],
)
def test_what_the_aggregator_refuses(served: Served, code: Code, details: str, status: int, says: str) -> None:
    served.refusal = (code, details)
    ended = run("graph", "--aggregator", served.address)
    assert (ended.status, ended.stdout) == (status, "")
    assert ended.stderr.startswith("plumb: ")
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["graph", "--tls-ca", "no/such.pem"], "no/such.pem"),
        (["graph", "--tls-cert", "{file}"], "give both --tls-cert and --tls-key"),
        (["graph", "--tls-cert", "{file}", "--tls-key", "{file}"], "--tls-ca"),
        (["graph", "--tls-ca", "{file}"], "{file} holds no certificate"),
        (["graph", "--aggregator", "nowhere"], "HOST:PORT"),
        (["graph", "--aggregator", "127.0.0.1:99999"], "HOST:PORT"),
        (["graph", "--aggregator", "::1:7171"], "HOST:PORT"),
        (["watch", "--window", "0s"], "no span of time"),
        (["export"], "Missing argument 'FORM'"),
        (["agent", "--interval", "often"], "'often' is not a valid float"),
        (["agent", "--host", ""], "plumb: "),
        (["agent", "--aggregator", "192.0.2.1:7170"], "--insecure"),
        (["agent", "--interval", "-1"], "plumb: "),
        (["aggregator", "--agents", "0.0.0.0:7170"], "--insecure"),
        (["aggregator", "--retention", "soon"], "no span of time"),
        (["aggregator", "--inside", "ten"], "ten"),
        (["doctor", "-o", "dot"], "'dot' is not one of"),
    ],
)
def test_wrong_use(arguments: list[str], says: str, tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("")
    ended = run(*(argument.replace("{file}", str(file)) for argument in arguments))
    assert (ended.status, ended.stdout) == (2, "")
    assert says.replace("{file}", str(file)) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_no_command_shows_what_there_is() -> None:
    ended = run()
    assert ended.status == 2
    assert "Commands:" in ended.stderr


@pytest.mark.parametrize("name", plumb.list_commands(None))  # type: ignore[arg-type]
def test_every_command_explains_itself(name: str) -> None:
    ended = run(name, "--help")
    assert ended.status == 0
    assert ended.stdout.startswith(f"Usage: plumb {name} [OPTIONS]")


def test_help_does_not_wait_for_what_it_does_not_need(started: Callable[..., subprocess.Popen[str]]) -> None:
    """By its CPU: others on this machine take only time from it."""
    seconds = []
    for _ in range(3):
        before = os.times()
        stdout, _ = started("--help").communicate(timeout=20)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert "thirdparties" in stdout
    assert 0 < min(seconds) < 0.2


def test_the_reader_of_a_long_answer_may_go_away(served: Served) -> None:
    served.topology.nodes.extend(served.topology.nodes[0] for _ in range(5000))
    shell = f"set -o pipefail; .venv/bin/python -m cli graph -o json --aggregator {served.address} | head -n 1"
    ended = subprocess.run(["bash", "-c", shell], cwd=TREE, capture_output=True, text=True, check=False, timeout=20)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "{\n", "")


@pytest.mark.parametrize("arguments", ["graph -o json", "show alpha/backend", "graph --help", "--help"])
def test_an_answer_that_finds_no_room_is_told_in_a_sentence(served: Served, arguments: str) -> None:
    access = "" if "--help" in arguments else f"--aggregator {served.address}"
    shell = f".venv/bin/python -m cli {arguments} {access} > /dev/full"
    ended = subprocess.run(["bash", "-c", shell], cwd=TREE, capture_output=True, text=True, check=False, timeout=20)
    sentence = "plumb: The answer could not be written (No space left on device); make room there.\n"
    assert (ended.returncode, ended.stderr) == (4, sentence)
