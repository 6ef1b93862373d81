"""The agent before us, as its successor meets it. Blocks; used from one thread."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.kernel import passing
from agent.kernel.passing import BrokenChannel, Message
from agent.records import KernelRefused, Offer
from agent.settings import VERSION
from agent.succession import talk
from agent.succession.legacy import BrokenLegacy, Legacy, Rest, unpack_legacy, unpack_rests
from agent.succession.place import Peer, Place, peer_of

_ANSWER_SECONDS = 10.0
_BUSY_SECONDS, _PAUSE_SECONDS = 60.0, 0.5


class Stranger(Exception):
    """Somebody listens there who may not: no predecessor of ours."""


class _Gone(Exception):
    """It has ended, or closed the connection."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """`in_order`: all that it counted is on the aggregator's disk, or in `rests` for us to deliver."""

    in_order: bool
    rests: Sequence[Rest] = ()


class Predecessor:
    """Its offer, then one of `end` and `take`, then its `farewell`."""

    def __init__(self, place: Place, channel: socket.socket, message: Message, offer: Offer) -> None:
        """Raises BrokenChannel."""
        self._place = place
        self._channel = channel
        self.peer: Peer = peer_of(channel)
        self.version = talk.word(message, "version")
        self.epoch = talk.number(message, "epoch")
        self.clock_began_ns = talk.number(message, "clock_began_ns")
        self.offer = offer
        self.ended_ns = 0

    def close_offer(self) -> None:
        """Descriptors that we do not use would keep its programs in the kernel."""
        passing.close_all(self.offer.descriptors)
        self.offer.maps.clear()
        self.offer.links.clear()

    def end(self) -> None:
        """Returns when it has ended or died: nothing of it counts any more. Raises KernelRefused."""
        self.close_offer()
        try:
            self._say("end")
            message, descriptors = self._hear("ended")
            passing.close_all(descriptors)
            self.ended_ns = talk.number(message, "drained_ns")
        except _Gone:
            self._must_be_dead()
        except BrokenChannel as error:
            raise self._unusable(str(error)) from error

    def take(self) -> Legacy | None:
        """When this returns, we are the only one who reads the maps. None: it died, and left nothing but them.

        Raises KernelRefused where it lives and goes on.
        """
        try:
            self._say("take")
            _, descriptors = self._hear("legacy")
            legacy = unpack_legacy(talk.read_bytes(descriptors))
            self._say("taken")
            _, descriptors = self._hear("yours")
            passing.close_all(descriptors)
            return legacy
        except _Gone:
            self._must_be_dead()
            return None
        except (BrokenChannel, BrokenLegacy) as error:
            raise self._unusable(str(error)) from error

    def farewell(self, timeout_seconds: float) -> Farewell:
        """Waits until it has delivered what it counted, or has given that up. The channel stays open: one that waits
        for its end sees by it that we live."""
        self._channel.settimeout(timeout_seconds)
        try:
            received = passing.receive(self._channel)
            if received is None:
                return Farewell(False)
            message, descriptors = received
            if message.get("say") == "rest":
                return Farewell(True, unpack_rests(talk.read_bytes(descriptors)))
            passing.close_all(descriptors)
            return Farewell(message.get("say") == "delivered")
        except (OSError, BrokenChannel, BrokenLegacy):
            return Farewell(False)

    def close(self) -> None:
        self.close_offer()
        self._channel.close()

    def _say(self, what: str) -> None:
        try:
            talk.say(self._channel, what)
        except OSError as error:
            raise _Gone from error

    def _hear(self, what: str) -> tuple[Message, list[int]]:
        return _heard(self._channel, what)

    def _must_be_dead(self) -> None:
        """Raises KernelRefused where somebody still listens: it lives, and reads its maps by itself."""
        channel = _connected(self._place.path)
        if channel is not None:
            channel.close()
            raise self._unusable("it broke the hand-over off")

    def _unusable(self, reason: str) -> KernelRefused:
        return _does_not_hand_over(self.peer, self._place.path, reason)


def find(place: Place) -> Predecessor | None:
    """The agent that watches already, with its offer; None where there is none.

    Raises Stranger, and KernelRefused where one is there and does not hand over: two would count everything twice.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        channel = _connected(place.path)
        if channel is None:
            return None
        peer = peer_of(channel)
        if peer.user_id != os.geteuid():
            channel.close()
            raise Stranger(f"the process {peer.process_id} of user {peer.user_id} listens at {place.path}")
        try:
            return _greeted(place, channel)
        except (BrokenChannel, _Gone) as error:
            channel.close()
            if isinstance(error, BrokenChannel) or time.monotonic() > deadline:
                raise _does_not_hand_over(peer, place.path, str(error) or "it closes the connection") from error
        time.sleep(_PAUSE_SECONDS)


def _greeted(place: Place, channel: socket.socket) -> Predecessor:
    channel.settimeout(_ANSWER_SECONDS)
    try:
        talk.say(channel, "hello", protocol=talk.PROTOCOL, version=VERSION)
    except OSError as error:
        raise _Gone from error
    message, descriptors = _heard(channel, "offer")
    return Predecessor(place, channel, message, talk.offer_of(message, descriptors))


def _heard(channel: socket.socket, what: str) -> tuple[Message, list[int]]:
    """Raises BrokenChannel, and _Gone."""
    try:
        received = passing.receive(channel)
    except TimeoutError:
        raise BrokenChannel(f"it has not answered for {_ANSWER_SECONDS:g} s") from None
    except OSError as error:
        raise _Gone from error
    if received is None:
        raise _Gone
    message, descriptors = received
    if message.get("say") == what:
        return message, descriptors
    passing.close_all(descriptors)
    if message.get("say") == "no":
        raise _Gone(talk.word(message, "reason"))
    raise BrokenChannel("an answer to something else")


def _connected(path: Path) -> socket.socket | None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(_ANSWER_SECONDS)
    try:
        channel.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError, PermissionError):
        channel.close()
        return None
    except OSError as error:
        # Its queue of callers is full, or no socket of ours is there.
        channel.close()
        raise KernelRefused(f"nobody answers at {path} ({error.strerror})", _REMEDY) from error
    return channel


_REMEDY = "end the agent that watches this host already; if none does, remove that file"


def _does_not_hand_over(peer: Peer, path: Path, reason: str) -> KernelRefused:
    who = f"the process {peer.process_id}" if peer.process_id else "a process of another container"
    return KernelRefused(f"{who} at {path} watches this host already and does not hand over: {reason}", _REMEDY)
