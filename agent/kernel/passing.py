"""Messages with descriptors between two processes of ours: one JSON object each, over a Unix socket that keeps them
apart. What comes is checked for its form only: what it means is the caller's matter.
"""

import json
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

# A longer one does not fit into what a socket may hold unread.
MOST_BYTES = 128 * 1024
MOST_DESCRIPTORS = 128


class BrokenChannel(Exception):
    """What came is no message of ours; the reason is for a person."""


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(channel: socket.socket, message: Message, descriptors: Iterable[int] = ()) -> None:
    """Raises OSError."""
    socket.send_fds(channel, [json.dumps(message).encode()], list(descriptors))


def receive(channel: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message with its descriptors, which the caller must close; None at the channel's end.

    Raises BrokenChannel, and OSError (TimeoutError when nothing comes).
    """
    raw, descriptors, flags, _ = socket.recv_fds(channel, MOST_BYTES, MOST_DESCRIPTORS)
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise BrokenChannel("a message that is longer than any of ours")
        message = parsed(raw) if raw else None
    except BrokenChannel:
        close_all(descriptors)
        raise
    if message is None:
        close_all(descriptors)
        return None
    return message, list(descriptors)


def parsed(raw: bytes) -> Message:
    """Raises BrokenChannel."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise BrokenChannel("a message that is no JSON") from None
    if not isinstance(message, dict):
        raise BrokenChannel("a message that is no JSON object")
    return message


def close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def words(message: Message, field: str) -> Sequence[str]:
    """A list of distinct words. Raises BrokenChannel."""
    found = message.get(field)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found) or len(set(found)) != len(found):
        raise BrokenChannel(f"a message without {field}")
    return found
