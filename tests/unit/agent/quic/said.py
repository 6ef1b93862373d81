"""What clients of QUIC say: by aioquic, which knows nothing of our code."""

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair

V1, V2 = 1, 0x6B3343CF
KINDS = {V1: 0xC0, V2: 0xD0}
# Words that make a hello longer: each is told with its length.
LONG_WORDS = [f"{at:03}".ljust(100, "x") for at in range(40)]


def datagrams(name: str | None, version: int = V1, words: int = 0) -> list[bytes]:
    """A client's first ones; with more words its hello is longer."""
    configuration = QuicConfiguration(
        is_client=True,
        server_name=name,
        alpn_protocols=["h3", *LONG_WORDS[:words]],
        supported_versions=[version],
        original_version=version,
    )
    connection = QuicConnection(configuration=configuration)
    connection.connect(("203.0.113.1", 443), now=0.0)
    return [said for said, _ in connection.datagrams_to_send(now=0.0)]


def number(value: int) -> bytes:
    """As QUIC writes it, in two bytes or four."""
    return (value | 0x4000).to_bytes(2, "big") if value < 0x4000 else (value | 0x80000000).to_bytes(4, "big")


def sealed(
    frames: bytes, destination: bytes = b"destined", at: int = 0, version: int = V1, own: bytes = b"own"
) -> bytes:
    """A client's packet with these frames, under the keys of this destination."""
    return sealed_for(destination, destination, frames, at, version, own)


def sealed_for(
    keys: bytes, destination: bytes, frames: bytes, at: int = 0, version: int = V1, own: bytes = b"own"
) -> bytes:
    """The same where the server has chosen another id since."""
    pair = CryptoPair()
    pair.setup_initial(cid=keys, is_client=True, version=version)
    frames = frames.ljust(1, b"\0")
    header = bytes([KINDS[version] | 3]) + version.to_bytes(4, "big")
    header += bytes([len(destination)]) + destination + bytes([len(own)]) + own + b"\0"
    header += number(4 + len(frames) + 16) + at.to_bytes(4, "big")
    return bytes(pair.encrypt_packet(header, frames, at))


def crypto(offset: int, piece: bytes) -> bytes:
    return b"\x06" + number(offset) + number(len(piece)) + piece


def filled(frames: bytes, size: int = 1162) -> bytes:
    return frames.ljust(size, b"\0")
