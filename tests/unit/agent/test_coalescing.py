"""Totals never change, whatever the order of adding, widening and taking; what waits is bounded by distinct keys."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plumbline.v1.columns import Columns

from agent.coalescing import FLOWS, REQUESTS, Form, Portion, Waiting, coalesce
from tests.unit.agent.rows import SECOND_NS, columns, portion

FEW = st.integers(0, 3)
BIG = st.integers(0, 2**40)
flow_rows = st.lists(
    st.fixed_dictionaries({"flow": FEW, "bytes_sent": BIG, "closed": FEW, "protocols": st.integers(0, 63)}), max_size=6
)
request_rows = st.lists(
    st.fixed_dictionaries(
        {
            "flow": FEW,
            "name": st.sampled_from([0, 1, 2, 2**32 - 1]),
            "host": FEW,
            "latency_bucket": st.sampled_from([0, 1, 2**16 - 1]),
            "code": st.sampled_from([200, 503, 2**16 - 1]),
            "kind": FEW,
            "protocol": FEW,
            "operation": FEW,
            "outcome": FEW,
            "count": BIG,
            "sum_ns": BIG,
        }
    ),
    max_size=6,
)
portions = st.builds(
    lambda at, width, flows, requests: portion(at * SECOND_NS, (at + width) * SECOND_NS, flows, requests),
    st.integers(0, 200_000),
    st.integers(1, 5),
    flow_rows,
    request_rows,
)
steps = st.lists(
    st.one_of(
        portions,
        st.tuples(st.just("widen"), st.integers(0, 400_000)),
        st.tuples(st.just("take"), st.integers(1, 5)),
    ),
    max_size=40,
)


def sums(columns: Columns, form: Form) -> tuple[Counter[Any], dict[Any, int]]:
    """Every summed column by key, and the unions by key: row by row, as slowly and plainly as possible."""
    counts: Counter[Any] = Counter()
    unions: dict[Any, int] = {}
    for at in range(len(columns["flow"])):
        key = tuple(int(columns[name][at]) for name in form.keys)
        for name in form.types:
            if name in form.unions:
                unions[key] = unions.get(key, 0) | int(columns[name][at])
            elif name not in form.keys:
                counts[key, name] += int(columns[name][at])
    return +counts, unions


def all_sums(parts: list[Portion]) -> Any:
    def joined(which: str, form: Form) -> Columns:
        return {name: np.concatenate([np.empty(0, kind), *(getattr(part, which)[name] for part in parts)]).astype(kind)
                for name, kind in form.types.items()}  # fmt: skip

    return sums(joined("flows", FLOWS), FLOWS), sums(joined("requests", REQUESTS), REQUESTS)


@given(request_rows)
def test_one_row_a_key_and_the_same_sums(rows: list[dict[str, int]]) -> None:
    before = columns(rows, REQUESTS)
    after = coalesce([before], REQUESTS)
    keys = list(zip(*(after[name].tolist() for name in REQUESTS.keys), strict=True))
    assert len(keys) == len(set(keys))
    assert sums(after, REQUESTS) == sums(before, REQUESTS)
    assert all(after[name].dtype == before[name].dtype for name in before)


@settings(max_examples=300)
@given(steps, st.integers(1, 40))
def test_no_order_changes_a_total(steps: list[Any], most_rows: int) -> None:
    waiting = Waiting(most_rows)
    put: list[Portion] = []
    taken: list[Portion] = []
    for step in steps:
        match step:
            case Portion():
                put.append(step)
                waiting.add(step)
            case ("widen", seconds):
                waiting.widen(seconds * SECOND_NS)
            case ("take", rows):
                got = waiting.take(rows)
                assert sum(one.rows for one in got) <= rows
                taken += got
    taken += waiting.take(1_000_000)
    assert waiting.rows == 0
    assert waiting.oldest_ns is None
    assert all_sums(taken) == all_sums(put)


def test_a_day_without_an_aggregator_costs_rows_by_flows_not_by_time() -> None:
    waiting = Waiting()
    flows = [{"flow": flow, "bytes_sent": 1} for flow in range(1, 11)]
    most = 0
    for second in range(0, 2 * 86_400, 10):
        waiting.add(portion(second * SECOND_NS, (second + 10) * SECOND_NS, flows))
        waiting.widen((second + 10) * SECOND_NS)
        most = max(most, waiting.spans)
    assert most < 90
    assert waiting.rows == waiting.spans * 10
    assert sum(int(one.flows["bytes_sent"].sum()) for one in waiting.take(10**6)) == 10 * 2 * 8640


def test_age_widens_seconds_to_minutes_to_an_hour() -> None:
    waiting = Waiting()
    hours = 3
    for second in range(hours * 3600):
        waiting.add(portion(second * SECOND_NS, (second + 1) * SECOND_NS, [{"flow": 1, "closed": 1}]))
    waiting.widen(hours * 3600 * SECOND_NS)
    widths = [(one.span.to_ns - one.span.from_ns) // SECOND_NS for one in waiting.take(10**6)]
    assert set(widths[:2]) == {3600}
    assert widths[-9:] == [1] * 9
    assert {10, 60} <= set(widths)
    assert sum(widths) == hours * 3600


def test_more_rows_than_may_wait_give_up_time_and_nothing_else() -> None:
    waiting = Waiting(most_rows=50)
    for second in range(9):
        waiting.add(
            portion(second * SECOND_NS, (second + 1) * SECOND_NS, [{"flow": f, "closed": 1} for f in range(40)])
        )
    waiting.widen(9 * SECOND_NS)
    assert waiting.rows == 40
    (one,) = waiting.take(100)
    assert one.span == (0, 9 * SECOND_NS)
    assert one.flows["closed"].tolist() == [9] * 40
