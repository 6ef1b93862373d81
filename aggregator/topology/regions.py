"""Parts of the graph that can be drawn apart: the edges of one have no rows of flows of another. Pure.

A region is all that one node calls at another, on one port. What is outside may be named by each request's Host, so
all of that is one region for each client and port. What came by way of a host is in none: it is what others leave.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from aggregator.topology.flows import Flows
from aggregator.topology.tallies import has

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_REGION: Final = -1
_PORT_BITS: Final = 16
_NODE_BITS: Final = 23
_OUTSIDE: Final = (1 << _NODE_BITS) - 1


@dataclass(frozen=True, slots=True)
class Regions:
    """`of_flow`: the region of each, NO_REGION for one that is not shown. `apart`: nodes that are outside."""

    of_flow: Ints
    apart: Bools

    def of_edge(self, ends: tuple[int, int], port: int) -> int:
        source, target = ends
        is_apart = target < len(self.apart) and self.apart[target]
        return (source << _NODE_BITS | (_OUTSIDE if is_apart else target)) << _PORT_BITS | port


def regions_of(flows: Flows, named: Sequence[int]) -> Regions:
    """`named`: ends that requests' Hosts have named so far."""
    vertices = np.array([*flows.vertices, NO_REGION], np.int64)  # the last one for what is not shown
    by_host = (flows.by_host >= 0) & (flows.source == flows.by_host)
    shown = (flows.target >= 0) & (flows.source >= 0) & ~by_host
    source, target = vertices[flows.source], vertices[flows.target]
    outside = np.concatenate([target[shown & flows.outside], vertices[np.array(named, np.int64)]])
    apart = has(outside, len(vertices))
    target = np.where(flows.outside | apart[target], _OUTSIDE, target)
    codes = (source << _NODE_BITS | target) << _PORT_BITS | flows.port[: len(target)]
    return Regions(np.where(shown, codes, NO_REGION), apart)
