"""What every measurement needs: its flags, a table or JSON of figures, and ways to say how much CPU something took."""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table. `budget` is what must be, "" where nothing is asked; `row` the row of the table of all
    budgets (table.py) that it is for."""

    name: str
    value: float
    unit: str
    budget: str = ""
    note: str = ""
    row: str = ""


def flags(text: str | None) -> argparse.ArgumentParser:
    """A parser with what all measurements have in common."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def show(figures: Sequence[Figure], as_json: bool) -> None:
    """Prints them, with the load that the machine had: figures of a busy machine are worth less."""
    load = tuple(round(one, 2) for one in os.getloadavg())
    if as_json:
        write(json.dumps({"load": load, "figures": [asdict(figure) for figure in figures]}, indent=2))
        return
    widths = [max((len(row[at]) for row in map(_cells, figures)), default=0) for at in range(4)]
    for figure in figures:
        cells = _cells(figure)
        write("  ".join((f"{cells[0]:<{widths[0]}}", f"{cells[1]:>{widths[1]}}", *_padded(cells, widths), figure.note)))
    write(f"load of the machine: {load}")


def write(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def cpu_seconds(do: Callable[[], T]) -> tuple[float, T]:
    """CPU of this process, all threads, while `do` runs; garbage of before is not its own."""
    gc.collect()
    begin = time.process_time()
    result = do()
    return time.process_time() - begin, result


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    return figure.name, number(figure.value), figure.unit, f"must {figure.budget}" if figure.budget else ""


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [f"{cell:<{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True)]


def number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
