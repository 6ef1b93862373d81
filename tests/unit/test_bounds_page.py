"""docs/bounds.md says of each bound what the code says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
PAGE = TREE / "docs" / "bounds.md"


def rows() -> Iterator[tuple[str, float, str, str]]:
    """(what, value, file, name in it), of those that have a number."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        places = re.match(r"`([\w/.]+)` `(\w+)`", cells[3]) if len(cells) > 5 else None
        number = re.match(r"[\d,.]+", cells[2]) if places else None
        if places and number:
            yield cells[1], float(number[0].replace(",", "")), places[1], places[2]


ROWS = list(rows())


def test_the_page_has_the_bounds() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_a_bound_is_what_the_code_says(row: tuple[str, float, str, str]) -> None:
    _, value, file, name = row
    text = (TREE / file).read_text(encoding="utf-8")
    if name == "is_outside":
        assert name in text
        return
    found = re.search(rf"^(?:#define {name} |\s*{name}(?:: [\w |\[\],]+)? = )([\d_.]+)", text, re.MULTILINE)
    assert found, f"{file} has no {name}"
    assert float(found[1].replace("_", "")) == value


def test_every_reason_is_on_a_page() -> None:
    told = PAGE.read_text(encoding="utf-8") + (TREE / "docs/kernel.md").read_text(encoding="utf-8")
    types = (TREE / "bpf/types.h").read_text(encoding="utf-8")
    reasons = re.findall(r"^  X\((\w+)\)", types, re.MULTILINE)
    assert len(reasons) > 15
    assert {reason for reason in reasons if f"`{reason}`" not in told} == set()
