"""What rows are grouped by: per flow id, both ends as resolved, and what never changes about the flow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aggregator.records import End, Flow, Name, Way

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Per flow id, what never changes about it."""

    endpoint: Ints
    role: Ints
    transport: Ints


def facts_of(flows: Sequence[Flow], known: Facts | None = None) -> Facts:
    """`known`: of the first of them, as an earlier call gave it."""
    new = flows[len(known.role) :] if known else flows
    facts = Facts(
        np.array([one.endpoint for one in new], np.int64),
        np.array([one.role for one in new], np.int64),
        np.array([one.transport for one in new], np.int64),
    )
    return _joined(known, facts) if known else facts


def _joined(known: Facts, more: Facts) -> Facts:
    return Facts(
        np.concatenate([known.endpoint, more.endpoint]),
        np.concatenate([known.role, more.role]),
        np.concatenate([known.transport, more.transport]),
    )


@dataclass(frozen=True, slots=True)
class Revisions:
    """What pods are marked with. `names` by id, of which 0 is none; `of_endpoint`: by endpoint, the last one for
    nobody; `nodes`: positions in `ends` of the first end of each node that has any."""

    names: Sequence[str]
    of_endpoint: Ints
    nodes: Ints


@dataclass(frozen=True, slots=True)
class Flows:
    """Per flow id, what rows are grouped by: positions in `ends` (-1: not shown), and the flow's own facts.

    `vertices`: for each end the first one with its node id; both grow while names are looked up.
    `shared`: the server's end cannot tell its clients apart. `port` is the server's, `via` a position in `ways` of
    what the client asked for where that was something else, else -1. `asked_by`: by (source, target, port) what clients
    asked for whose own rows cannot tell who answered. `by_host`: the end of the host whose address a server sees, where
    others may come by way of that host, too; else -1. `near`: that of a client's own host, which may be seen instead.
    `met`: an endpoint of the revision at the far end, -1 where nobody can tell; `revisions`: None where there are none.
    """

    ends: Sequence[End]
    vertices: Sequence[int]
    source: Ints
    target: Ints
    outside: npt.NDArray[np.bool_]
    shared: npt.NDArray[np.bool_]
    port: Ints
    via: Ints
    ways: Sequence[tuple[Way, ...]]
    by_host: Ints
    near: Ints
    asked_by: Mapping[tuple[int, int, int], frozenset[int]]
    met: Ints
    revisions: Revisions | None
    facts: Facts
    protocols: Ints  # bits ever seen
    active: Ints  # connections open now


@dataclass(frozen=True, slots=True)
class Texts:
    """Names by id, and the third party behind a Host (position in `ends`) where it names one.

    `is_target`, by name id: said by a request's target. `behind_proxy`: the third party that a client's flow was to
    reach by that name; None where its server is the one that is called so. `were_there`: names that DNS had told of
    before, as `lookups.asked` codes them with the flow that they were asked for on, in order."""

    names: Sequence[Name]
    named_by_host: Callable[[str], int | None]
    is_target: npt.NDArray[np.bool_]
    behind_proxy: Callable[[int, str], int | None]
    were_there: Ints = field(default_factory=lambda: np.empty(0, np.int64))
