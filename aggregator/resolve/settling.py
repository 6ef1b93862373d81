"""Gives rows what only their own time can tell: whose a far address was, and whether its end tells of it too."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from aggregator.resolve.ends import Resolved, Resolver
from aggregator.topology.columns import FAR_END_SILENT, FAR_END_TELLS, OPEN, FlowRows, RequestRows, Rows
from aggregator.topology.coverage import HostCoverage
from aggregator.topology.lives import Lives

Ints: TypeAlias = npt.NDArray[np.int64]
# Time -> what is known of all flows by then.
Resolve: TypeAlias = Callable[[int], Resolved]
# What is known of the far end's host, and times -> whether its agent tells of them too.
Decide: TypeAlias = Callable[[HostCoverage | None, Ints], Ints]


class Settler:
    """Settled rows of one flow may be merged over time without losing who they were about."""

    def __init__(
        self, resolver: Resolver, coverage: Mapping[int, HostCoverage], lives: Lives, resolve: Resolve
    ) -> None:
        self._resolver = resolver
        self._coverage = coverage
        self._lives = lives
        self._resolve = resolve

    def for_good(self, rows: Rows, resolved: Resolved, now_ns: int) -> Rows:
        """For rows that are kept. It stays open while the far end's agent may still tell its own: one that is silent
        may only be cut off."""
        return self._settled(rows, resolved, now_ns, self._certain)

    def for_now(self, rows: Rows, resolved: Resolved, now_ns: int) -> Rows:
        """For a snapshot: what is open counts as it looks at this moment."""
        return self._settled(rows, resolved, now_ns, lambda known, times_ns: self._likely(known, times_ns, now_ns))

    @staticmethod
    def _certain(known: HostCoverage | None, times_ns: Ints) -> Ints:
        """By whether the far end's agent was there at the time."""
        authority = np.full(len(times_ns), OPEN, np.int64)
        if known is not None:
            authority[known.told(times_ns)] = FAR_END_TELLS
            authority[known.missed(times_ns)] = FAR_END_SILENT
        return authority

    @staticmethod
    def _likely(known: HostCoverage | None, times_ns: Ints, now_ns: int) -> Ints:
        authority = np.full(len(times_ns), FAR_END_SILENT, np.int64)
        if known is not None:
            authority[known.covers(times_ns, now_ns)] = FAR_END_TELLS
        return authority

    def _settled(self, rows: Rows, resolved: Resolved, now_ns: int, decide: Decide) -> Rows:
        flows, requests = rows.flows, rows.requests
        flow_ids, request_ids = self._pinned(flows, resolved), self._pinned(requests, resolved)
        if self._resolver.flows_known > len(resolved.source):
            resolved = self._resolve(now_ns)  # pinning has made flows
        return Rows(
            FlowRows(
                flow_ids,
                self._authority(flows, flow_ids, resolved, decide),
                flows.from_ns,
                flows.to_ns,
                flows.counts,
                flows.protocols,
            ),
            RequestRows(
                request_ids,
                self._authority(requests, request_ids, resolved, decide),
                requests.from_ns,
                requests.to_ns,
                requests.detail,
                requests.names,
                requests.count,
                requests.sum_ns,
            ),
        )

    def _pinned(self, rows: FlowRows | RequestRows, resolved: Resolved) -> Ints:
        """Rows of addresses that changed hands become rows of flows that say whose it was."""
        moved = np.flatnonzero(resolved.moved[rows.flow])
        if not len(moved):
            return rows.flow
        ids, middle = rows.flow.copy(), rows.middle_ns
        for at in moved.tolist():
            ids[at] = self._resolver.settle_far(int(ids[at]), int(middle[at]))
        self._lives.note_times(ids[moved], rows.from_ns[moved], rows.to_ns[moved])
        return ids

    def _authority(self, rows: FlowRows | RequestRows, ids: Ints, resolved: Resolved, decide: Decide) -> Ints:
        """Of rows that are open yet, by the host of their far end where that is one of ours."""
        authority = rows.authority.copy()
        undecided = authority == OPEN
        hosts, middle = resolved.far_host[ids], rows.middle_ns
        for host in np.unique(hosts[undecided]).tolist():
            here = np.flatnonzero(undecided & (hosts == host))
            authority[here] = decide(self._coverage.get(host), middle[here])
        return authority
