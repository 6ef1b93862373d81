"""Every budget of the design in one table: what must be, what is aimed at, what was measured, and whether it is met.

python -m bench.table [--quads 6]     (root; about a quarter of an hour on a quiet machine)

Each measurement is a program of its own (docs/performance.md), started one after the other; their tables go to stderr.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from bench.common import flags, number, progress, write

_PROGRAMS: Final = ("kernel_cost", "naming", "latency", "start", "agent_memory", "aggregator", "impact")


@dataclass(frozen=True, slots=True)
class Budget:
    """`figure` is the measurement's row or name; bounds are the least or the most that is allowed."""

    what: str
    figure: str
    unit: str
    must: float
    aim: float
    at_least: bool = False

    def met(self, value: float) -> str:
        if self._holds(value, self.aim):
            return "aim"
        return "must" if self._holds(value, self.must) else "NO"

    def bound(self, limit: float) -> str:
        return f"{'>=' if self.at_least else '<='} {number(limit)}"

    def _holds(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


BUDGETS: Final = (
    Budget("CPU for 1,000 requests, against an event each", "against events", "x", 20, 100, at_least=True),
    Budget(
        "CPU for 1,000 new TLS connections, against events",
        "new TLS connections against events",
        "x",
        10,
        20,
        at_least=True,
    ),
    Budget("CPU for 1,000 DNS look-ups, against events", "DNS look-ups against events", "x", 20, 100, at_least=True),
    Budget("agent's CPU at 10 times the rate, the same edges", "agent CPU at 10x", "x", 1.3, 1.1),
    Budget("nginx, throughput kept, both sides traced", "kept, both sides", "%", 90, 95, at_least=True),
    Budget("nginx, throughput kept, the server's side traced", "kept, server's side", "%", 93, 95, at_least=True),
    Budget("nginx with TLS, the server's side traced", "kept, TLS", "%", 95, 98, at_least=True),
    Budget("redis, the server's side traced", "kept, redis 1", "%", 95, 98, at_least=True),
    Budget("  16 requests at once", "kept, redis 16", "%", 95, 98, at_least=True),
    Budget("p99 added to nginx at half its capacity", "p99 added", "%", 5, 1),
    Budget("agent's working set, 1,000 open sockets", "working set, 1,000 open sockets", "MB", 150, 90),
    Budget("agent's working set, 50,000 open sockets", "working set, 50,000 open sockets", "MB", 250, 150),
    Budget("agent's start to its first edge", "agent's start to its first edge at a watcher", "s", 10, 3),
    Budget("requests counted, difference to nginx's own count", "requests counted", "requests", 0, 0),
    Budget(
        "aggregator: records a second, against one message each",
        "times fewer CPU a record than one message each, with its stream",
        "x",
        100,
        400,
        at_least=True,
    ),
    Budget("cost of a record with 10 times the edges", "cost of a record", "x", 2, 1.5),
    Budget("impact on 20,000 nodes and 200,000 edges, p99", "impact", "ms", 10, 2),
    Budget("new edge to a watcher under 100,000 records/s, p99", "new edge under load", "ms", 1000, 100),
)


def main() -> int:
    parser = flags(__doc__)
    parser.add_argument("--quads", type=int, default=100, help="rounds of four turns, for each of the loads")
    asked = parser.parse_args()
    extra = {"kernel_cost": ["--quads", str(asked.quads)], "start": ["--starts", "3", "--calls", "40"]}
    found: dict[str, dict[str, Any]] = {}
    for name in _PROGRAMS:
        for figure in measured(name, extra.get(name, [])):
            found[key_of(name, figure)] = figure
    rows = [row(budget, found.get(budget.figure)) for budget in BUDGETS]
    write(as_table(("what", "must", "aim", "measured", "met", "of which"), rows, asked.json))
    return 0 if all(cells[4] in ("aim", "must") for cells in rows) else 1


def measured(name: str, words: list[str]) -> list[dict[str, Any]]:
    """Its figures. A measurement that fails leaves its rows unmeasured, and says why on stderr."""
    progress(f"== {name}")
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", "--json", *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        progress(f"{name} ended with {done.returncode}: {done.stdout}")
        return []
    figures: list[dict[str, Any]] = json.loads(done.stdout)["figures"]
    for figure in figures:
        progress(f"{figure['name']}: {number(figure['value'])} {figure['unit']}  {figure['note']}")
    return figures


def key_of(program: str, figure: dict[str, Any]) -> str:
    """What a budget knows a figure by. Of several of one kind in a measurement, the last one counts."""
    if figure["row"]:
        return str(figure["row"])
    name = str(figure["name"]).strip()
    if program == "impact" and name == "the answer, p99":
        return "impact"
    return "cost of a record" if name.startswith("cost of a record") else name


def row(budget: Budget, figure: dict[str, Any] | None) -> tuple[str, ...]:
    bounds = (budget.what, budget.bound(budget.must), budget.bound(budget.aim))
    if figure is None:
        return (*bounds, "not measured", "NO", "")
    value = float(figure["value"])
    return (*bounds, f"{number(value)} {budget.unit}", budget.met(value), str(figure["note"]))


def as_table(heads: tuple[str, ...], rows: list[tuple[str, ...]], as_json: bool) -> str:
    load = [round(one, 2) for one in os.getloadavg()]
    if as_json:
        return json.dumps({"load": load, "rows": [dict(zip(heads, cells, strict=True)) for cells in rows]}, indent=2)
    widths = [max(len(cells[at]) for cells in [heads, *rows]) for at in range(len(heads))]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)) for cells in [heads, *rows]
    ]
    return "\n".join([*lines, f"load of the machine: {load}"])


if __name__ == "__main__":
    sys.exit(main())
