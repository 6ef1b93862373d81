"""Gives rows what only their own time can tell: whose a far address was, and whether its end tells of it too."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from aggregator.resolve.ends import Resolver
from aggregator.resolve.holders import Said
from aggregator.resolve.resolved import Resolved
from aggregator.steps import Step
from aggregator.topology.columns import (
    COUNTER,
    ENDING,
    FAR_END_SILENT,
    FAR_END_TELLS,
    MOSTLY_SILENT,
    MOSTLY_TELLS,
    OPEN,
    FlowRows,
    RequestRows,
    Rows,
    concatenate,
    is_open,
    joined,
    pieces,
)
from aggregator.topology.coverage import Covered
from aggregator.topology.lives import Lives

R = TypeVar("R", FlowRows, RequestRows)
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
# Time -> what is known of all flows by then.
Resolve: TypeAlias = Callable[[int], Resolved]
# What is known of the far end's host, and spans of time -> whether its agent tells of them too.
Decide: TypeAlias = Callable[[Covered | None, Ints, Ints], Ints]

# Each asks who had its address: more would keep agents waiting.
_PINNED_AT_ONCE: Final = 1_000

_FAILURES: Final = np.array([COUNTER[name] for name in ("refused", "timeout", "reset", "unreachable", "other")])
_EXCHANGES: Final = np.array([COUNTER[name] for name in ("connections", "bytes_sent", "bytes_received")])


class Settler:
    """Settled rows of one flow may be merged over time without losing who they were about."""

    def __init__(self, resolver: Resolver, lives: Lives, resolve: Resolve) -> None:
        self._resolver = resolver
        self._lives = lives
        self._resolve = resolve

    def pinned(self, rows: Rows, resolved: Resolved, now_ns: int, keep: bool) -> tuple[Rows, Resolved]:
        """Rows of addresses that changed hands become rows of flows that say whose; `keep`: where that is certain.
        With what is known of all flows then."""
        flows, requests = self._failures_apart(rows.flows, resolved), rows.requests
        failed, exchanged = _failed(flows), _exchanged(flows)
        flows = self._pinned(flows, resolved, exchanged, failed & ~exchanged, now_ns, keep)
        asked = np.ones(len(requests), np.bool_)
        requests = self._pinned(requests, resolved, asked, ~asked, now_ns, keep)
        resolved = self._resolved(resolved, now_ns)
        if not keep and resolved.elsewhere.any():
            flows = self._unanswered_apart(flows, resolved)
            resolved = self._resolved(resolved, now_ns)
        return Rows(flows, requests), resolved

    def _resolved(self, before: Resolved, now_ns: int) -> Resolved:
        """With the flows that were made meanwhile."""
        return before if self._resolver.flows_known == len(before.source) else self._resolve(now_ns)

    @staticmethod
    def _failures_apart(rows: FlowRows, resolved: Resolved) -> FlowRows:
        """Failed connects are told by who connected alone, and may have met another one than those that did not."""
        if not resolved.moved.any():
            return rows
        both = np.flatnonzero(resolved.moved[rows.flow] & _failed(rows) & _exchanged(rows))
        return _split(rows, both, rows.flow[both]) if len(both) else rows

    def _unanswered_apart(self, rows: FlowRows, resolved: Resolved) -> FlowRows:
        """Failed connects to a Service that several nodes are behind: all that is known of them is the Service."""
        failed = np.flatnonzero(resolved.elsewhere[rows.flow] & _failed(rows))
        if not len(failed):
            return rows
        ids = np.array([self._resolver.unanswered(one) for one in rows.flow[failed].tolist()], np.int64)
        self._lives.note_times(ids, rows.from_ns[failed], rows.to_ns[failed])
        return _split(rows, failed, ids)

    def _pinned(self, rows: R, resolved: Resolved, exchanged: Bools, failed: Bools, now_ns: int, keep: bool) -> R:
        moved = np.flatnonzero(resolved.moved[rows.flow])
        if not len(moved):
            return rows
        ids = rows.flow.copy()
        for at in moved.tolist():
            said = Said(int(rows.from_ns[at]), int(rows.to_ns[at]), bool(exchanged[at]), bool(failed[at]))
            settled, final = self._resolver.settle_far(int(ids[at]), said, now_ns)
            ids[at] = settled if final or not keep else ids[at]
        self._lives.note_times(ids[moved], rows.from_ns[moved], rows.to_ns[moved])
        return replace(rows, flow=ids)


class Settling:
    """For rows that are kept, as of one moment. It stays open while the far end's agent may still tell its own: one
    that is silent may only be cut off."""

    def __init__(self, settler: Settler, resolved: Resolved, coverage: Mapping[int, Covered], now_ns: int) -> None:
        self._settler = settler
        self._resolved = resolved
        self._coverage = coverage
        self._now_ns = now_ns

    def settled(self, rows: Rows) -> Generator[Step, None, Rows]:
        """Begins and ends BESIDE: only rows of addresses that changed hands ask the estate whose they are."""
        moved = [self._resolved.moved[part.flow] for part in (rows.flows, rows.requests)]
        if not moved[0].any() and not moved[1].any():
            return certain(rows, self._resolved, self._coverage)
        steady = Rows(rows.flows.take(~moved[0]), rows.requests.take(~moved[1]))
        done = [certain(steady, self._resolved, self._coverage)]
        for some in pieces(Rows(rows.flows.take(moved[0]), rows.requests.take(moved[1])), _PINNED_AT_ONCE):
            yield Step.ALONE
            pinned, self._resolved = self._settler.pinned(some, self._resolved, self._now_ns, keep=True)
            yield Step.BESIDE
            done.append(certain(pinned, self._resolved, self._coverage))
        return joined(done)


def certain(rows: Rows, resolved: Resolved, coverage: Mapping[int, Covered]) -> Rows:
    """Of pinned rows that are open: by whether the far end's agent was there at the time. That never changes."""

    def decide(known: Covered | None, from_ns: Ints, to_ns: Ints) -> Ints:
        end_ns = known.covered_until_ns if known is not None else None
        if known is None or end_ns is None:
            return np.full(len(from_ns), OPEN, np.int64)
        told = _by_share(known.told_of(from_ns, to_ns), to_ns - from_ns)
        return np.where(to_ns <= end_ns, told, np.where(from_ns < end_ns, ENDING, OPEN))

    return _decided(rows, resolved, coverage, decide)


