"""One connection's hello, put together from whichever datagrams carry it, in any order."""

from itertools import islice

from agent.quic import hello
from agent.quic.initial import Initial, Keys, Malformed, crypto_pieces, initials

# Why there is no name; see docs/kernel.md.
SEALED, MALFORMED, UNFINISHED = "quic_sealed", "quic_malformed", "quic_unfinished"
# Of the handshake. Browsers send hellos of 2 KB, in some twenty pieces.
MOST_BYTES, MOST_PIECES = 16_384, 512
# Of a datagram that are opened: each costs keys.
MOST_PACKETS = 4


class Unread(Exception):
    """No name will be read. Its text is the reason."""


class Reading:
    """What came of a hello so far."""

    def __init__(self) -> None:
        self._keys: list[Keys] = []
        self._pieces: dict[int, bytes] = {}

    def read(self, datagram: bytes) -> bytes | None:
        """The name, b"" where it names nobody, None while pieces are missing. Raises Unread."""
        packets = list(islice(initials(datagram), MOST_PACKETS))
        if not packets:
            raise Unread(MALFORMED)
        opened = [frames for packet in packets if (frames := self._opened(packet)) is not None]
        if not opened and not self._pieces:
            raise Unread(SEALED)
        try:
            for frames in opened:
                self._keep(frames)
            return hello.server_name(self._beginning())
        except hello.Unfinished:
            return None
        except (hello.NotHello, Malformed):
            raise Unread(MALFORMED) from None

    def _opened(self, packet: Initial) -> bytes | None:
        """Keys stay as the connection begins, also when its server has chosen another id; a server that asks the client
        to begin again (Retry) makes new ones."""
        for keys in self._keys:
            if (frames := keys.opened(packet)) is not None:
                return frames
        new = packet.version, packet.destination
        if len(self._keys) == 2 or new in [keys.of for keys in self._keys]:
            return None
        keys = Keys(*new)
        frames = keys.opened(packet)
        if frames is not None:
            self._keys.append(keys)
        return frames

    def _keep(self, frames: bytes) -> None:
        for offset, piece in crypto_pieces(frames):
            if offset + len(piece) > MOST_BYTES or len(self._pieces) >= MOST_PIECES:
                raise Malformed
            if len(piece) > len(self._pieces.get(offset, b"")):
                self._pieces[offset] = piece

    def _beginning(self) -> bytes:
        """Without what comes behind the first gap."""
        said = bytearray()
        for offset, piece in sorted(self._pieces.items()):
            if offset > len(said):
                break
            said += piece[len(said) - offset :]
        return bytes(said)
