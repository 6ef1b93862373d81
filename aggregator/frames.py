"""How a record lies in a journal, and how whole records are found again behind damage. Pure.

    record  := u32 length of body | u32 crc32 of body | body        (little-endian)
    body    := u8 kind | u64 received_ns | u64 epoch | u16 length of host | host (UTF-8) | payload

The checksum begins with the record's position in the journal: what looks like a record inside another one's payload,
or was left by something older, is none.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from aggregator.records import JournalRecord, RecordKind

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_FRAME: Final = struct.Struct("<II")
_HEAD: Final = struct.Struct("<BQQH")
_KIND_AT: Final = _FRAME.size
_HOST_LENGTH_AT: Final = _FRAME.size + _HEAD.size - 2
_LONGEST_HOST_BYTES: Final = 4096
_SCAN_BYTES: Final = 1 << 20
# Of checksums, for each byte of what is searched: hostile content must not make a start take for ever.
_MOST_WORK: Final = 64


class Whole(NamedTuple):
    """`end`: of the record, counted from the beginning of the content."""

    end: int
    body: bytes


class Damaged(NamedTuple):
    at: int
    end: int
    why: str


def encode(record: JournalRecord, position: int) -> bytes:
    """Raises ValueError for what is too large."""
    host = record.host.encode()
    body = _HEAD.pack(record.kind, record.received_ns, record.epoch, len(host)) + host + record.payload
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"A record of {len(body)} bytes is larger than the journal takes ({MAX_BODY_BYTES}).")
    return _FRAME.pack(len(body), _checksum(body, position)) + body


def decode(body: bytes) -> JournalRecord:
    """Raises ValueError."""
    kind, received_ns, epoch, host_length = _HEAD.unpack_from(body)
    start = _HEAD.size + host_length
    return JournalRecord(RecordKind(kind), body[_HEAD.size : start].decode(), epoch, received_ns, body[start:])


def scan(content: bytes, base: int) -> Iterator[Whole | Damaged]:
    """Everything in content, whose first byte has the position `base`: in order, without a gap."""
    at = 0
    while at < len(content):
        end, why = _frame(content, base, at)
        if not why:
            yield Whole(end, content[at + _FRAME.size : end])
        else:
            end = _next_frame(content, base, at)
            yield Damaged(at, end, why)
        at = end


def _frame(content: bytes, base: int, at: int) -> tuple[int, str]:
    """(where the record at `at` ends, what is wrong with it)."""
    body_at = at + _FRAME.size
    if body_at > len(content):
        return at, "half a frame"
    length, checksum = _FRAME.unpack_from(content, at)
    if length < _HEAD.size or body_at + length > len(content):
        return at, "half a record"
    if _checksum(memoryview(content)[body_at : body_at + length], base + at) != checksum:
        return at, "checksum differs"
    return body_at + length, ""


def _checksum(body: bytes | memoryview, position: int) -> int:
    return zlib.crc32(body, position & 0xFFFFFFFF)


def _next_frame(content: bytes, base: int, at: int) -> int:
    """Where the next whole record begins behind a damaged one; the end of the content if there is none."""
    if at + _FRAME.size <= len(content):
        following: int = at + _FRAME.size + _FRAME.unpack_from(content, at)[0]
        if following < len(content) and not _frame(content, base, following)[1]:
            return following
    work = _MOST_WORK * len(content)
    for candidate in _candidates(content, at + 1):
        if not _frame(content, base, candidate)[1]:
            return candidate
        work -= _FRAME.unpack_from(content, candidate)[0]
        if work < 0:
            break
    return len(content)


def _candidates(content: bytes, begin: int) -> Iterator[int]:
    """Where a record may begin, as far as its head tells."""
    raw = np.frombuffer(content, np.uint8)
    last = len(content) - _FRAME.size - _HEAD.size
    for start in range(begin, last + 1, _SCAN_BYTES):
        kinds = raw[start + _KIND_AT : min(start + _SCAN_BYTES, last + 1) + _KIND_AT]
        at = np.flatnonzero(np.isin(kinds, list(RecordKind))) + start
        lengths = sum(raw[at + byte].astype(np.int64) << 8 * byte for byte in range(4))
        hosts = sum(raw[at + _HOST_LENGTH_AT + byte].astype(np.int64) << 8 * byte for byte in range(2))
        fits = (at + _FRAME.size + lengths <= len(content)) & (hosts <= _LONGEST_HOST_BYTES)
        yield from at[fits & (_HEAD.size + hosts <= lengths)].tolist()
