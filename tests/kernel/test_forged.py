"""Hostile segments, made by hand: what TCP does not take is not counted, and what is honest beside it is exact."""

import json

import pytest

from tests.cluster.cluster import APPS
from tests.cluster.processes import PYTHON
from tests.kernel.ordering import PORT, Stage, Truth, assert_counts, assert_exact

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]


def forge(stage: Stage, scenario: str) -> Truth:
    return stage.ask(
        "forger.py", [scenario, stage.server.ipv4, PORT], environment={"FORGER_ADDRESS": stage.client.ipv4}
    )


@pytest.mark.parametrize(
    "scenario",
    [
        "wild_numbers",
        "old_bytes_anew",
        "wild_flags",
        "to_no_connection",
        "sprayed",
    ],
)
def test_what_tcp_does_not_take_is_not_counted(stage: Stage, scenario: str) -> None:
    assert_counts(stage.watch(lambda: forge(stage, scenario)))


def test_early_bytes_that_come_twice_with_other_contents_make_one_request(stage: Stage) -> None:
    outcome = stage.watch(lambda: forge(stage, "overlaps"))
    by_hand = ("GET", "/overlap/*", "200")
    assert not outcome.client.wrong and not outcome.server.wrong
    assert outcome.client.missing == outcome.truth.rows[by_hand] == 40, "the client's TCP knows nothing of them"
    assert (outcome.server.missing, dict(outcome.server.lost)) == (0, {})


def test_what_pretends_to_come_from_the_server_changes_nothing(stage: Stage) -> None:
    counts = stage.cluster.directory / "forged.json"
    words = ["as_the_server", stage.client.ipv4, PORT, "--counts", counts]

    def load_under_attack() -> Truth:
        attack = {"FORGER_ADDRESS": stage.server.ipv4}
        forger = stage.server.start("forger", [PYTHON, APPS / "forger.py", *words], environment=attack)
        truth = stage.load(["--requests", 3000, "--depth", 8])
        forger.wait()
        return truth

    outcome = stage.watch(load_under_attack)
    told = json.loads(counts.read_text())
    assert not told["errors"] and told["rows"][0][3] > 200, told
    assert_exact(outcome)
