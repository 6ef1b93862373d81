"""What is missed is told as lost, and the connection is followed again from its next request, as it was said."""

from collections import Counter

import pytest
from plumbline.v1.flow_pb2 import PROTOCOL_TCP

from tests.kernel.wire import SIDES, Counted, Wire, connection, say

pytestmark = pytest.mark.kernel
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
# As many answers in turn make a client trusted, of HTTP_TRUSTED in bpf/protocols/http/state.c.
TRUSTED = 8
# Lines that matter, though they say nothing, around the number that one segment has room for: 34 runs of a program.
FILLERS = (*range(20, 36), *range(92, 106))
Row = tuple[str, str, str]


def get(path: str, host: str, fillers: int = 0) -> bytes:
    lines = "Transfer-Encoding: identity\r\n" * fillers
    return f"GET {path} HTTP/1.1\r\n{lines}Host: {host}\r\n\r\n".encode()


def rows(wire: Wire, seen: Counted) -> Counter[Row]:
    """By side, path and host, which a client knows."""
    counted: Counter[Row] = Counter()
    for row in (one for one in seen.request_rows if one["protocol"] != PROTOCOL_TCP):
        host = wire.names.get(row["host"], "")
        counted[SIDES[wire.flow(row["flow"]).role], wire.name(row["name"]), host] += row["count"]
    return counted


@pytest.mark.parametrize("fillers", FILLERS)
def test_what_follows_more_lines_than_are_read_at_once_is_what_was_said(wire: Wire, fillers: int) -> None:
    wire.counted()
    with connection() as (client, server):
        asked = [get("/before", "one.example")] * TRUSTED
        asked += [
            get("/long", "two.example", fillers),
            *[get("/long", "two.example"), get("/after", "two.example")] * 2,
        ]
        for one in asked:
            say(client, server, one)
            say(server, client, OK)
        seen = wire.counted()
    expected = Counter({("client", "/before", "one.example"): TRUSTED, ("server", "/before", ""): TRUSTED})
    for side, host in (("client", "two.example"), ("server", "")):
        expected[side, "/long", host], expected[side, "/after", host] = 3, 2
    counted = rows(wire, seen)
    assert not counted - expected
    missing = expected - counted
    assert set(missing) <= {("client", "/long", "two.example"), ("server", "/long", "")}
    assert all(missing[row] == 1 for row in missing)
    assert seen.lost.get("http_lines", 0) == missing.total()
    assert set(seen.lost) <= {"http_lines", "http_gap", "http_requests", "http_unpaired"}
