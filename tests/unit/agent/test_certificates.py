"""Certificates in what servers say: however that is cut, and in whatever only looks like it."""

import random
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from plumbline.v1 import columns, flow_pb2

from agent import certificates
from agent.certificates import PATIENCE_NS, Certificates, NotShown, Unreadable, leaf_of, valid_to
from agent.coalescing import REQUESTS, empty
from agent.records import ServerHelloSeen

NOW_NS = 1_700_000_000 * 10**9
FIRST = 2**32 - 700  # so that the numbers of its bytes begin anew in the midst
SERVER_HELLO, KEY_EXCHANGE, DONE, CHANGE = 2, 12, 14, 20


@pytest.fixture(scope="session")
def der(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """As openssl makes one that is valid for three days, and its last second by openssl's own word."""
    place = tmp_path_factory.mktemp("certificate")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=api.pay.example -outform DER".split()
    subprocess.run([*make, "-keyout", place / "key", "-out", place / "der"], capture_output=True, check=True)
    told = "openssl x509 -inform DER -noout -enddate -in".split()
    said = subprocess.run([*told, place / "der"], capture_output=True, check=True, text=True).stdout
    date = ["date", "-u", "-d", said.strip().partition("=")[2], "+%s"]
    end = subprocess.run(date, capture_output=True, check=True, text=True).stdout
    return Path(place / "der").read_bytes(), int(end)


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + number(len(body), 3) + body


def shown(*ders: bytes) -> bytes:
    chain = b"".join(number(len(one), 3) + one for one in ders)
    return message(11, number(len(chain), 3) + chain)


def records(said: bytes, size: int = 16_384) -> bytes:
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    return b"".join(b"\x16\x03\x03" + number(len(piece), 2) + piece for piece in pieces)


def flight(*ders: bytes, size: int = 16_384) -> bytes:
    """What a server says first."""
    hello = message(SERVER_HELLO, b"\x03\x03" + bytes(70))
    return records(hello + shown(*ders) + message(KEY_EXCHANGE, bytes(300)) + message(DONE, b""), size)


def pieces(said: bytes, size: int, connection: int = 5, flow: int = 50, at_ns: int = NOW_NS) -> list[ServerHelloSeen]:
    return [
        ServerHelloSeen(connection, flow, (FIRST + at) % 2**32, count, at_ns, said[at : at + size])
        for count, at in enumerate(range(0, len(said), size))
    ]


def rows(kept: Certificates, now_ns: int = NOW_NS) -> list[tuple[int, int]]:
    """(flow, second) of each that was read."""
    found = kept.beside(empty(REQUESTS), now_ns)
    assert set(found["protocol"].tolist()) <= {flow_pb2.PROTOCOL_TLS}
    assert set(found["operation"].tolist()) <= {columns.CERTIFICATE} and set(found["count"].tolist()) <= {1}
    seconds = found["kind"].astype(np.int64) << 16 | found["code"].astype(np.int64)
    return list(zip(found["flow"].tolist(), seconds.tolist(), strict=True))


@pytest.mark.parametrize("record", [1, 50, 1000, 16_384])
@pytest.mark.parametrize("segment", [1, 7, 1448, 100_000])
def test_the_first_of_a_chain_is_the_server_s(der: tuple[bytes, int], record: int, segment: int) -> None:
    kept = Certificates()
    for piece in pieces(flight(der[0], b"another", size=record), segment):
        kept.heard(piece)
    assert rows(kept) == [(50, der[1])] and rows(kept) == []
    assert kept.take_lost() == {}


def test_it_is_read_as_soon_as_it_is_there(der: tuple[bytes, int]) -> None:
    said = flight(der[0])
    end = said.index(der[0]) + len(der[0])
    assert [leaf_of(said[:cut]) for cut in range(end)] == [None] * end
    assert {leaf_of(said[:cut]) for cut in range(end, len(said) + 1)} == {der[0]}


def test_a_piece_that_is_missing_is_told_when_it_does_not_come(der: tuple[bytes, int]) -> None:
    kept = Certificates()
    for piece in pieces(flight(der[0]), 300)[::2]:
        kept.heard(piece)
    assert rows(kept, NOW_NS + PATIENCE_NS) == [] and kept.take_lost() == {}
    assert rows(kept, NOW_NS + PATIENCE_NS + 1) == [] and kept.take_lost() == {"certificate_unread": 1}


@pytest.mark.parametrize(
    "said",
    [
        records(message(SERVER_HELLO, bytes(70))) + b"\x14\x03\x03\x00\x01\x01",  # it goes on from another session
        records(message(SERVER_HELLO, bytes(70)) + message(DONE, b"")),
        records(shown()),
    ],
)
def test_a_server_may_show_none(said: bytes) -> None:
    with pytest.raises(NotShown):
        leaf_of(said)
    kept = Certificates()
    kept.heard(pieces(said, 4000)[0])
    assert rows(kept, NOW_NS + 2 * PATIENCE_NS) == [] and kept.take_lost() == {}


@pytest.mark.parametrize(
    "said",
    [
        records(message(11, number(9, 3) + number(9, 3) + bytes(5))),
        records(message(11, bytes(9))),
        flight(b"no certificate"),
        flight(b"\x30\x82\x01\x00" + bytes(256)),
    ],
)
def test_what_is_none_is_lost(said: bytes) -> None:
    kept = Certificates()
    kept.heard(pieces(said, 4000)[0])
    assert rows(kept) == [] and kept.take_lost() == {"certificate_unread": 1}


def test_bytes_at_random(der: tuple[bytes, int]) -> None:
    dice, found = random.Random(4), Counter[str]()
    for _ in range(3_000):
        said = bytearray(flight(der[0], size=dice.choice([60, 16_384])))
        for _ in range(dice.randrange(1, 8)):
            said[dice.randrange(len(said))] = dice.randrange(256)
        try:
            leaf = leaf_of(bytes(said[: dice.randrange(len(said))]))
            found["none" if leaf is None else f"end {valid_to(leaf) > 0}"] += 1
        except (NotShown, Unreadable) as why:
            found[type(why).__name__] += 1
    assert found.total() == 3_000 and found["none"] and found["Unreadable"]


def test_handshakes_that_are_read_are_bounded(monkeypatch: pytest.MonkeyPatch, der: tuple[bytes, int]) -> None:
    monkeypatch.setattr(certificates, "MOST_HANDSHAKES", 10)
    kept = Certificates()
    for connection in range(30):
        kept.heard(pieces(flight(der[0]), 500, connection)[0])
    assert len(kept._handshakes) == 10 and kept.take_lost() == {"certificate_unread": 20}
