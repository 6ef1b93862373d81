"""What rows are grouped by: per flow id, both ends as resolved, and what never changes about the flow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aggregator.records import End, Flow, text_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Per flow id, what never changes about it. `asked`: what the client asked for where that was something else
    (`translated`)."""

    endpoint: Ints
    role: Ints
    port: Ints
    transport: Ints
    asked: Sequence[str]
    translated: npt.NDArray[np.bool_]


def facts_of(flows: Sequence[Flow], known: Facts | None = None) -> Facts:
    """`known`: of the first of them, as an earlier call gave it."""
    new = flows[len(known.role) :] if known else flows
    asked = [f"{text_of(one.asked_address)}:{one.asked_port}" if any(one.asked_address) else "" for one in new]
    facts = Facts(
        np.array([one.endpoint for one in new], np.int64),
        np.array([one.role for one in new], np.int64),
        np.array([one.port for one in new], np.int64),
        np.array([one.transport for one in new], np.int64),
        asked,
        np.array([bool(text) for text in asked], np.bool_),
    )
    return _joined(known, facts) if known else facts


def _joined(known: Facts, more: Facts) -> Facts:
    return Facts(
        np.concatenate([known.endpoint, more.endpoint]),
        np.concatenate([known.role, more.role]),
        np.concatenate([known.port, more.port]),
        np.concatenate([known.transport, more.transport]),
        [*known.asked, *more.asked],
        np.concatenate([known.translated, more.translated]),
    )


@dataclass(frozen=True, slots=True)
class Flows:
    """Per flow id, what rows are grouped by: positions in `ends` (-1: not shown), and the flow's own facts.

    `vertices`: for each end the first one with its node id; both grow while names are looked up.
    `shared`: the server's end cannot tell its clients apart.
    """

    ends: Sequence[End]
    vertices: Sequence[int]
    source: Ints
    target: Ints
    outside: npt.NDArray[np.bool_]
    shared: npt.NDArray[np.bool_]
    facts: Facts
    protocols: Ints  # bits ever seen
    active: Ints  # connections open now


@dataclass(frozen=True, slots=True)
class Texts:
    """Names by id, and the third party behind a Host (position in `ends`) where it names one."""

    names: Sequence[str]
    named_by_host: Callable[[str], int | None]
