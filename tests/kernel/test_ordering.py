"""Bad wires: what an end cannot know it counts as lost; it never counts what was not. See docs/ordering.md."""

import pytest
from _pytest.mark import ParameterSet

from tests.cluster.impaired import Impairment
from tests.kernel.ordering import DUPLICATION, Cell, Outcome, Stage, assert_exact, assert_never_wrong, grid

# The stage of all of them is built while the first of them waits.
pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
FEW = 2000
SMALL_CELLS = [
    Cell(Impairment(0, 0, DUPLICATION, seed=101), 8, FEW),
    Cell(Impairment(0, 0.1, DUPLICATION, seed=102), 8, FEW),
    Cell(Impairment(0.001, 0.01, DUPLICATION, seed=103), 8, FEW),
    Cell(Impairment(0.01, 0.01, DUPLICATION, seed=104), 1, FEW),
    Cell(Impairment(0.01, 0.01, DUPLICATION, seed=105), 8, FEW),
    Cell(Impairment(0.05, 0.1, DUPLICATION, seed=106), 8, FEW),
]
WHOLE_GRID = list(grid())


def cells(chosen: list[Cell]) -> list[ParameterSet]:
    return [pytest.param(cell, id=str(cell)) for cell in chosen]


@pytest.mark.parametrize("cell", cells(SMALL_CELLS))
def test_each_end_counts_what_was_said_over_a_bad_wire(stage: Stage, cell: Cell) -> None:
    assert_right(cell, stage.run(cell))


@pytest.mark.long
@pytest.mark.parametrize("cell", cells(WHOLE_GRID))
def test_the_whole_grid(stage: Stage, cell: Cell) -> None:
    assert_right(cell, stage.run(cell))


def assert_right(cell: Cell, outcome: Outcome) -> None:
    assert_the_wire_was_bad(cell, outcome)
    if cell.must_be_exact:
        assert_exact(outcome)
    else:
        assert_never_wrong(outcome)


def assert_the_wire_was_bad(cell: Cell, outcome: Outcome) -> None:
    """Half of what was asked for at least, so that a cell cannot be right for want of impairment."""
    assert outcome.truth.rows.total() == cell.requests
    frames, asked = outcome.passed.frames, cell.impairment
    assert outcome.passed.lost >= frames * asked.loss / 2
    assert outcome.passed.held_back >= frames * asked.reordering / 2
    assert outcome.passed.doubled >= frames * asked.duplication / 2
