"""What comes early and waits for the bytes before it: a filter holds back segments of one size."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.kernel.maps import Map
from tests.cluster.cluster import APPS
from tests.cluster.processes import PYTHON, wait_until
from tests.kernel.ordering import PORT, Stage, Truth, assert_exact, truth_of
from tests.kernel.wire import Wire

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
# Of a segment that apps/holes.py wants held back.
HELD_BACK = (
    "add table inet holes; add chain inet holes in {{ type filter hook input priority 0; }};"
    "add rule inet holes in tcp dport {port} ip length 777 counter drop"
)
DEFERRED = 8087


def held_back(stage: Stage, scenario: str, meanwhile: Callable[[], object], port: int = PORT) -> Truth:
    """What the program has done: its segments of that size are dropped until it has sent all that comes early."""
    counts = stage.cluster.directory / f"{scenario}.json"
    early = counts.with_name(f"{counts.name}.early")
    stage.server.run("nft", ["nft", HELD_BACK.format(port=port)])
    try:
        words = [scenario, stage.server.ipv4, port, "--counts", counts]
        program = stage.client.start(scenario, [PYTHON, APPS / "holes.py", *words])
        wait_until(early.exists, "the rest has come early", 30)
        meanwhile()
    finally:
        stage.server.run("nft", ["nft", "delete table inet holes"])
    early.unlink()
    program.wait()
    return truth_of(json.loads(counts.read_text()))


def take_pages(wire: Wire) -> int:
    """As if other sockets had needed them. How many there were."""
    descriptor = wire.kernel._maps["early_pages"].descriptor
    rows = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    sizes = dict(row.split(":\t", 1) for row in rows)
    pages = Map(descriptor, np.dtype(f"V{sizes['key_size']}"), np.dtype(f"V{sizes['value_size']}"))
    return len(pages.take_all()[0])


def test_what_was_kept_is_read_on_from_where_a_run_ended(stage: Stage) -> None:
    assert_exact(stage.watch(lambda: held_back(stage, "many_lines", lambda: None)))


def test_what_was_kept_and_lost_makes_no_request_of_the_body_after_it(stage: Stage) -> None:
    def lose() -> None:
        assert take_pages(stage.wires["beta"]) > 0

    outcome = stage.watch(lambda: held_back(stage, "torn", lose))
    assert not outcome.server.wrong and not outcome.client.wrong and not outcome.client.missing
    # It, and no other: it is followed again from the next request.
    assert outcome.server.missing == 1, outcome.server
    assert outcome.server.lost["http_gap"] >= 1


def test_a_client_that_leaves_while_a_hole_is_open_leaves_no_gap(stage: Stage) -> None:
    """What it said lies far behind the hole, further than bytes are kept: TCP has it all."""
    assert_exact(stage.watch(lambda: held_back(stage, "leaving", lambda: time.sleep(0.5))))


def test_what_comes_early_behind_the_segment_that_made_the_connection_waits(stage: Stage) -> None:
    """Which its listener met, that waits for data: what it said is read first, and then not what is beyond the hole."""
    stage.serve(DEFERRED, "--defer-accept")
    outcome = stage.watch(lambda: held_back(stage, "first", lambda: time.sleep(0.3), DEFERRED))
    assert outcome.truth.rows.total() == 2
    assert_exact(outcome)


def test_what_is_sent_again_with_more_is_no_repetition_of_it(stage: Stage) -> None:
    """A queue of the client's own drops what it says, so that TCP puts more behind it."""
    counts = stage.cluster.directory / "appended.json"
    queue = "tc qdisc {} dev eth0 root bfifo limit 10"

    def act() -> Truth:
        program = stage.client.start(
            "appended", [PYTHON, APPS / "holes.py", "appended", stage.server.ipv4, PORT, "--counts", counts]
        )
        in_turn(
            counts.with_name(f"{counts.name}.early"),
            lambda: [wire.hear(0.3) for wire in stage.wires.values()],  # the names are settled
            lambda: stage.client.run("tc", queue.format("add").split()),
            lambda: stage.client.run("tc", queue.format("delete").split()),
        )
        program.wait()
        return truth_of(json.loads(counts.read_text()))

    assert_exact(stage.watch(act))


def in_turn(flag: Path, *acts: Callable[[], object]) -> None:
    """Each when the program waits for it."""
    for one in acts:
        wait_until(flag.exists, "the program waits", 30)
        one()
        flag.unlink()
