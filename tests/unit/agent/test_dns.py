"""DNS responses: aliases, both address families, cut messages, hostile pointers; nothing makes the parser fail."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from agent.dns import parse_response

A, CNAME, AAAA = 1, 5, 28
MAPPED = bytes(10) + b"\xff\xff"


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(owner: bytes, kind: int, data: bytes, ttl: int = 300) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def response(question: bytes, *records: bytes, kind: int = A, flags: int = 0x8180, answers: int | None = None) -> bytes:
    count = len(records) if answers is None else answers
    return struct.pack("!HHHHHH", 7, flags, 1, count, 0, 0) + question + struct.pack("!HH", kind, 1) + b"".join(records)


def test_the_name_that_was_asked_for_gets_the_addresses_behind_its_aliases() -> None:
    message = response(
        name("API.Pay.example"),
        record(b"\xc0\x0c", CNAME, name("edge.cdn.example"), 60),
        record(name("edge.cdn.example"), CNAME, name("e7.cdn.example"), 20),
        record(name("e7.cdn.example"), A, b"\xc0\x00\x02\x01"),
        record(name("e7.cdn.example"), A, b"\xc0\x00\x02\x02"),
        record(name("else.example"), A, b"\x0a\x00\x00\x01"),
    )
    parsed = parse_response(message)
    assert parsed is not None
    assert (parsed.name, parsed.kind, parsed.rcode, parsed.ttl_seconds) == ("api.pay.example", A, 0, 20)
    assert parsed.addresses == (MAPPED + b"\xc0\x00\x02\x01", MAPPED + b"\xc0\x00\x02\x02")


def test_ipv6_and_a_name_that_does_not_exist() -> None:
    address = bytes.fromhex("20010db8000000000000000000000001")
    parsed = parse_response(response(name("a.example"), record(b"\xc0\x0c", AAAA, address), kind=AAAA))
    assert parsed is not None
    assert parsed.addresses == (address,)
    missing = parse_response(response(name("b.example"), flags=0x8183))
    assert missing is not None
    assert (missing.rcode, missing.addresses) == (3, ())


def test_a_cut_message_tells_what_came_before_the_cut() -> None:
    whole = response(
        name("a.example"),
        record(b"\xc0\x0c", A, b"\xc0\x00\x02\x01"),
        record(b"\xc0\x0c", A, b"\xc0\x00\x02\x02"),
    )
    parsed = parse_response(whole[:-3])
    assert parsed is not None
    assert parsed.addresses == (MAPPED + b"\xc0\x00\x02\x01",)


def test_pointers_that_lead_nowhere_or_round_in_circles() -> None:
    assert parse_response(response(b"\xc0\x0c")) is None
    assert parse_response(response(b"\xff\xff")) is None
    forward = response(name("a.example"), record(b"\xc0\x60", A, b"\x0a\x00\x00\x01"))
    parsed = parse_response(forward)
    assert parsed is not None
    assert parsed.addresses == ()
    circle = response(
        name("a.example"),
        record(name("a.example"), CNAME, name("b.example")),
        record(name("b.example"), CNAME, name("a.example")),
    )
    parsed = parse_response(circle)
    assert parsed is not None
    assert parsed.addresses == ()


def test_hostile_labels_become_visible() -> None:
    parsed = parse_response(response(b"\x07a\nb\x1b[1m\0"))
    assert parsed is not None
    assert parsed.name == r"a\x0ab\x1b[1m"


def test_queries_and_other_things_are_no_responses() -> None:
    assert parse_response(response(name("a.example"), flags=0x0100)) is None
    assert parse_response(b"") is None
    assert parse_response(bytes(12)) is None


@given(st.binary(max_size=512))
def test_garbage_never_fails(raw: bytes) -> None:
    parse_response(raw)


GOOD = response(
    name("api.pay.example"),
    record(b"\xc0\x0c", CNAME, name("edge.example")),
    record(name("edge.example"), A, b"\xc0\x00\x02\x01"),
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_damaged_responses_never_fail(damage: list[tuple[int, int]], length: int) -> None:
    raw = bytearray(GOOD)
    for at, value in damage:
        raw[at] = value
    parsed = parse_response(bytes(raw[:length]))
    if parsed is not None:
        assert parsed.name.isprintable()
        assert all(len(address) == 16 for address in parsed.addresses)
