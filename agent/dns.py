"""What a DNS response says: the name that was asked for, and the addresses it means.

Pure, and safe against hostile input: it reads at most the bytes it was given, each compression pointer must lead
backwards, and a response that was cut short yields the records before the cut.
"""

from dataclasses import dataclass
from struct import Struct

from agent.text import carried

_HEADER = Struct("!HHHHHH")
_QUESTION = Struct("!HH")
_RECORD = Struct("!HHIH")

_RESPONSE_BIT = 0x8000
_TYPE_A, _TYPE_CNAME, _TYPE_AAAA = 1, 5, 28
_CLASS_IN = 1
_LONGEST_NAME = 255
_POINTER = 0xC0
_MOST_RECORDS = 256
_LONGEST_CHAIN = 16
_V4_MAPPED = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class DnsResponse:
    """`name` is lower case without the final dot; addresses are 16 bytes; the time to live is the shortest."""

    name: str
    kind: int
    rcode: int
    addresses: tuple[bytes, ...]
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class _Record:
    owner: bytes
    kind: int
    ttl_seconds: int
    address: bytes  # empty for an alias
    alias: bytes


class _Malformed(Exception):
    pass


def parse_response(message: bytes) -> DnsResponse | None:
    """None for what is not a response to one question."""
    if len(message) < _HEADER.size:
        return None
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if not flags & _RESPONSE_BIT or questions != 1:
        return None
    try:
        name, at = _name(message, _HEADER.size)
        kind, _ = _unpack(_QUESTION, message, at)
    except _Malformed:
        return None
    records = _records(message, at + _QUESTION.size, min(answers, _MOST_RECORDS))
    addresses, ttl_seconds = _resolve(name, records)
    return DnsResponse(carried(name), kind, flags & 0xF, addresses, ttl_seconds)


def _records(message: bytes, at: int, count: int) -> list[_Record]:
    records: list[_Record] = []
    for _ in range(count):
        try:
            record, at = _record(message, at)
        except _Malformed:
            break
        if record is not None:
            records.append(record)
    return records


def _record(message: bytes, at: int) -> tuple[_Record | None, int]:
    owner, at = _name(message, at)
    kind, record_class, ttl_seconds, length = _unpack(_RECORD, message, at)
    at += _RECORD.size
    end = at + length
    if end > len(message):
        raise _Malformed
    # RFC 2181, section 8: a time to live with the top bit set means zero.
    ttl_seconds = 0 if ttl_seconds & 0x80000000 else ttl_seconds
    data = message[at:end]
    if record_class != _CLASS_IN:
        return None, end
    if kind == _TYPE_A and length == 4:
        return _Record(owner, kind, ttl_seconds, _V4_MAPPED + data, b""), end
    if kind == _TYPE_AAAA and length == 16:
        return _Record(owner, kind, ttl_seconds, data, b""), end
    if kind == _TYPE_CNAME:
        return _Record(owner, kind, ttl_seconds, b"", _name(message, at)[0]), end
    return None, end


def _resolve(name: bytes, records: list[_Record]) -> tuple[tuple[bytes, ...], int]:
    """Follows aliases from the name, in whatever order the records stand."""
    aliases = {record.owner: record for record in records if record.kind == _TYPE_CNAME}
    ttls: list[int] = []
    known_as = {name}
    while (alias := aliases.get(name)) is not None and alias.alias not in known_as and len(known_as) < _LONGEST_CHAIN:
        ttls.append(alias.ttl_seconds)
        name = alias.alias
        known_as.add(name)
    found = [record for record in records if record.address and record.owner in known_as]
    ttls.extend(record.ttl_seconds for record in found)
    return tuple(dict.fromkeys(record.address for record in found)), min(ttls, default=0)


def _name(message: bytes, at: int) -> tuple[bytes, int]:
    """The name at an offset, lower case with dots, and where the next field begins."""
    labels: list[bytes] = []
    after = 0
    room = _LONGEST_NAME
    while True:
        length = _byte(message, at)
        if length >= _POINTER:
            target = (length & 0x3F) << 8 | _byte(message, at + 1)
            after = after or at + 2
            if target >= at:  # Only backwards, so that no loop is possible.
                raise _Malformed
            at = target
            continue
        if length > 63:
            raise _Malformed
        if length == 0:
            return b".".join(labels).lower(), after or at + 1
        room -= length + 1
        label = message[at + 1 : at + 1 + length]
        if room < 1 or len(label) < length:
            raise _Malformed
        labels.append(label)
        at += 1 + length


def _byte(message: bytes, at: int) -> int:
    if at >= len(message):
        raise _Malformed
    return message[at]


def _unpack(shape: Struct, message: bytes, at: int) -> tuple[int, ...]:
    if at + shape.size > len(message):
        raise _Malformed
    return shape.unpack_from(message, at)
