"""Gives rows what only their own time can tell: whose a far address was, and which end's numbers count."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aggregator.resolve.ends import Resolved, Resolver, Times
from aggregator.topology.columns import CLIENT_OWNS, OPEN, SERVER_OWNS, FlowRows, RequestRows, Rows
from aggregator.topology.coverage import HostCoverage

Ints = npt.NDArray[np.int64]


class Settler:
    """Settled rows of one flow may be merged over time without losing who they were about."""

    def __init__(self, resolver: Resolver, coverage: Mapping[int, HostCoverage], times: Times) -> None:
        self._resolver = resolver
        self._coverage = coverage
        self._times = times

    def settled(self, rows: Rows, resolved: Resolved, now_ns: int) -> Rows:
        flows, requests = rows.flows, rows.requests
        flow_ids, request_ids = self._pinned(flows, resolved), self._pinned(requests, resolved)
        if self._resolver.flows_known > len(resolved.source):
            resolved = self._resolver.resolve(self._times, now_ns)  # pinning has made flows
        return Rows(
            FlowRows(
                flow_ids,
                self._authority(flows, flow_ids, resolved, now_ns),
                flows.from_ns,
                flows.to_ns,
                flows.counts,
                flows.protocols,
            ),
            RequestRows(
                request_ids,
                self._authority(requests, request_ids, resolved, now_ns),
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
        self._times.note(ids[moved], rows.from_ns[moved], rows.to_ns[moved])
        return ids

    def _authority(self, rows: FlowRows | RequestRows, ids: Ints, resolved: Resolved, now_ns: int) -> Ints:
        """The server's end counts where its host's agent covered the row's time, else the client's."""
        authority = rows.authority.copy()
        undecided = authority == OPEN
        hosts, middle = resolved.target_host[ids], rows.middle_ns
        authority[undecided] = CLIENT_OWNS
        for host in np.unique(hosts[undecided]).tolist():
            if host >= 0:
                here = np.flatnonzero(undecided & (hosts == host))
                covered = self._coverage[host].covers(middle[here], now_ns)
                authority[here[covered]] = SERVER_OWNS
        return authority
