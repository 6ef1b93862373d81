"""Until when servers' certificates are valid, from what they say in clear text in a TLS handshake (up to version 1.2).

Pure: times are handed in. The library that reads certificates is loaded with the first one.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from plumbline.v1 import columns, flow_pb2

from agent.records import ServerHelloSeen

_HANDSHAKE, _CERTIFICATE, _DONE = 22, 11, 14
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_LAST_SECOND = 2**32 - 1
# The pieces come within a handshake.
PATIENCE_NS = 10_000_000_000
MOST_HANDSHAKES = 256
UNREAD = "certificate_unread"


class NotShown(Exception):
    """The server shows none: the session goes on from another one, or it has none."""


class Unreadable(Exception):
    """There is no certificate in this, whatever may follow."""


@dataclass(slots=True)
class _Handshake:
    flow_id: int
    time_ns: int
    next_sequence: int
    said: bytearray


class Certificates:
    """Handshakes that are being read."""

    def __init__(self) -> None:
        self._handshakes: dict[int, _Handshake] = {}
        self._found: list[tuple[int, int]] = []  # flow, second until which its server's is valid
        self.lost: Counter[str] = Counter()

    def heard(self, seen: ServerHelloSeen) -> None:
        if seen.number == 0:
            self._make_room()
            self._handshakes[seen.connection] = _Handshake(seen.flow_id, seen.time_ns, seen.sequence, bytearray())
        handshake = self._handshakes.get(seen.connection)
        if handshake is None or seen.sequence != handshake.next_sequence:
            return  # it was read to its end, or a piece is missing: then it is given up with time
        handshake.said += seen.piece
        handshake.next_sequence = (handshake.next_sequence + len(seen.piece)) % 2**32
        try:
            der = leaf_of(bytes(handshake.said))
            if der is not None:
                self._found.append((handshake.flow_id, valid_to(der)))
                del self._handshakes[seen.connection]
        except NotShown:
            del self._handshakes[seen.connection]
        except Unreadable:
            self._give_up(seen.connection)

    def beside(self, requests: columns.Columns, now_ns: int) -> columns.Columns:
        """These rows, and one for each that was read since the last call."""
        for connection, handshake in list(self._handshakes.items()):
            if now_ns - handshake.time_ns > PATIENCE_NS:
                self._give_up(connection)
        if not self._found:
            return requests
        found, self._found = np.array(self._found, np.uint64).reshape(-1, 2), []
        seconds = found[:, 1]
        rows = {
            "flow": found[:, 0],
            "protocol": np.full(len(found), flow_pb2.PROTOCOL_TLS),
            "operation": np.full(len(found), columns.CERTIFICATE),
            "outcome": np.full(len(found), flow_pb2.OUTCOME_ANSWERED),
            "kind": seconds >> np.uint64(16),
            "code": seconds & np.uint64(0xFFFF),
            "count": np.ones(len(found)),
        }
        none = np.zeros(len(found))
        return {
            name: np.concatenate([column, rows.get(name, none).astype(column.dtype)])
            for name, column in requests.items()
        }

    def take_lost(self) -> Counter[str]:
        lost, self.lost = self.lost, Counter()
        return lost

    def _make_room(self) -> None:
        if len(self._handshakes) >= MOST_HANDSHAKES:
            self._give_up(next(iter(self._handshakes)))

    def _give_up(self, connection: int) -> None:
        del self._handshakes[connection]
        self.lost[UNREAD] += 1


def leaf_of(said: bytes) -> bytes | None:
    """The server's own certificate (DER); None while it is not all there. Raises NotShown, Unreadable."""
    for kind, body, size in _messages(_handshake_bytes(said)):
        if kind == _DONE:
            raise NotShown
        if kind == _CERTIFICATE:
            return _first_of(body, size)
    return None


def _first_of(body: bytes, size: int) -> bytes | None:
    """Of a list of certificates, whose own length comes first."""
    if size < 6:
        raise NotShown
    if len(body) < 6:
        return None
    end = 6 + int.from_bytes(body[3:6], "big")
    if end == 6 or end > size:
        raise Unreadable
    return body[6:end] if len(body) >= end else None


def valid_to(der: bytes) -> int:
    """The second of its end, within 32 bits. Raises Unreadable."""
    from cryptography import x509  # large

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what else is wrong in it is nothing of ours
            end = x509.load_der_x509_certificate(der).not_valid_after_utc
    except (ValueError, TypeError, x509.InvalidVersion):
        raise Unreadable from None
    return min(max(int(end.timestamp()), 0), _LAST_SECOND)


def _handshake_bytes(said: bytes) -> bytes:
    """What records carry of it, up to where it is sealed."""
    found, at = b"", 0
    while at + _RECORD_HEADER <= len(said) and said[at] == _HANDSHAKE:
        end = at + _RECORD_HEADER + int.from_bytes(said[at + 3 : at + 5], "big")
        found += said[at + _RECORD_HEADER : end]
        at = end
    if at < len(said) and said[at] != _HANDSHAKE:
        return found + bytes([_DONE, 0, 0, 0])
    return found


def _messages(said: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(kind, as much of its body as is there, the body's size)."""
    at = 0
    while at + _MESSAGE_HEADER <= len(said):
        size = int.from_bytes(said[at + 1 : at + 4], "big")
        begin = at + _MESSAGE_HEADER
        yield said[at], said[begin : begin + size], size
        at = begin + size
