"""An agent that takes too much CPU gives up detail step by step, and takes it back when there is room."""

from hypothesis import given
from hypothesis import strategies as st

from agent.records import Limits
from agent.throttle import LEVELS, Throttle


class Process:
    """One that takes CPU, looked at every two seconds."""

    def __init__(self, budget_cores: float | None) -> None:
        self.throttle = Throttle(budget_cores)
        self.now_seconds = 1000.0
        self.cpu_seconds = 55.0
        self.throttle.look(self.now_seconds, self.cpu_seconds)

    def takes(self, cores: float, looks: int) -> list[int]:
        levels = []
        for _ in range(looks):
            self.now_seconds += 2.0
            self.cpu_seconds += 2.0 * cores
            self.throttle.look(self.now_seconds, self.cpu_seconds)
            levels.append(self.throttle.level)
        return levels


def test_within_the_budget_nothing_is_shed() -> None:
    assert Process(0.5).takes(0.49, 100) == [0] * 100


def test_without_a_budget_nothing_is_shed() -> None:
    assert Process(None).takes(9.0, 100) == [0] * 100


def test_a_moment_of_work_is_no_reason() -> None:
    process = Process(0.5)
    assert [*process.takes(2.0, 2), *process.takes(0.1, 1), *process.takes(2.0, 2)] == [0] * 5


def test_detail_goes_in_the_stated_order_and_no_further() -> None:
    process = Process(0.5)
    assert process.takes(2.0, 12) == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert process.throttle.shed == LEVELS == ("interval", "latency", "names")


def test_what_each_level_means() -> None:
    throttle, whole = Throttle(0.5), Limits()
    rows = []
    for throttle.level in range(len(LEVELS) + 1):
        limits = throttle.limits(whole)
        rows.append((throttle.interval_seconds(1.0, False), limits.without_fine_latency, limits.without_names))
    assert rows == [(1.0, False, False), (4.0, False, False), (4.0, True, False), (4.0, True, True)]
    assert throttle.interval_seconds(30.0, False) == 60.0
    assert throttle.interval_seconds(1.0, True) == 1.0
    assert throttle.limits(whole).names_each_endpoint == whole.names_each_endpoint


def test_it_comes_back_when_there_is_room_and_not_before() -> None:
    process = Process(0.5)
    process.takes(2.0, 9)
    # Within the budget, and yet no room for more.
    assert process.takes(0.4, 50) == [3] * 50
    assert process.takes(0.2, 15) == [3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0]


def test_what_was_too_much_again_waits_longer_each_time() -> None:
    process = Process(0.5)
    process.takes(2.0, 3)
    waits = []
    for _ in range(4):
        waits.append(len([level for level in process.takes(0.1, 100) if level == 1]) + 1)
        assert process.throttle.level == 0
        assert process.takes(2.0, 3) == [0, 0, 1]
    assert waits == sorted(waits) and waits[-1] > 4 * waits[0]


def test_looks_that_come_too_soon_say_nothing() -> None:
    throttle = Throttle(0.5)
    assert not any(throttle.look(number / 10, number / 5) for number in range(20))
    assert throttle.used_cores == 0.0


@given(st.lists(st.floats(0, 4), max_size=200))
def test_one_step_at_a_time_whatever_happens(loads: list[float]) -> None:
    process, before = Process(0.5), 0
    for load in loads:
        (level,) = process.takes(load, 1)
        assert abs(level - before) <= 1 and 0 <= level <= len(LEVELS)
        before = level
