"""Whose a node is, and that nobody's is said as that."""

import pytest

from aggregator.insight import ask
from aggregator.insight.case import CannotAnswer
from tests.builders import call, case, component, unit

PARTS = unit("web"), unit("cart"), call("alpha/web", "alpha/cart")


def test_the_owner_that_the_catalog_gives() -> None:
    answer = ask(case(*PARTS, catalog=component("web", owner="team-web")), "owner", "web").content
    assert (answer["node"], answer["owner"]) == ("alpha/web", "team-web")
    (row,) = answer["entities"]
    assert (row["id"], row["owner"], row["type"]) == ("component:default/web", "team-web", "service")
    assert row["place"].startswith("catalog.yaml:")
    assert answer["reason"] is None


def test_what_nobody_declared_is_nobody_s() -> None:
    answer = ask(case(*PARTS, catalog=component("web")), "owner", "alpha/cart").content
    assert (answer["owner"], answer["entities"], answer["reason"]) == (None, [], "Nobody declared it.")


def test_without_a_catalog_nothing_is_known() -> None:
    assert ask(case(*PARTS), "owner", "alpha/cart").content["reason"] == "There is no catalog."


def test_what_was_not_seen_has_no_answer() -> None:
    with pytest.raises(CannotAnswer):
        ask(case(*PARTS), "owner", "nothing")
