"""The name by which a TLS hello calls its server (RFC 8446, section 4.1.2; RFC 6066, section 3).

Pure, and safe against hostile input: nothing is believed beyond the length of what it stands in.
"""

from dataclasses import dataclass

_CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 1, 0, 0
_FIXED = 2 + 32  # version and random bytes
# As the kernel's side reads it by TCP: a longer name is none.
LONGEST_NAME = 112


class NotHello(Exception):
    """What came is no hello, whatever may follow."""


class Unfinished(Exception):
    """What came does not reach to the name."""


@dataclass(slots=True)
class _Fields:
    """What stands up to `end`, of which some may not have come yet."""

    said: bytes
    at: int
    end: int

    @property
    def left(self) -> int:
        return self.end - self.at

    def skip(self, size: int) -> int:
        """Where it began."""
        if size > self.left:
            raise NotHello
        self.at += size
        return self.at - size

    def take(self, size: int) -> bytes:
        begin = self.skip(size)
        if self.at > len(self.said):
            raise Unfinished
        return self.said[begin : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def part(self, size: int) -> "_Fields":
        """A field that has its length before it, in so many bytes."""
        begin = self.skip(self.number(size))
        return _Fields(self.said, begin, self.at)


def server_name(said: bytes) -> bytes:
    """As it stands there, of a handshake's first bytes; b"" where it names nobody. Raises NotHello, Unfinished."""
    message = _Fields(said, 0, 1 << 24)
    if message.number(1) != _CLIENT_HELLO:
        raise NotHello
    hello = message.part(3)
    hello.skip(_FIXED)
    for size in (1, 2, 1):  # session, suites, compressions
        hello.part(size)
    if not hello.left:
        return b""
    extensions = hello.part(2)
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.part(2)
        if kind == _SERVER_NAME:
            return _first_of(content)
    return b""


def _first_of(names: _Fields) -> bytes:
    """Nobody sends more than one."""
    if not names.left:
        return b""
    entries = names.part(2)
    is_host = entries.number(1) == _HOST_NAME
    name = entries.part(2)
    return name.take(name.left) if is_host and name.left <= LONGEST_NAME else b""
