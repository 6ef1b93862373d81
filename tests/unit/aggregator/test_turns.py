"""A share of a core: what costs much once keeps nothing waiting, what costs much for ever is kept to its share."""

import pytest

from aggregator.turns import Share


def test_what_costs_much_once_has_a_credit() -> None:
    share = Share(0.2, credit_seconds=1.0)
    assert share.pause(0.9, now=100.0) == 0.0
    # Half of the credit has come back.
    assert share.pause(0.5, now=102.5) == 0.0


def test_what_costs_much_for_ever_is_kept_to_its_share() -> None:
    share, now, used = Share(0.2, credit_seconds=1.0), 100.0, 0.0
    while now < 1100.0:
        now += 0.3
        used += 0.3
        now += share.pause(0.3, now)
    assert used == pytest.approx((now - 100.0) * 0.2, abs=1.5)
