"""Initial packets: the standard's own, a real client's, and hostile ones."""

import random
from collections import Counter

import pytest

from agent.quic.connections import MALFORMED, MOST_BYTES, SEALED, Reading, Unread
from agent.quic.initial import Initial, Keys, Malformed, crypto_pieces, initials
from tests.unit.agent.quic.said import V1, V2, crypto, datagrams, filled, sealed, sealed_for
from tests.unit.agent.quic.test_hello import NAME, extension, hello, named, real_hello

DESTINATION = bytes.fromhex("8394c8f03e515708")
# RFC 9001, appendix A.2.
FRAMES = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0000000"
    "10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501000000000033"
    "00260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
    "0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff"
)
# The header under its protection and the sample behind it; RFC 9369, appendix A.2, has the other one.
BEGINS = {
    V1: "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b",
    V2: "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071",
}
TAG = "e221af44860018ab0856972e194cd934"


def only(datagram: bytes) -> Initial:
    (packet,) = initials(datagram)
    return packet


@pytest.mark.parametrize("version", [V1, V2])
def test_the_standard_s_own(version: int) -> None:
    said = sealed(filled(FRAMES), DESTINATION, at=2, version=version, own=b"")
    assert len(said) == 1200 and said.hex().startswith(BEGINS[version])
    assert version != V1 or said.hex().endswith(TAG)  # of all bytes
    packet = only(said)
    assert (packet.version, packet.destination) == (version, DESTINATION)
    assert Keys(version, DESTINATION).opened(packet) == filled(FRAMES)
    assert Reading().read(said) == b"example.com"


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(("words", "count"), [(0, 1), (9, 2), (24, 3)])
def test_a_real_client_s(version: int, words: int, count: int) -> None:
    said = datagrams(NAME, version, words)
    assert len(said) == count
    for order in (said, said[::-1]):
        reading = Reading()
        assert [reading.read(one) for one in order][-1] == NAME.encode()


def test_one_that_names_nobody() -> None:
    assert Reading().read(datagrams(None)[0]) == b""


def test_a_hello_in_pieces_of_any_order_said_again_and_overlapping() -> None:
    whole = hello(*(extension(1000 + at, bytes(90)) for at in range(30)), named(b"far.example"))
    dice = random.Random(3)
    for _ in range(50):
        cuts = sorted(dice.sample(range(1, len(whole)), 20))
        pieces = [(a, whole[a : b + dice.randrange(9)]) for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        dice.shuffle(pieces)
        reading, found = Reading(), None
        for at in range(0, len(pieces), 4):
            frames = b"\1" + b"".join(crypto(*piece) for piece in pieces[at : at + 4])
            packet = sealed(filled(frames), at=at)
            found = reading.read(packet)
            assert reading.read(packet) == found
        assert found == b"far.example"


def test_what_comes_after_the_server_has_chosen_its_id_and_after_it_asked_to_begin_again() -> None:
    said = real_hello()
    reading = Reading()
    assert reading.read(sealed(filled(crypto(0, said[:100])), b"first")) is None
    acknowledged = b"\2\0\0\0\0" + crypto(100, said[100:200])
    chosen = sealed_for(b"first", b"chosen by the server", filled(acknowledged), 1)
    assert reading.read(chosen) == NAME.encode()
    again = Reading()
    assert again.read(sealed(filled(crypto(0, said[:100])), b"first")) is None
    assert again.read(sealed(filled(crypto(0, said)), b"of the retry")) == NAME.encode()


@pytest.mark.parametrize("cut", range(0, 1200, 7))
def test_a_datagram_cut_short_has_no_name(cut: int) -> None:
    with pytest.raises(Unread, match=MALFORMED):
        Reading().read(sealed(filled(crypto(0, real_hello())))[:cut])


def test_a_hello_cut_at_each_byte_waits() -> None:
    said = real_hello()
    end = said.index(NAME.encode()) + len(NAME)
    for cut in range(1, len(said)):
        found = Reading().read(sealed(filled(crypto(0, said[:cut]))))
        assert found == (NAME.encode() if cut >= end else None)


def test_one_byte_that_is_another() -> None:
    said, why = sealed(filled(crypto(0, real_hello()))), Counter[str]()
    for at in range(len(said)):
        broken = bytearray(said)
        broken[at] ^= 0x40
        try:
            found = Reading().read(bytes(broken))
            why[f"read {found!r}"] += 1
        except Unread as reason:
            why[str(reason)] += 1
    assert set(why) == {SEALED, MALFORMED} and why[SEALED] > 1000


@pytest.mark.parametrize(
    "frames",
    [
        b"\x1e",  # a frame that has no place there
        b"\x06\x00\x44\x00abc",  # longer than the packet
        b"\x06",
        b"\x02\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",  # an acknowledgement of ranges without number
        crypto(MOST_BYTES, b"far behind"),
        crypto(0, b"\x02\x00\x00\x10" + bytes(16)),
        b"".join(crypto(1000 + at, b"x") for at in range(600)),
    ],
    ids=lambda frames: frames[:8].hex(),
)
def test_frames_that_are_not_right(frames: bytes) -> None:
    with pytest.raises(Unread, match=MALFORMED):
        Reading().read(sealed(frames if frames[-1:] == b"x" else filled(frames) if frames[0] != 6 else frames + b"\0"))


def test_a_connection_that_is_closed_at_once_says_no_more() -> None:
    assert list(crypto_pieces(crypto(0, b"a") + b"\x1c\x00\x00\x00" + b"\xff" * 9)) == [(0, b"a")]
    with pytest.raises(Malformed):
        list(crypto_pieces(b"\x03\x00"))


def test_bytes_at_random() -> None:
    dice = random.Random(11)
    for size in (0, 1, 5, 30, 1200) * 200:
        with pytest.raises(Unread, match=MALFORMED):
            Reading().read(dice.randbytes(size))
    for _ in range(300):
        with pytest.raises(Unread):
            Reading().read(b"\xc0\0\0\0\1" + bytes([8]) + dice.randbytes(8) + b"\0\0\x44\x9e" + dice.randbytes(1182))
