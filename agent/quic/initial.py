"""QUIC's Initial packets: their sealing is by keys that follow from what stands in them in clear (RFC 9001, section 5).

Pure, and safe against hostile input. Versions 1 and 2 (RFC 9369).
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_LONGEST_ID, _LONGEST_NUMBER, _TAG, _SAMPLE = 20, 4, 16, 16
_PADDING, _PING, _ACK, _ACK_WITH_ECN, _CRYPTO, _CLOSE = 0, 1, 2, 3, 6, 0x1C


class _Version(NamedTuple):
    kind: int  # of its Initial packets: the first byte's upper half
    salt: bytes
    label: bytes


_VERSIONS: Final = {
    1: _Version(0xC0, bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic "),
    0x6B3343CF: _Version(0xD0, bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2 "),
}


class Malformed(Exception):
    """Not what the standard says."""


@dataclass(frozen=True, slots=True)
class Initial:
    """A packet as it came: where in its datagram its number begins (`begin` is the header's start), and its end."""

    version: int
    destination: bytes
    datagram: bytes
    begin: int
    number_at: int
    end: int


class Keys:
    """Of what a client sends in a connection that began with this destination."""

    def __init__(self, version: int, destination: bytes) -> None:
        self.of = version, destination
        salt, label = _VERSIONS[version].salt, _VERSIONS[version].label
        secret = _expanded(hmac.digest(salt, destination, "sha256"), b"client in", 32)
        self._sealing = AESGCM(_expanded(secret, label + b"key", 16))
        self._iv = int.from_bytes(_expanded(secret, label + b"iv", 12), "big")
        header = algorithms.AES(_expanded(secret, label + b"hp", 16))
        self._header = Cipher(header, modes.ECB()).encryptor()  # noqa: S305 - one block, as the standard wants it

    def opened(self, packet: Initial) -> bytes | None:
        """Its frames; None where it is not sealed by these keys."""
        said, at = packet.datagram, packet.number_at
        sample = at + _LONGEST_NUMBER
        if packet.end < sample + _SAMPLE:
            return None
        mask = self._header.update(said[sample : sample + _SAMPLE])
        first = said[packet.begin] ^ mask[0] & 0x0F
        size = (first & 3) + 1
        number = bytes(a ^ b for a, b in zip(said[at : at + size], mask[1:], strict=False))
        header = bytes([first]) + said[packet.begin + 1 : at] + number
        nonce = (self._iv ^ int.from_bytes(number, "big")).to_bytes(12, "big")
        try:
            return self._sealing.decrypt(nonce, said[at + size : packet.end], header)
        except InvalidTag:
            return None


def initials(datagram: bytes) -> Iterator[Initial]:
    """Those at its beginning; a client puts nothing before them."""
    at = 0
    while (found := _initial(datagram, at)) is not None:
        yield found
        at = found.end


def crypto_pieces(frames: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of the handshake, as they stand in an opened packet. Raises Malformed."""
    at = 0
    while at < len(frames):
        kind, at = frames[at], at + 1
        if kind in (_PADDING, _PING):
            continue
        if kind == _CLOSE:
            return
        if kind in (_ACK, _ACK_WITH_ECN):
            at = _behind_ack(frames, at, kind)
            continue
        if kind != _CRYPTO:
            raise Malformed
        offset, at = _varint(frames, at)
        length, at = _varint(frames, at)
        if at + length > len(frames):
            raise Malformed
        yield offset, frames[at : at + length]
        at += length


def _behind_ack(frames: bytes, at: int, kind: int) -> int:
    for _ in range(2):  # the largest that it is about, and a delay
        _, at = _varint(frames, at)
    ranges, at = _varint(frames, at)
    if ranges > len(frames):
        raise Malformed
    for _ in range(1 + 2 * ranges + (3 if kind == _ACK_WITH_ECN else 0)):
        _, at = _varint(frames, at)
    return at


def _initial(datagram: bytes, begin: int) -> Initial | None:
    version = int.from_bytes(datagram[begin + 1 : begin + 5], "big")
    if version not in _VERSIONS or datagram[begin] & 0xF0 != _VERSIONS[version].kind:
        return None
    try:
        destination, at = _id(datagram, begin + 5)
        _, at = _id(datagram, at)
        token, at = _varint(datagram, at)
        length, at = _varint(datagram, at + token)
    except Malformed:
        return None
    if length < _TAG or at + length > len(datagram):
        return None
    return Initial(version, destination, datagram, begin, at, at + length)


def _id(datagram: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(datagram) or datagram[at] > _LONGEST_ID or at + 1 + datagram[at] > len(datagram):
        raise Malformed
    end = at + 1 + datagram[at]
    return datagram[at + 1 : end], end


def _varint(said: bytes, at: int) -> tuple[int, int]:
    """A number in as many bytes as its first two bits say, and where it ends."""
    if at >= len(said):
        raise Malformed
    end = at + (1 << (said[at] >> 6))
    if end > len(said):
        raise Malformed
    size = 8 * (end - at)
    return int.from_bytes(said[at:end], "big") & ((1 << (size - 2)) - 1), end


def _expanded(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label without a context, of at most one block."""
    full = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.digest(secret, info + b"\1", hashlib.sha256)[:length]
