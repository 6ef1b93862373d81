"""Kernel ids become contract ids by column; a definition is made once for what looks alike outside the host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plumbline.v1.flow_pb2 import NAME_KIND_HOST, NAME_KIND_ROUTE

from agent.coalescing import FLOWS, REQUESTS
from agent.dictionary import Dictionary, IdTable
from tests.unit.agent.kernels import flow
from tests.unit.agent.rows import SECOND_NS, kernel_columns

BIG = 2**64 - 5
ids = st.integers(0, 2**64 - 1)


@given(st.lists(st.lists(ids, max_size=20), max_size=5), st.lists(ids, max_size=20))
def test_a_table_finds_what_was_added_and_nothing_else(batches: list[list[int]], others: list[int]) -> None:
    table = IdTable()
    values: dict[int, int] = {}
    for batch in batches:
        for key in batch:
            values[key] = len(values) + 1
            table.add(key, values[key], 0, 0)
        asked = np.array([*values, *others], "u8")
        found = table.find(asked)
        got = {int(key): int(table.rows["value"][at]) for key, at in zip(asked, found, strict=True) if at >= 0}
        assert got == {key: value for key, value in values.items() if key in set(asked.tolist())}


def test_flows_that_differ_in_a_command_only_are_one_outside() -> None:
    dictionary = Dictionary()
    first = dictionary.learn_flow(flow(BIG, command="sh"), 1, 0)
    assert dictionary.learn_flow(flow(BIG + 1, command="bash"), 1, 0) == first
    assert dictionary.learn_flow(flow(BIG + 2), 2, 0) != first
    flows, _ = dictionary.take_new()
    assert [(one.id, one.endpoint, one.asked_port) for one in flows] == [(1, 1, 0), (2, 2, 0)]
    assert dictionary.take_new() == ([], [])
    assert dictionary.everything()[0] == flows
    assert dictionary.endpoint_of(BIG + 2) == 2
    assert dictionary.endpoint_of(5) == 0


def test_a_flow_is_told_with_the_name_that_its_client_said() -> None:
    dictionary = Dictionary()
    dictionary.learn_name(7, NAME_KIND_HOST, "a.test", 0)
    for kernel_id, name in ((BIG, 7), (BIG + 1, 8), (BIG + 2, 0)):
        dictionary.learn_flow(flow(kernel_id, server_name=name), 1, 0)
    flows, _ = dictionary.take_new()
    # One whose name did not come is as one without, until it comes.
    assert [(one.id, one.server_name) for one in flows] == [(1, "a.test"), (2, "")]
    dictionary.learn_name(8, NAME_KIND_HOST, "b.test", 0)
    flows, _ = dictionary.take_new()
    assert [(one.id, one.server_name) for one in flows] == [(3, "b.test")]
    rows = kernel_columns([{"flow": BIG + one, "connections": 1} for one in range(3)], FLOWS)
    translated, _, _ = dictionary.translate(rows, kernel_columns([], REQUESTS), SECOND_NS)
    assert translated["flow"].tolist() == [1, 3, 2]


def test_rows_are_translated_and_unknown_flows_are_told() -> None:
    dictionary = Dictionary()
    dictionary.learn_flow(flow(BIG), 1, 0)
    name = dictionary.learn_name(BIG + 1, NAME_KIND_ROUTE, "/a", 0)
    assert dictionary.learn_name(BIG + 2, NAME_KIND_ROUTE, "/a", 0) == name
    assert dictionary.learn_name(BIG + 3, NAME_KIND_HOST, "/a", 0) != name
    flows = kernel_columns([{"flow": BIG, "connections": 2}, {"flow": 77, "connections": 1}], FLOWS)
    requests = kernel_columns(
        [{"flow": BIG, "name": BIG + 1, "count": 1}, {"flow": BIG, "name": 1, "host": 0}, {"flow": BIG, "name": 99},
         {"flow": 78, "name": 0}],
        REQUESTS,
    )  # fmt: skip
    assert dictionary.unknown_flows(flows, requests) == [77, 78]
    flows, requests, lost = dictionary.translate(flows, requests, SECOND_NS)
    assert lost == 2
    assert flows["flow"].tolist() == [1]
    assert requests["name"].tolist() == [name, 1, 2]
    assert requests["host"].tolist() == [0, 0, 0]


def test_idle_flows_leave_the_kernel_when_nothing_is_open_and_lose_their_meaning_later() -> None:
    dictionary = Dictionary()
    for one in (1, 2, 3):
        dictionary.learn_flow(flow(BIG + one, port=one), 1, 0)
    name = dictionary.learn_name(BIG, NAME_KIND_ROUTE, "/a", 0)
    rows = [{"flow": BIG + 1, "connections": 1}, {"flow": BIG + 2, "connections": 2, "closed": 2}]
    dictionary.translate(kernel_columns(rows, FLOWS), kernel_columns([], REQUESTS), 0)
    hour = 3600 * SECOND_NS
    flows, names = dictionary.strike_idle(hour)
    assert (sorted(flows), names) == ([BIG + 2, BIG + 3], [BIG])
    assert dictionary.strike_idle(hour) == ([], [])
    # A datagram socket that slept counts under its old id.
    translated, _, lost = dictionary.translate(
        kernel_columns([{"flow": BIG + 3}], FLOWS), kernel_columns([], REQUESTS), 2 * hour
    )
    assert (translated["flow"].tolist(), lost) == ([3], 0)
    dictionary.strike_idle(3 * hour)
    dictionary.forget(26 * hour, delivered=True)
    assert dictionary.unknown_flows(
        kernel_columns([{"flow": BIG + 2}, {"flow": BIG + 1}], FLOWS), kernel_columns([], REQUESTS)
    ) == [BIG + 2]
    assert [one.port for one in dictionary.everything()[0]] == [1, 3]
    # An id is never used again.
    assert dictionary.learn_name(BIG, NAME_KIND_ROUTE, "/a", 0) > name


def test_flows_of_a_cgroup_that_is_gone_are_forgotten_within_minutes() -> None:
    """Not the one with an open connection, and not one that counts once more."""
    dictionary, minute = Dictionary(), 60 * SECOND_NS
    for one in range(4):
        dictionary.learn_flow(flow(one + 2, port=one), 1, 0)
    counted = kernel_columns([{"flow": 2, "connections": 1}], FLOWS)
    nothing = kernel_columns([], REQUESTS)
    dictionary.translate(counted, nothing, 0)
    assert sorted(dictionary.strike([2, 3, 4])) == [3, 4]
    dictionary.translate(kernel_columns([{"flow": 4}], FLOWS), nothing, minute)
    dictionary.forget(minute, delivered=True)
    dictionary.forget(minute + 1, delivered=False)
    assert dictionary.unknown_flows(kernel_columns([{"flow": one} for one in (2, 3, 4, 5)], FLOWS), nothing) == [3]
    assert dictionary.flows == 4
    dictionary.forget(minute + 2, delivered=True)
    assert dictionary.flows == 3


def test_an_outage_does_not_make_the_table_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel does not keep any more is known by its definition alone, which waiting rows may refer to."""
    monkeypatch.setattr("agent.dictionary.MOST_FLOWS", 2)
    dictionary = Dictionary()
    for one in range(5):
        dictionary.learn_flow(flow(one + 2, command=f"worker-{one}"), 1, 0)
    dictionary.strike_idle(3600 * SECOND_NS)
    dictionary.forget(3600 * SECOND_NS, delivered=False)
    assert len(dictionary.rows()[0]) == 0
    assert [one.id for one in dictionary.everything()[0]] == [1]
    assert dictionary.learn_flow(flow(2), 1, 0) == 1


def test_what_is_beyond_the_bound_counts_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.dictionary.MOST_NAMES", 3)
    monkeypatch.setattr("agent.dictionary.MOST_FLOWS", 2)
    dictionary = Dictionary()
    for one in range(5):
        dictionary.learn_name(BIG - one, NAME_KIND_ROUTE, f"/{one}", 0)
    assert (dictionary.names, dictionary.names_refused) == (3, 2)
    dictionary.learn_flow(flow(7), 1, 0)
    assert not dictionary.full
    dictionary.learn_flow(flow(8, port=1), 1, 0)
    assert dictionary.full
    requests = kernel_columns([{"flow": 7, "name": BIG}, {"flow": 7, "name": BIG - 4}], REQUESTS)
    _, requests, _ = dictionary.translate(kernel_columns([], FLOWS), requests, 0)
    assert requests["name"].tolist() == [3, 1]
