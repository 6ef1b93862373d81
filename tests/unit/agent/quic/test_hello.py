"""The name in a TLS hello, and in what only looks like one."""

import random
import ssl
from collections import Counter

import pytest

from agent.quic.hello import LONGEST_NAME, NotHello, Unfinished, server_name

NAME = "api.pay.example"


def real_hello(name: str = NAME) -> bytes:
    """As OpenSSL makes it, without a record around it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()[5:]


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def extension(kind: int, content: bytes) -> bytes:
    return number(kind) + number(len(content)) + content


def named(name: bytes, kind: int = 0) -> bytes:
    entry = bytes([kind]) + number(len(name)) + name
    return extension(0, number(len(entry)) + entry)


def hello(*extensions: bytes) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\0" + number(4) + bytes(4) + b"\1\0"
    if extensions:
        body += number(sum(map(len, extensions))) + b"".join(extensions)
    return b"\1" + number(len(body), 3) + body


def test_a_real_one() -> None:
    assert server_name(real_hello()) == NAME.encode()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (hello(), b""),
        (hello(extension(21, bytes(10))), b""),
        (hello(named(b"A.example")), b"A.example"),
        (hello(*(extension(1000 + at, bytes(at % 7)) for at in range(199)), named(b"last.example")), b"last.example"),
        (hello(extension(51, bytes(9000)), named(b"far.example")), b"far.example"),
        (hello(named(b"x" * LONGEST_NAME)), b"x" * LONGEST_NAME),
        (hello(named(b"x" * (LONGEST_NAME + 1))), b""),
        (hello(named(b"x" * 10_000)), b""),
        (hello(named(b"a.example", kind=1)), b""),
        (hello(named(b"")), b""),
        (hello(extension(0, b"")), b""),
    ],
)
def test_any_shape(said: bytes, name: bytes) -> None:
    assert server_name(said) == name


def test_cut_at_each_byte_it_has_its_name_as_soon_as_that_is_there() -> None:
    said = real_hello()
    end = said.index(NAME.encode()) + len(NAME)
    for cut in range(end):
        with pytest.raises(Unfinished):
            server_name(said[:cut])
    assert {server_name(said[:cut]) for cut in range(end, len(said) + 1)} == {NAME.encode()}


@pytest.mark.parametrize(
    "said",
    [
        b"\2" + hello()[1:],
        hello(named(b"a.example"))[:-20] + b"\xff" * 20,
        b"\1" + number(10, 3) + bytes(100),
        hello(extension(21, b"")[:2] + b"\xff\xff" + bytes(4)),
        hello(extension(0, number(5) + b"\0" + number(9) + b"ab")),
    ],
)
def test_what_is_none_is_told_from_what_is_not_there_yet(said: bytes) -> None:
    with pytest.raises(NotHello):
        server_name(said)


def test_bytes_at_random() -> None:
    dice, found = random.Random(5), Counter[str]()
    for _ in range(20_000):
        said = bytearray(real_said)
        for _ in range(dice.randrange(1, 12)):
            said[dice.randrange(len(said))] = dice.randrange(256)
        try:
            found["named"] += len(server_name(bytes(said[: dice.randrange(len(said) + 1)]))) <= LONGEST_NAME
        except (NotHello, Unfinished) as why:
            found[type(why).__name__] += 1
    assert found.total() == 20_000 and len(found) == 3


real_said = hello(*(extension(30 + at, bytes(at)) for at in range(9)), named(NAME.encode()), extension(21, bytes(40)))
