"""Flows whose address changed hands are known the same whenever they came to be watched, each at its own cost."""

import random
import time

import numpy as np

from aggregator.records import SECOND_NS
from aggregator.resolve.presence import Presence
from aggregator.topology.columns import COUNTERS, FlowRows
from tests.unit.aggregator.agents import ns


def rows(flows: list[int], begin: float) -> FlowRows:
    counts = np.zeros((len(flows), len(COUNTERS)), np.int64)
    counts[:, COUNTERS.index("connections")] = [one % 3 == 0 for one in flows]
    counts[:, COUNTERS.index("adopted")] = [one % 5 == 0 for one in flows]
    size, nothing = len(flows), np.zeros(len(flows), np.int64)
    times = np.full(size, ns(begin)), np.full(size, ns(begin + 1))
    return FlowRows(np.array(flows, np.int64), nothing, *times, counts, nothing)


def test_it_does_not_matter_when_a_flow_came_to_be_watched() -> None:
    dice = random.Random(5)
    held = [rows(dice.sample(range(40), 20), 30 * at) for at in range(10)]
    # By a number of its own, and by one that several share.
    keys = {flow: (flow, -1 - flow // 4) for flow in range(40)}
    one, some = Presence(lambda: held), dict[int, tuple[int, ...]]()
    for _ in range(15):
        some = some | {flow: keys[flow] for flow in dice.sample(sorted(keys), dice.randint(0, 5))}
        one.watch(some)
        if dice.random() < 0.3:
            held.append(rows(dice.sample(range(40), 20), 30 * len(held)))
            one.note(held[-1])
        anew = Presence(lambda: held)
        anew.watch(some)
        for key in {key for each in some.values() for key in each}:
            for at in range(0, 30 * len(held), 10):
                span = key, ns(at), ns(at) + SECOND_NS
                for ask in (Presence.seen, Presence.opened, Presence.began_anew):
                    assert ask(one, *span) == ask(anew, *span)


def test_one_more_that_is_watched_costs_nothing_of_all_others() -> None:
    held = [rows(list(range(5_000)), 30 * at) for at in range(20)]
    spent = []
    for many in (20, 4_000):
        presence, keys = Presence(lambda: held), {flow: (flow, -1 - flow) for flow in range(many)}
        presence.watch(keys)
        started = time.thread_time()
        for more in range(4_500, 4_510):
            presence.watch(keys := keys | {more: (more, -1 - more)})
        spent.append(time.thread_time() - started)
    assert spent[1] < 20 * spent[0]