def likely(rows: Rows, resolved: Resolved, coverage: Mapping[int, Covered], now_ns: int) -> Rows:
    """For a snapshot: what is open counts as it looks at this moment."""

    def decide(known: Covered | None, from_ns: Ints, to_ns: Ints) -> Ints:
        if known is None:
            return np.full(len(from_ns), FAR_END_SILENT, np.int64)
        return _by_share(known.tells_of(from_ns, to_ns, now_ns), to_ns - from_ns)

    return _decided(rows, resolved, coverage, decide)


def _decided(rows: Rows, resolved: Resolved, coverage: Mapping[int, Covered], decide: Decide) -> Rows:
    return Rows(
        replace(rows.flows, authority=_authority(rows.flows, resolved, coverage, decide)),
        replace(rows.requests, authority=_authority(rows.requests, resolved, coverage, decide)),
    )


def _authority(
    rows: FlowRows | RequestRows, resolved: Resolved, coverage: Mapping[int, Covered], decide: Decide
) -> Ints:
    """By the host of their far end where that is one of ours."""
    authority = rows.authority.copy()
    # Whose end it is may still change: then so may who tells of it.
    undecided = np.flatnonzero(is_open(rows) & ~resolved.moved[rows.flow])
    hosts = resolved.far_host[rows.flow[undecided]]
    for host in np.unique(hosts).tolist():
        here = undecided[hosts == host]
        from_ns = rows.from_ns[here]
        authority[here] = decide(coverage.get(host), from_ns, np.maximum(rows.to_ns[here], from_ns + 1))
    return authority


def _by_share(told_ns: Ints, length_ns: Ints) -> Ints:
    """For rows so long, of which the far end's agent tells for so long."""
    mostly = np.where(2 * told_ns > length_ns, MOSTLY_TELLS, MOSTLY_SILENT)
    found: Ints = np.where(told_ns == length_ns, FAR_END_TELLS, np.where(told_ns == 0, FAR_END_SILENT, mostly))
    return found


def _split(rows: FlowRows, which: Ints, ids: Ints) -> FlowRows:
    """The failed connects of these rows as rows of their own, of the flows `ids`."""
    apart = rows.take(which)
    counts, rest = np.zeros_like(apart.counts), rows.counts.copy()
    counts[:, _FAILURES] = apart.counts[:, _FAILURES]
    rest[which[:, None], _FAILURES] = 0
    return concatenate([replace(rows, counts=rest), replace(apart, flow=ids, counts=counts)], FlowRows.empty())


def _failed(rows: FlowRows) -> Bools:
    found: Bools = np.any(rows.counts[:, _FAILURES] != 0, axis=1)
    return found


def _exchanged(rows: FlowRows) -> Bools:
    found: Bools = np.any(rows.counts[:, _EXCHANGES] != 0, axis=1)
    return found
