"""What was merged for snapshots is what it was made of: the graph is the same as without it, while rows age."""

from pathlib import Path

import numpy as np
import pytest

from aggregator.resolve import past
from aggregator.topology.columns import Rows, joined
from aggregator.topology.hot import Span
from bench.aggregator import SECOND_NS, Site

WINDOWS_NS = (60 * SECOND_NS, 300 * SECOND_NS)
SECONDS = 400


def test_a_window_with_a_merged_past_shows_the_same_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_MOST_LOOSE", 500)
    merged, kept = past.Past.together, 0
    news = past.Past._news

    def counted(self: past.Past, *arguments: object) -> list[Rows] | None:
        nonlocal kept
        found = news(self, *arguments)  # type: ignore[arg-type]
        kept += found is not None
        return found

    def plain(self: past.Past, span: Span, *_: object) -> Rows:
        return joined(span.parts())

    monkeypatch.setattr(past.Past, "_news", counted)
    site, dice = Site(60, tmp_path), np.random.default_rng(3)
    for second in range(SECONDS):
        since_ns, site.now_ns = site.now_ns, site.now_ns + SECOND_NS
        for agent in site.agents:
            if dice.random() < 0.8:
                late_ns = int(dice.integers(0, 3)) * SECOND_NS
                rows = agent.rows(int(dice.integers(8, 400)), since_ns - late_ns, site.now_ns, site.dice)
                site.take(agent, rows.SerializeToString())
        if second % 5 == 4:
            site.store.age()
        if second % 3:
            continue
        for window_ns in WINDOWS_NS:
            monkeypatch.setattr(past.Past, "together", merged)
            with_past = site.store.topology(window_ns)
            monkeypatch.setattr(past.Past, "together", plain)
            assert site.store.topology(window_ns) == with_past
    site.store.close()
    assert kept > SECONDS / 6, "the past was made anew each time"
