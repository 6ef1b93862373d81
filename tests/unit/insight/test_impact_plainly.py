"""Whatever the graph, the answer is that of a search which anybody can read."""

import importlib
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.insight import ask
from aggregator.insight.case import MOST_ROWS
from aggregator.insight.impact import are_enough
from tests.builders import call, case, lookup, opaque, unit

NODES = 10
NAMES = [f"alpha/n{number:02}" for number in range(NODES)]
EDGE = {"http": call, "dns": lookup, "tcp": opaque}

# (client, server, protocol, how often)
Use = tuple[str, str, str, int]
Pairs = dict[tuple[str, str], float]

# Equal shares, and such as are hardly shown or not at all.
COUNTS = st.sampled_from([1, 2, 30, 1000, 1_000_000])
PROTOCOLS = st.sampled_from(["http", "http", "http", "dns", "tcp"])
USES = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), PROTOCOLS, COUNTS)
# Without the second, hypothesis hardly makes a graph of many edges.
SOME_USES = st.lists(USES, max_size=2 * NODES) | st.lists(USES, min_size=2 * NODES, max_size=6 * NODES)


@settings(max_examples=300)
@given(SOME_USES, st.integers(1, NODES))
def test_an_answer_is_that_of_a_plain_search(uses: list[Use], most_rows: int) -> None:
    asked = NAMES[0]
    edges = [EDGE[protocol](client, server, **{_counted(protocol): count}) for client, server, protocol, count in uses]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(importlib.import_module("aggregator.insight.impact"), "MOST_ROWS", most_rows)
        content = ask(case(*(unit(name.removeprefix("alpha/")) for name in NAMES), *edges), "impact", asked).content
    weights = weighed(uses)
    shares, distances = searched(weights, asked)
    expected = sorted((-round(shares[name], 6), distances[name], name) for name in shares if name != asked)
    assert content["counts"] == {"affected": len(expected)}
    assert [(-row["share"], row["distance"], row["id"]) for row in content["affected"]] == expected[:most_rows]
    guessed = {client for client, server, protocol, _ in uses if protocol == "tcp" and client != server}
    for row in content["affected"]:
        assert (row["path"][0], row["path"][-1]) == (row["id"], asked)
        assert share_along(row["path"], weights) == pytest.approx(shares[row["id"]])
        assert row["share_of"] == ("connections" if guessed & set(row["path"][:-1]) else "requests")


def test_what_is_shown_like_the_floor_is_not_above_it() -> None:
    floor, above = 2.0**-20, 2.0**-19
    assert are_enough(np.full(MOST_ROWS + 1, above), floor)
    # One of them is the node that was asked about.
    assert not are_enough(np.full(MOST_ROWS, above), floor)
    assert not are_enough(np.full(MOST_ROWS + 1, floor * 1.1), floor)


def weighed(uses: list[Use]) -> Pairs:
    """(client, server) -> share; look-ups are shares among themselves."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    totals: Counter[tuple[str, bool]] = Counter()
    for client, server, protocol, count in uses:
        if client != server:
            counts[client, server, protocol == "dns"] += count
            totals[client, protocol == "dns"] += count
    weights: Pairs = {}
    for (client, server, is_lookup), count in counts.items():
        weights[client, server] = max(weights.get((client, server), 0.0), count / totals[client, is_lookup])
    return weights


def searched(weights: Pairs, asked: str) -> tuple[dict[str, float], dict[str, int]]:
    """The largest product of shares to each node and the fewest edges, by trying every edge as often as there are
    nodes."""
    shares, distances = {asked: 1.0}, {asked: 0}
    for _ in NAMES:
        for (client, server), weight in weights.items():
            if server in shares:
                shares[client] = max(shares.get(client, 0.0), weight * shares[server])
                distances[client] = min(distances.get(client, NODES), distances[server] + 1)
    return shares, distances


def share_along(path: list[str], weights: Pairs) -> float:
    product = 1.0
    for step in pairwise(path):
        product *= weights[step]
    return product


def _counted(protocol: str) -> str:
    return "connections" if protocol == "tcp" else "requests"
