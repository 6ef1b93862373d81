"""The words between an agent and its successor, and what each waits for. Pure but for descriptors of memory.

    successor: hello            old agent: offer, with its maps and links; or no, with the reason
    take (it counts for both)              legacy, with what its ids mean: it reads nothing from now on
    taken                                  yours: now the successor reads
                                           rest, with what it could not deliver; or delivered
    end (other layout)                     ended: it has detached; then as above

Until `yours` the old agent goes on whenever the successor is gone.
"""

import os
import socket
from typing import Final

from agent.kernel import passing
from agent.kernel.passing import BrokenChannel, Message
from agent.records import Offer
from agent.succession.legacy import MOST_BYTES

PROTOCOL: Final = 1
_LONGEST_WORD: Final = 200


def say(channel: socket.socket, what: str, descriptors: list[int] | None = None, **fields: object) -> None:
    """Raises OSError."""
    passing.send(channel, {"say": what, **fields}, descriptors or [])


def say_bytes(channel: socket.socket, what: str, content: bytes) -> None:
    """More than fits into a message: as a file of memory. Raises OSError."""
    file = os.memfd_create(what, os.MFD_CLOEXEC)
    with os.fdopen(file, "w+b") as memory:
        memory.write(content)
        memory.flush()
        say(channel, what, [file])


def read_bytes(descriptors: list[int]) -> bytes:
    """The content of the one file of memory, which is closed. Raises BrokenChannel."""
    if len(descriptors) != 1:
        passing.close_all(descriptors)
        raise BrokenChannel("a message without its content")
    with os.fdopen(descriptors[0], "rb") as memory:
        try:
            if os.fstat(memory.fileno()).st_size > MOST_BYTES:
                raise BrokenChannel("more than any agent hands over")
            memory.seek(0)
            return memory.read(MOST_BYTES)
        except OSError as error:
            raise BrokenChannel("a content that cannot be read") from error


def offer_of(message: Message, descriptors: list[int]) -> Offer:
    """Takes the descriptors over. Raises BrokenChannel, and then they are closed."""
    try:
        maps, links = passing.words(message, "maps"), passing.words(message, "links")
        if len(maps) + len(links) != len(descriptors):
            raise BrokenChannel("an offer with more or fewer descriptors than it names")
        layout = word(message, "layout")
    except BrokenChannel:
        passing.close_all(descriptors)
        raise
    count = len(maps)
    held = dict(zip(links, descriptors[count:], strict=True))
    return Offer(layout, dict(zip(maps, descriptors[:count], strict=True)), held)


def word(message: Message, field: str) -> str:
    """Raises BrokenChannel."""
    found = message.get(field)
    if not isinstance(found, str) or not found.isprintable() or len(found) > _LONGEST_WORD:
        raise BrokenChannel(f"a message without {field}")
    return found


def number(message: Message, field: str) -> int:
    """Raises BrokenChannel."""
    found = message.get(field)
    if not isinstance(found, int) or not 0 <= found < 2**64:
        raise BrokenChannel(f"a message without {field}")
    return found
