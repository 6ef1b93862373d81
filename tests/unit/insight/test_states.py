"""What becomes of third parties: told once, since when and for whom, and not at every whim."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.insight.health import states as room
from aggregator.insight.health.pair import Look
from aggregator.insight.health.seen import Seen
from aggregator.insight.health.states import GONE_AFTER_NS, LEARNS_NS, Became, States
from aggregator.insight.health.telling import MOST_AFFECTED, became, event_of
from aggregator.insight.standing import Word
from aggregator.records import SECOND_NS

BANK, PAY, WEB, CART = "api.bank.test", "api.pay.test", "alpha/web", "alpha/cart"
BEGAN = 1_000_000 * SECOND_NS


class Days:
    """States, and a clock that goes by seconds."""

    def __init__(self, *knows: str) -> None:
        self.states = States(BEGAN, knows or (BANK, PAY))
        self.second = 0
        self.told: list[Became] = []

    def look(self, *seen: Seen, silent: Iterable[str] = (), seconds: int = 1) -> list[Became]:
        begin, self.second = self.second, self.second + seconds
        look = Look(BEGAN + begin * SECOND_NS, BEGAN + self.second * SECOND_NS)
        found = self.states.look(look, seen, frozenset(silent))
        self.told += found
        return found

    def calls(self, times: int, attempts: int = 10, failures: int = 0, **more: Any) -> None:
        for _ in range(times):
            self.look(called(attempts, failures, **more))

    @property
    def words(self) -> list[str]:
        return [one.word.text for one in self.told]

    def standing(self, third: str = BANK) -> tuple[Word, int]:
        """With the second since when."""
        one = self.states.standings(BEGAN + self.second * SECOND_NS)[third]
        return one.word, (one.since_ns - BEGAN) // SECOND_NS


def called(
    attempts: int = 10,
    failures: int = 0,
    took_ms: float | None = None,
    third: str = BANK,
    client: str = WEB,
    host: str = "a",
) -> Seen:
    reasons = {"refused": failures} if failures else {}
    return Seen(third, third, client, attempts, failures, reasons, took_ms, frozenset((host,)))


def test_one_that_fails_is_told_with_since_when_for_whom_and_why() -> None:
    days = Days()
    for second in range(40):
        failures = 10 if second >= 20 else 0
        days.look(called(failures=failures), called(client=CART), called(third=PAY))
    (one,) = days.told
    assert (one.third, one.word, one.affected) == (BANK, Word.FAILING, (WEB,))
    assert (one.since_ns - BEGAN) // SECOND_NS == 20
    assert one.reasons == {"refused": one.failures}
    assert days.standing() == (Word.FAILING, 20)
    assert days.standing(PAY)[0] is Word.USUAL


def test_and_comes_back_once() -> None:
    days = Days()
    days.calls(20)
    days.calls(10, failures=10)
    days.calls(60)
    assert days.words == ["failing", "back"]
    assert days.told[1].affected == (WEB,)
    assert days.standing()[0] is Word.BACK
    days.calls(700)
    assert days.standing()[0] is Word.USUAL


def test_each_client_is_told_when_it_is_hit() -> None:
    days = Days()
    for second in range(60):
        hit = 10 if second > 20 else 0
        late = 10 if second > 40 else 0
        days.look(called(failures=hit), called(failures=late, client=CART))
    assert [(one.word, one.affected) for one in days.told] == [(Word.FAILING, (WEB,)), (Word.FAILING, (CART,))]
    doing = days.states.standings(0)[BANK].doing
    assert {client: word for client, (word, _) in doing.items()} == {WEB: Word.FAILING, CART: Word.FAILING}


@pytest.mark.parametrize("failures", [0, 1])
def test_a_few_failures_are_none(failures: int) -> None:
    days = Days()
    days.calls(300, attempts=20, failures=failures)
    assert days.told == []


def test_too_few_attempts_say_nothing() -> None:
    days = Days()
    days.calls(2, attempts=2, failures=2)
    assert days.told == []
    days.calls(1, attempts=1, failures=1)
    assert days.words == ["failing"]


def test_who_calls_seldom_is_looked_at_further_back() -> None:
    days = Days()
    for _ in range(5):
        days.look(called(attempts=1, failures=1), seconds=60)
    assert days.words == ["failing"]
    assert days.standing() == (Word.FAILING, 0)
    for _ in range(5):
        days.look(called(attempts=1), seconds=60)
    assert days.words == ["failing", "back"]


def test_one_at_the_limit_does_not_flap() -> None:
    """Every seventh to every third fails: it is failing, until nearly nothing does."""
    days, dice = Days(), random.Random(7)
    for _ in range(2_000):
        days.look(called(attempts=10, failures=sum(dice.random() < 0.2 for _ in range(10))))
    assert days.words == ["failing"]


def test_slow_is_against_its_own_usual_time() -> None:
    days = Days()
    days.calls(30, took_ms=50)
    days.calls(30, took_ms=50, third=PAY)
    days.calls(20, took_ms=300)
    (one,) = days.told
    assert (one.third, one.word, one.affected, one.now_ms) == (BANK, Word.SLOW, (WEB,), 300)
    assert one.usual_ms is not None and 50 <= one.usual_ms < 52
    assert days.standing() == (Word.SLOW, 60)
    days.calls(10, took_ms=55)
    assert days.words == ["slow", "back"]


@pytest.mark.parametrize(("usual", "later"), [(0.2, 5.0), (1.0, 20.0), (400.0, 700.0)])
def test_what_is_little_more_is_not_slow(usual: float, later: float) -> None:
    days = Days()
    days.calls(30, took_ms=usual)
    days.calls(100, took_ms=later)
    assert days.told == []


def test_a_few_long_answers_are_not_slow() -> None:
    days = Days()
    for second in range(300):
        days.look(called(took_ms=1000 if second % 10 in (3, 4) else 20))
    assert days.told == []


def test_what_is_slow_for_hours_is_usual() -> None:
    days = Days()
    days.calls(30, took_ms=50)
    days.calls(8000, took_ms=150)
    assert days.words == ["slow", "back"]


def test_failing_is_said_before_slow() -> None:
    days = Days()
    days.calls(30, took_ms=50)
    days.calls(20, failures=10, took_ms=900)
    assert days.words == ["failing"]


def test_one_that_nobody_calls_any_more_is_gone_and_may_come_back() -> None:
    days = Days()
    days.calls(10)
    while not days.told and days.second < 2000:
        days.look(called(third=PAY))
    (gone,) = days.told
    assert (gone.third, gone.word, gone.affected) == (BANK, Word.GONE, (WEB,))
    assert (gone.since_ns - BEGAN) // SECOND_NS == 10
    assert days.second == 10 + GONE_AFTER_NS // SECOND_NS + 1
    days.calls(3)
    assert days.words == ["gone", "back"]


def test_who_is_called_once_an_hour_is_not_gone_in_between_for_ever() -> None:
    days = Days()
    for _ in range(30):
        days.calls(2)
        for _ in range(12):
            days.look(seconds=300)
    assert days.words == ["gone", "back"]


def test_nothing_is_gone_while_nobody_looks_at_its_clients() -> None:
    days = Days()
    days.calls(10, host="a")
    days.calls(10, host="b", third=PAY)
    days.look(silent=["a"], seconds=1000)
    assert [(one.third, one.word) for one in days.told] == [(PAY, Word.GONE)]
    days.look(seconds=1)
    assert [one.third for one in days.told] == [PAY, BANK]


def test_new_is_told_once() -> None:
    days = Days()
    days.calls(10)
    days.look(called(third="new.test"), called(third="new.test", client=CART))
    days.calls(5, third="new.test")
    assert [(one.third, one.word, one.affected) for one in days.told] == [("new.test", Word.NEW, (CART, WEB))]
    assert days.standing("new.test") == (Word.NEW, 10)


def test_at_a_start_nothing_is_new() -> None:
    states = States(BEGAN)
    begin = Look(BEGAN, BEGAN + SECOND_NS)
    assert states.look(begin, [called()]) == []
    later = Look(BEGAN + LEARNS_NS, BEGAN + LEARNS_NS + SECOND_NS)
    assert [one.word for one in states.look(later, [called(), called(third=PAY)])] == [Word.NEW]


def test_what_could_only_not_be_looked_up_is_not_new() -> None:
    days = Days()
    for _ in range(5):
        days.look(Seen("only.declared.test", "only.declared.test", WEB, 3, 3, {"dns": 3}))
    assert days.words == ["failing"]
    days.look(called(third="only.declared.test"))
    assert days.words == ["failing", "new"]


def test_what_was_told_before_a_restart_goes_on() -> None:
    days = Days()
    days.calls(20, took_ms=20)
    days.calls(20, took_ms=900)
    days.calls(20, third=PAY, failures=10)
    events = [event_of(one, BEGAN + number) for number, one in enumerate(days.told)]
    again = Days()
    again.states.recall(became(events), BEGAN)
    assert (again.standing(), again.standing(PAY)) == (days.standing(), days.standing(PAY))
    again.calls(20, took_ms=900)
    again.calls(20, third=PAY, failures=10)
    assert again.told == []
    again.calls(20, took_ms=20)
    again.calls(30, third=PAY)
    assert [(one.third, one.word) for one in again.told] == [(BANK, Word.BACK), (PAY, Word.BACK)]


def test_an_event_says_all_of_it_within_bounds() -> None:
    clients = tuple(f"alpha/c{number:03}" for number in range(MOST_AFFECTED + 7))
    one = Became(BANK, Word.SLOW, BEGAN, clients, 9, 3, {"tls": 3}, 12.5, 80.0)
    event = event_of(one, BEGAN + 5)
    assert (event.node, event.time.ToNanoseconds()) == (BANK, BEGAN + 5)
    change = event.third_party
    assert (list(change.affected), change.more_affected) == (list(clients[:MOST_AFFECTED]), 7)
    assert (change.attempts, change.failures, dict(change.reasons)) == (9, 3, {"tls": 3})
    assert (change.usual_ms, change.now_ms) == (12.5, 80.0)


def test_memory_is_bounded_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_THIRDS", 5)
    monkeypatch.setattr(room, "MOST_PAIRS", 8)
    monkeypatch.setattr(room, "MOST_KNOWN", 20)
    days = Days()
    for number in range(12):
        days.look(called(third=f"n{number}.test"), called(third=f"n{number}.test", client=CART))
    assert list(days.states.standings(0)) == [f"n{number}.test" for number in range(8, 12)]
    assert (len(days.states), days.states.dropped) == (8, 8)
    for number in range(30):
        days.look(called(third="busy.test", client=f"alpha/c{number}"))
    assert days.states.standings(0)["busy.test"].clients == {f"alpha/c{number}" for number in range(22, 30)}
    assert len(days.states) == 8


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 400)), min_size=1, max_size=120))
def test_whatever_comes_states_are_told_in_turn(looks: list[tuple[int, int, int]]) -> None:
    """Nobody is told to be as it was already, nor back from nothing."""
    days = Days()
    for attempts, failures, seconds in looks:
        some = [called(max(attempts, failures), failures, 10.0)] if attempts or failures else []
        days.look(*some, seconds=seconds + 1)
    before = "usual"
    for word in days.words:
        assert word != before and (word != "back" or before in ("failing", "slow", "gone"))
        before = word
