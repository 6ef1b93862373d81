"""Who calls a node from which address: what a server's end cannot tell where several share an address. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeAlias

# From this address to that node (its first end), its port and transport.
Calling: TypeAlias = tuple[bytes, int, int, int]


class Callings:
    """Client flows by what they call, and server flows that ask who calls them so.

    `touched` are those whose callers are others than before, until they are taken.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[tuple[Calling, ...], int]] = {}  # by client flow: what it calls, and its node
        self._by_calling: defaultdict[Calling, dict[int, int]] = defaultdict(dict)
        self._callers: dict[Calling, Counter[int]] = {}
        self._asked: dict[int, tuple[Calling, ...]] = {}  # by server flow
        self._askers: defaultdict[Calling, set[int]] = defaultdict(set)
        self._touched: set[Calling] = set()

    def make(self, one: int, callings: tuple[Calling, ...] = (), caller: int = -1) -> None:
        """What a client flow calls; nothing of ours, or no more, where there is none."""
        before = self._made.pop(one, ((), -1))
        if callings:
            self._made[one] = (callings, caller)
        if before == (callings, caller):
            return
        for calling in before[0]:
            self._leave(one, calling, before[1])
        for calling in callings:
            self._by_calling[calling][one] = caller
            callers = self._callers.setdefault(calling, Counter())
            callers[caller] += 1
            self._touched.add(calling)

    def _leave(self, one: int, calling: Calling, caller: int) -> None:
        del self._by_calling[calling][one]
        callers = self._callers[calling]
        callers[caller] -= 1
        if not callers[caller]:
            del callers[caller]
        if not callers:
            del self._callers[calling], self._by_calling[calling]
        self._touched.add(calling)

    def ask(self, one: int, *callings: Calling) -> None:
        """Whom a server flow waits for."""
        for before in self._asked.pop(one, ()):
            self._askers[before].discard(one)
            if not self._askers[before]:
                del self._askers[before]
        if callings:
            self._asked[one] = callings
            for calling in callings:
                self._askers[calling].add(one)

    def take_touched(self) -> set[Calling]:
        touched, self._touched = self._touched, set()
        return touched

    def callers(self, calling: Calling) -> list[int]:
        """Their nodes, each once."""
        return list(self._callers.get(calling, ()))

    def flows(self, callings: Iterable[Calling]) -> set[int]:
        """Of the callers."""
        return {one for calling in callings for one in self._by_calling.get(calling, ())}

    def is_shared(self, one: int) -> bool:
        """Whether another node calls from the same address what this flow does."""
        return any(len(self._callers[calling]) > 1 for calling in self._made.get(one, ((), -1))[0])

    def askers(self, callings: Iterable[Calling]) -> set[int]:
        return {one for calling in callings for one in self._askers.get(calling, ())}
