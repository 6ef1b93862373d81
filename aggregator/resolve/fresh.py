"""Flows so young that whose their far address is may not be told yet. Pure."""

from collections.abc import Mapping
from typing import Final

from aggregator.ingest.tables import Tables
from aggregator.records import FOREVER_NS, SECOND_NS, Flow
from aggregator.topology.coverage import HostCoverage

_GRACE_INTERVALS: Final = 3


class Fresh:
    """`flows` wait for such an answer, and are in no edge meanwhile: under a bare address they would be a stranger's,
    and that edge would vanish in the next moment. As of the time of `look`."""

    def __init__(self, tables: Tables, coverage: Mapping[int, HostCoverage]) -> None:
        self._tables = tables
        self._coverage = coverage
        self._now_ns = self._told_until_ns = 0
        self.flows: set[int] = set()

    def look(self, now_ns: int) -> None:
        self._now_ns = now_ns
        present = (one for one in self._coverage.values() if not one.is_stale(now_ns))
        self._told_until_ns = min((one.covered_until_ns or 0 for one in present), default=FOREVER_NS)

    def may_be_known(self, flow: Flow, first_ns: int) -> bool:
        """Whether one of ours may still say that it is at the other end of a flow that was seen first at that time."""
        return self._now_ns - first_ns < _GRACE_INTERVALS * self._interval_ns(flow)

    def may_be_claimed(self, flow: Flow, first_ns: int) -> bool:
        """The same of one that claims its address with the first row of it: it has, when every agent that is there
        has told of the time of the flow's own first row."""
        return self._told_until_ns < first_ns + self._interval_ns(flow) and self.may_be_known(flow, first_ns)

    def _interval_ns(self, flow: Flow) -> int:
        known = self._coverage.get(self._tables.endpoints.values[flow.endpoint].host)
        return known.interval_ns if known else SECOND_NS
