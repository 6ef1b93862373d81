"""The minute's line says what was seen and whether it is delivered; understanding too little is told once."""

import io
import json
import socket
import struct
import time
from collections import Counter
from typing import Any

import pytest
from plumbline.v1.flow_pb2 import PROTOCOL_DNS, PROTOCOL_HTTP, PROTOCOL_TCP

from agent.metrics import serve
from agent.outbox import Outbox
from agent.packing import Status
from agent.reachability import Reachability
from agent.telemetry import Telemetry
from telemetry.log import Form, Log
from tests.unit.agent.rows import portion


def status(parsed_bytes: int = 0, all_bytes: int = 0, **lost: int) -> Status:
    return Status(1, lost=Counter(lost), parsed_bytes=parsed_bytes, all_bytes=all_bytes)


def events(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_minute() -> None:
    text = io.StringIO()
    log, outbox = Log("alpha", text, Form.JSON), Outbox()
    telemetry = Telemetry(log, outbox, Reachability("127.0.0.1:7170", log, lambda: 0.0), 1.0)
    requests = [
        {"flow": 1, "protocol": PROTOCOL_HTTP, "count": 5},
        {"flow": 2, "protocol": PROTOCOL_DNS, "count": 2},
        {"flow": 1, "protocol": PROTOCOL_TCP, "count": 9},
    ]
    first = portion(0, 1, [{"flow": 1}, {"flow": 2}], requests)
    telemetry.drained(first, status(10, 100, ring_full=3), 0.01)
    outbox.add(first, status())
    telemetry.drained(portion(1, 2, [{"flow": 1}]), status(0, 0, ring_full=1), 0.01)
    telemetry.summarise()
    losing, summary, low = events(text)
    assert (losing["event"], losing["reason"], losing["count"]) == ("losing", "ring_full", 3)
    assert summary["event"] == "summary"
    assert {name: summary[name] for name in ("edges", "flows", "requests", "lost", "waiting_rows", "coverage")} == {
        "edges": 2, "flows": 3, "requests": 7, "lost": {"ring_full": 4}, "waiting_rows": 5, "coverage": 0.1,
    }  # fmt: skip
    assert summary["working_set_bytes"] > 10_000_000
    assert (low["event"], low["coverage"]) == ("coverage_low", 0.1)

    telemetry.drained(portion(2, 3), status(10, 100), 0.01)
    telemetry.summarise()
    telemetry.drained(portion(3, 4), status(99, 100), 0.01)
    telemetry.summarise()
    later = events(text)[3:]
    assert [one["event"] for one in later] == ["summary", "summary", "coverage_restored"]
    assert later[0]["edges"] == 0


def test_a_client_of_the_metrics_that_goes_away_is_counted(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log("alpha", io.StringIO(), Form.JSON)
    telemetry = Telemetry(log, Outbox(), Reachability("127.0.0.1:7170", log, lambda: 0.0), 1.0)
    with serve(telemetry, "127.0.0.1:0") as server:
        with socket.create_connection(server.server_address[:2]) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
        until = time.monotonic() + 5
        while not telemetry.clients_gone and time.monotonic() < until:
            time.sleep(0.01)
        server.shutdown()
    assert [one.samples[0].value for one in telemetry.collect() if one.name.endswith("metrics_clients_gone")] == [1]
    assert capfd.readouterr().err == ""
