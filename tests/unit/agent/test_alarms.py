"""Each abnormal change is told once."""

from agent.alarms import QUIET_SECONDS, Alarms


def test_a_reason_is_told_when_it_begins_and_when_it_has_long_ended() -> None:
    alarms = Alarms("losing")
    told = [
        one
        for second, counts in (
            (0, {"ring_full": 2, "quiet": 0}),
            (1, {"ring_full": 5}),
            (2, {"ring_full": 1, "http_gap": 1}),
            (QUIET_SECONDS, {"http_gap": 1}),
            (QUIET_SECONDS + 1, {}),
            (QUIET_SECONDS + 2, {}),
            (QUIET_SECONDS + 3, {"ring_full": 9}),
        )
        for one in alarms.look(counts, second)
    ]
    assert told == [
        ("losing", "ring_full", 2),
        ("losing", "http_gap", 1),
        ("losing_ended", "ring_full", 8),
        ("losing", "ring_full", 9),
    ]
