"""Who comes to take over from us. They are heard beside the counting, which goes on until one has everything."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from agent import clock
from agent.kernel import passing
from agent.kernel.passing import BrokenChannel
from agent.records import Offer
from agent.settings import VERSION
from agent.succession import talk
from agent.succession.legacy import Legacy, Rest, pack_legacy, pack_rests
from agent.succession.place import Peer, peer_of
from telemetry.log import Log

_HELLO_SECONDS, _TAKEN_SECONDS = 5.0, 10.0
# To compile and to load, on a machine that is busy.
_READY_SECONDS = 180.0
_MOST_CALLERS = 8


class Wish(Enum):
    TAKE = "take"
    END = "end"


@dataclass(slots=True)
class Heir:
    """One successor that is ready. The pipeline answers it; until then everything goes on."""

    wish: Wish
    channel: socket.socket
    peer: Peer
    version: str
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def give(self, legacy: Legacy) -> str:
        """Empty when the maps are its own from now on; else why not, and we go on."""
        try:
            talk.say_bytes(self.channel, "legacy", pack_legacy(legacy))
            message = await _heard(self.channel, _TAKEN_SECONDS)
            if message.get("say") != "taken":
                return "it said something else"
            talk.say(self.channel, "yours")
        except BrokenChannel as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def tell_ended(self, drained_ns: int) -> None:
        self._say("ended", drained_ns=drained_ns)  # one that has died meanwhile needs no word

    def leave(self, rests: Sequence[Rest]) -> bool:
        """The last word: all is delivered, or what is not. Whether it could be told."""
        if not rests:
            return self._say("delivered")
        try:
            talk.say_bytes(self.channel, "rest", pack_rests(rests))
        except OSError:
            return False
        return True

    async def gone(self) -> None:
        """Returns when it has ended. It says nothing more: whatever comes is the end."""
        with suppress(OSError):
            await asyncio.get_running_loop().sock_recv(self.channel, 1)

    def _say(self, what: str, **fields: int) -> bool:
        try:
            talk.say(self.channel, what, None, **fields)
        except OSError:
            return False
        return True


class Successors:
    """`heir`: one that is ready, for the pipeline to look at."""

    def __init__(self, log: Log, offer: Callable[[], Offer], epoch: int) -> None:
        self._log = log
        self._offer = offer
        self._epoch = epoch
        self._busy = False
        self._callers: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()
        self.heir: Heir | None = None

    async def run(self, listener: socket.socket) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                channel, _ = await loop.sock_accept(listener)
                channel.setblocking(False)
                if len(self._callers) >= _MOST_CALLERS:
                    channel.close()
                    continue
                caller = asyncio.create_task(self._meet(channel))
                self._callers.add(caller)
                caller.add_done_callback(self._callers.discard)
        finally:
            for caller in self._callers:
                caller.cancel()

    async def _meet(self, channel: socket.socket) -> None:
        peer, kept = peer_of(channel), False
        try:
            kept = await self._converse(channel, peer)
        except BrokenChannel as error:
            self._refused(peer, str(error))
        except OSError as error:
            self._refused(peer, error.strerror or str(error))
        finally:
            if not kept:
                channel.close()

    async def _converse(self, channel: socket.socket, peer: Peer) -> bool:
        """Whether the channel is needed on. Raises BrokenChannel and OSError."""
        if peer.user_id != os.geteuid():
            talk.say(channel, "no", reason="you are another user")
            raise BrokenChannel(f"user {peer.user_id} may not take over")
        hello = await _heard(channel, _HELLO_SECONDS)
        if hello.get("say") != "hello" or hello.get("protocol") != talk.PROTOCOL:
            raise BrokenChannel("no hello of a successor")
        if self._busy:
            talk.say(channel, "no", reason="another successor is at it")
            return False
        self._busy = True
        try:
            return await self._prepare(channel, peer, talk.word(hello, "version"))
        finally:
            self._busy = False

    async def _prepare(self, channel: socket.socket, peer: Peer, version: str) -> bool:
        offer = self._offer()
        self._log.write("handover_begun", successor_process_id=peer.process_id, successor_version=version)
        names = {"layout": offer.layout, "maps": [*offer.maps], "links": [*offer.links]}
        talk.say(
            channel,
            "offer",
            offer.descriptors,
            version=VERSION,
            epoch=self._epoch,
            clock_began_ns=clock.began_ns(),
            **names,
        )
        try:
            wish = Wish((await _heard(channel, _READY_SECONDS)).get("say"))
        except (ValueError, BrokenChannel, OSError) as error:
            reason = "it wants neither" if isinstance(error, ValueError) else str(error)
            self._log.write("handover_broken_off", successor_process_id=peer.process_id, reason=reason)
            return False
        self.heir = heir = Heir(wish, channel, peer, version)
        await heir.settled.wait()
        return self.heir is heir

    def went_on(self, reason: str) -> None:
        """The heir is none after all."""
        heir, self.heir = self.heir, None
        if heir is not None:
            self._log.write("handover_broken_off", successor_process_id=heir.peer.process_id, reason=reason)
            heir.settled.set()

    def _refused(self, peer: Peer, reason: str) -> None:
        # Whoever knocks without end fills no log.
        if reason not in self._told:
            if len(self._told) < _MOST_CALLERS:
                self._told.add(reason)
            self._log.write("handover_refused", caller_process_id=peer.process_id, reason=reason)


async def _heard(channel: socket.socket, seconds: float) -> dict[str, Any]:
    """Raises BrokenChannel and OSError. Descriptors that come with it are not taken."""
    try:
        async with asyncio.timeout(seconds):
            raw = await asyncio.get_running_loop().sock_recv(channel, passing.MOST_BYTES)
    except TimeoutError:
        raise BrokenChannel(f"it has said nothing for {seconds:g} s") from None
    if not raw:
        raise BrokenChannel("it has gone")
    return passing.parsed(raw)
