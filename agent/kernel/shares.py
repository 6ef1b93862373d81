"""What every endpoint has taken of its shares, by what the tables hold: the kernel only ever counts up.

A row that the kernel adds meanwhile may be missed: then that share is one short until the next look.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1.flow_pb2 import NameKind

from agent.kernel.maps import Map, Rows

# As in types.h.
SHARE_OF_FLOWS, SHARE_OF_ROWS = 16, 17
KINDS = (*filter(None, NameKind.values()), SHARE_OF_FLOWS, SHARE_OF_ROWS)
# The cgroup whose shares are those of all that have none of their own. The loader makes them: the kernel could find no
# room for them when they are needed.
COMMON = 0
Ids: TypeAlias = npt.NDArray[Any]


def make_common(shares: Map) -> None:
    """In a new table."""
    for kind in KINDS:
        shares.put((COMMON, kind), 0)


def correct(tables: Mapping[str, Map], generation: int) -> None:
    """Whoever has nothing any more has no row either, so that there is room for others."""
    names, flows = tables["names"].read_all()[1], tables["flows"].read_all()[1]
    right = {(cgroup_id, kind): count for cgroup_id, kind, count in _taken(names["cgroup_id"], names["kind"])}
    of_flows = np.full(len(flows), SHARE_OF_FLOWS, "<u8")
    right |= {(cgroup_id, kind): count for cgroup_id, kind, count in _taken(flows["cgroup_id"], of_flows)}
    shares = tables["shares"]
    keys, rows = shares.read_all()
    having = set(map(tuple, keys.tolist()))
    for owner, kind in [one for one in right if one not in having]:
        right[COMMON, kind] = right.get((COMMON, kind), 0) + right[owner, kind]
    for key, row in zip(keys, rows, strict=True):
        (cgroup_id, kind), taken = key.tolist(), _number(row)
        if kind == SHARE_OF_ROWS:
            # Of an interval that is over.
            if taken >> 32 != generation & 0xFFFFFFFF and cgroup_id != COMMON:
                shares.remove(key)
            continue
        now = right.get((cgroup_id, kind), 0)
        if not now and cgroup_id != COMMON:
            shares.remove(key)
        elif now != taken:
            shares.put(key, now)


def _taken(cgroup_ids: Ids, kinds: Ids) -> Iterator[tuple[int, int, int]]:
    if len(cgroup_ids):
        pairs, counts = np.unique(np.stack([cgroup_ids, kinds]), axis=1, return_counts=True)
        yield from zip(pairs[0].tolist(), pairs[1].tolist(), counts.tolist(), strict=True)


def _number(row: Rows) -> int:
    return int(row)
