"""What became of third parties, and how each is: of many, in little memory. Pure: whoever looks has the clock."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from aggregator.insight.health.pair import Doing, Look, Pair
from aggregator.insight.health.seen import Seen
from aggregator.insight.standing import Standing, Word
from aggregator.records import SECOND_NS

# The one that was not seen for the longest time makes room.
MOST_THIRDS: Final = 10_000
MOST_PAIRS: Final = 20_000
MOST_KNOWN: Final = 100_000
# Not called for so long; or for so many times the longest time that it was not called before.
GONE_AFTER_NS: Final = 300 * SECOND_NS
_GONE_AFTER_GAPS: Final = 3
_LONGEST_GAP_NS: Final = 8 * 3600 * SECOND_NS
# Until a start with nothing behind it knows whom everybody calls anyway.
LEARNS_NS: Final = 300 * SECOND_NS
# So long one is shown as new, or back.
_SHOWN_NS: Final = 600 * SECOND_NS
_MOST_HOSTS: Final = 16


@dataclass(frozen=True, slots=True)
class Became:
    """`affected`: the clients for whom it became so now; the numbers are theirs."""

    third: str
    word: Word
    since_ns: int
    affected: tuple[str, ...] = ()
    attempts: int = 0
    failures: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    usual_ms: float | None = None
    now_ms: float | None = None


@dataclass(slots=True)
class Third:
    """`last_ns`: when anybody was seen to call it; `told`: the last word that was about it as a whole."""

    name: str
    first_ns: int
    last_ns: int
    told: Word = Word.USUAL
    told_ns: int = 0
    longest_gap_ns: int = 0
    pairs: dict[str, Pair] = field(default_factory=dict)

    @property
    def gone_after_ns(self) -> int:
        return max(GONE_AFTER_NS, _GONE_AFTER_GAPS * min(self.longest_gap_ns, _LONGEST_GAP_NS))

    def standing(self, third: str, now_ns: int) -> Standing:
        word, since_ns = self._word(now_ns)
        clients = {client: (_WORDS[one.doing], one.since_ns) for client, one in self.pairs.items() if one.since_ns}
        return Standing(third, self.name, word, since_ns, self.first_ns, self.last_ns, clients, frozenset(self.pairs))

    def _word(self, now_ns: int) -> tuple[Word, int]:
        if self.told is Word.GONE:
            return self.told, self.told_ns
        for doing in (Doing.FAILING, Doing.SLOW):
            since = [one.since_ns for one in self.pairs.values() if one.doing is doing]
            if since:
                return _WORDS[doing], min(since)
        word = self.told if now_ns - self.told_ns < _SHOWN_NS else Word.USUAL
        return word, self.told_ns or self.first_ns


class States:
    """`knows`: what was called before this start; without any, what is called soon after it is not new."""

    def __init__(self, began_ns: int, knows: Iterable[str] = ()) -> None:
        self.dropped = 0
        self._thirds: OrderedDict[str, Third] = OrderedDict()
        self._known = dict.fromkeys(knows)
        self._pairs = 0
        self._news_from_ns = began_ns if self._known else began_ns + LEARNS_NS

    def __len__(self) -> int:
        return self._pairs

    def know(self, third: str, name: str, clients: Iterable[str], first_ns: int, now_ns: int) -> None:
        """One that was called before anybody looked."""
        self._note(third)
        one = self._thirds.setdefault(third, Third(name, first_ns, now_ns))
        for client in clients:
            self._pair(one, client, now_ns)
        self._make_room()

    def recall(self, some: Iterable[Became], now_ns: int) -> None:
        """What became of them before this start, in order."""
        for became in some:
            self.know(became.third, became.third, became.affected, became.since_ns, now_ns)
            one = self._thirds.get(became.third)
            if one is None:
                continue
            doing = _DOINGS.get(became.word, Doing.WELL)
            for client in became.affected:
                pair = one.pairs[client]
                pair.doing, pair.since_ns, pair.usual_ms = doing, became.since_ns, became.usual_ms
            if became.word not in _DOINGS:
                one.told, one.told_ns = became.word, became.since_ns

    def look(self, look: Look, seen: Iterable[Seen], silent: Collection[str] = ()) -> list[Became]:
        """`silent`: hosts of which nothing is known at the moment."""
        by_third: dict[str, list[Seen]] = {}
        for one in seen:
            by_third.setdefault(one.third, []).append(one)
        became = [one for third, some in by_third.items() for one in self._saw(third, some, look)]
        self._make_room()
        return became + list(self._gone(look.now_ns, frozenset(silent)))

    def ids(self) -> dict[str, str]:
        """By name."""
        return {one.name: third for third, one in self._thirds.items()}

    def standings(self, now_ns: int) -> dict[str, Standing]:
        return {third: one.standing(third, now_ns) for third, one in self._thirds.items()}

    def _saw(self, third: str, some: list[Seen], look: Look) -> Iterator[Became]:
        one, is_new = self._thirds.get(third), self._is_new(third, some, look.now_ns)
        if one is None:
            one = self._thirds[third] = Third(some[0].name, look.since_ns, look.now_ns)
        clients = tuple(sorted(each.client for each in some))
        one.name = some[0].name
        one.longest_gap_ns = max(one.longest_gap_ns, look.now_ns - one.last_ns)
        one.last_ns = look.now_ns
        self._thirds.move_to_end(third)
        if is_new or one.told is Word.GONE:
            one.told, one.told_ns = Word.NEW if is_new else Word.BACK, look.since_ns
            yield Became(third, one.told, look.since_ns, clients)
        for each in some:
            pair = self._pair(one, each.client, look.now_ns)
            pair.hosts.update(sorted(each.hosts)[: _MOST_HOSTS - len(pair.hosts)])
            pair.saw(each.attempts, each.failures, each.reasons, each.took_ms, look)
        yield from self._judge(third, one, clients, look.now_ns)
        for client in [client for client, pair in one.pairs.items() if look.now_ns - pair.last_ns > one.gone_after_ns]:
            del one.pairs[client]
            self._pairs -= 1

    def _judge(self, third: str, one: Third, clients: Iterable[str], now_ns: int) -> Iterator[Became]:
        changed: dict[Doing, list[str]] = {}
        for client in clients:
            if one.pairs[client].judge(now_ns):
                changed.setdefault(one.pairs[client].doing, []).append(client)
        for doing, affected in changed.items():
            if doing is Doing.WELL:
                one.told, one.told_ns = Word.BACK, now_ns
            yield _became(third, doing, {client: one.pairs[client] for client in affected}, now_ns)

    def _is_new(self, third: str, some: Iterable[Seen], now_ns: int) -> bool:
        """What could not be looked up was not called."""
        if third in self._known or not any(not each.attempts or each.attempts > _lookups(each) for each in some):
            return False
        self._note(third)
        return now_ns >= self._news_from_ns

    def _note(self, third: str) -> None:
        self._known[third] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _pair(self, one: Third, client: str, now_ns: int) -> Pair:
        if client not in one.pairs:
            one.pairs[client] = Pair(now_ns)
            self._pairs += 1
        return one.pairs[client]

    def _make_room(self) -> None:
        while len(self._thirds) > MOST_THIRDS or (self._pairs > MOST_PAIRS and len(self._thirds) > 1):
            _, oldest = self._thirds.popitem(last=False)
            self._pairs -= len(oldest.pairs)
            self.dropped += 1
        while self._pairs > MOST_PAIRS:
            pairs = next(iter(self._thirds.values())).pairs
            del pairs[min(pairs, key=lambda client: pairs[client].last_ns)]
            self._pairs -= 1
            self.dropped += 1

    def _gone(self, now_ns: int, silent: frozenset[str]) -> Iterator[Became]:
        """Who calls from where nobody looks may still call."""
        for third, one in self._thirds.items():
            quiet_ns = now_ns - one.last_ns
            if quiet_ns <= GONE_AFTER_NS:
                break
            if one.told is Word.GONE or quiet_ns <= one.gone_after_ns:
                continue
            if any(silent & pair.hosts for pair in one.pairs.values()):
                continue
            one.told, one.told_ns = Word.GONE, one.last_ns
            yield Became(third, Word.GONE, one.last_ns, tuple(sorted(one.pairs)))
            for pair in one.pairs.values():
                pair.doing = Doing.WELL


def _became(third: str, doing: Doing, pairs: Mapping[str, Pair], now_ns: int) -> Became:
    recent = [one.recent(now_ns) for one in pairs.values()]
    reasons: Counter[str] = Counter()
    for one in recent:
        reasons.update(one.reasons)
    times = [(one.now_ms, one.usual_ms) for one in pairs.values() if one.now_ms and one.usual_ms]
    now_ms, usual_ms = max(times, key=lambda one: one[0] / one[1], default=(None, None))
    return Became(
        third,
        _WORDS[doing] if doing is not Doing.WELL else Word.BACK,
        min(one.since_ns for one in pairs.values()),
        tuple(sorted(pairs)),
        sum(one.attempts for one in recent),
        sum(one.failures for one in recent),
        dict(sorted(reasons.items())),
        usual_ms,
        now_ms,
    )


def _lookups(one: Seen) -> int:
    return one.reasons.get("dns", 0)


_WORDS: Final = {Doing.WELL: Word.USUAL, Doing.SLOW: Word.SLOW, Doing.FAILING: Word.FAILING}
_DOINGS: Final = {Word.SLOW: Doing.SLOW, Word.FAILING: Doing.FAILING}
