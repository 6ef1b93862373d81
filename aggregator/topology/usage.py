"""What endpoints used, by time: as it came while young, then in slots of 10 s, of 60 s, of 5 minutes. Pure.

All merges by sum, OR, min or max, so rows may come in any order; what an endpoint has is of the latest row about it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import SECOND_NS
from aggregator.topology.tallies import MOST, NEVER_NS

Ints: TypeAlias = npt.NDArray[np.int64]
Table: TypeAlias = npt.NDArray[np.void]

SUMS: Final = ("cpu_ns", "cpu_periods", "cpu_throttled_periods", "cpu_throttled_ns", "oom_kills")
# Names beside the sums are those of the contract.
ROW: Final = np.dtype(
    [
        ("endpoint", "i8"),
        ("known", "i8"),
        ("from_ns", "i8"),
        ("to_ns", "i8"),
        *((name, "i8") for name in SUMS),
        ("memory_most_bytes", "i8"),
    ]
)
LATEST: Final = np.dtype(
    [
        ("to_ns", "i8"),
        ("known", "i8"),
        *((one, "i8") for one in ("memory_bytes", "memory_limit_bytes", "cpu_limit_millicores")),
    ]
)
# (width, kept up to this age).
_TIERS: Final = ((10 * SECOND_NS, 60 * SECOND_NS), (60 * SECOND_NS, 600 * SECOND_NS), (300 * SECOND_NS, 2**62))
MOST_ROWS: Final = 2_000_000
# What says that an endpoint is there; an OOM kill alone may be told of one that is gone.
_THERE: Final = 1 << flow.RESOURCE_KIND_CPU | 1 << flow.RESOURCE_KIND_CPU_LIMIT | 1 << flow.RESOURCE_KIND_MEMORY


@dataclass(frozen=True, slots=True)
class Used:
    """Of a window: one row an endpoint, in order of their ids; what each has; which of them are there now."""

    rows: Table
    latest: Table
    is_there: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Recent:
    """Values: what `used` makes of them, any thread may ask for. `told_ns`: the newest row's end, by host."""

    from_ns: int
    parts: Sequence[Table]
    latest: Table
    told_ns: Mapping[int, int]

    def used(self, hosts: Ints) -> Used:
        """`hosts`: of each endpoint."""
        rows = merged(self.parts)
        latest = np.zeros(len(rows), LATEST)
        known = rows["endpoint"] < len(self.latest)
        latest[known] = self.latest[rows["endpoint"][known]]
        told_ns = np.array([self.told_ns.get(one, 0) for one in hosts[rows["endpoint"]].tolist()], np.int64)
        return Used(rows, latest, (latest["to_ns"] > self.from_ns) & (latest["to_ns"] >= told_ns))


class Usage:
    """Of all hosts."""

    def __init__(self, retention_ns: int, most_rows: int = MOST_ROWS) -> None:
        self._retention_ns = retention_ns
        self._most_rows = most_rows
        self._fresh: list[Table] = []
        self._slots: list[dict[int, Table]] = [{} for _ in _TIERS]
        self._latest = np.zeros(0, LATEST)
        self._told_ns: dict[int, int] = {}  # by host, the newest row's end
        self.dropped = 0  # rows that had no room any more

    def __len__(self) -> int:
        return sum(map(len, self._fresh)) + sum(len(rows) for slots in self._slots for rows in slots.values())

    def add(self, host: int, columns: Mapping[str, Ints]) -> None:
        """A batch's, in our ids, with from_ns and to_ns."""
        count = len(columns["endpoint"])
        if not count:
            return
        rows = np.zeros(count, ROW)
        for name in ROW.names or ():
            rows[name] = columns[name]
        self._fresh.append(_one_each(rows))
        self._told_ns[host] = max(self._told_ns.get(host, 0), int(rows["to_ns"].max()))
        self._note_latest(columns)

    def age(self, now_ns: int) -> None:
        """Moves what came into slots, slots into coarser ones, and what is too old away."""
        fresh, self._fresh = self._fresh, []
        oldest_ns = now_ns - self._retention_ns
        self._put(0, fresh, oldest_ns)
        for tier, (_, kept_ns) in enumerate(_TIERS[:-1]):
            limit_ns = (now_ns - kept_ns) // _TIERS[tier + 1][0] * _TIERS[tier + 1][0]
            old = [one for one in self._slots[tier] if one < limit_ns]
            self._put(tier + 1, [self._slots[tier].pop(one) for one in old], oldest_ns)
        for slots, (width_ns, _) in zip(self._slots, _TIERS, strict=True):
            for start in [one for one in slots if one + width_ns < oldest_ns]:
                del slots[start]
        self._make_room()

    def since(self, from_ns: int) -> Recent:
        """Of the slots that end after `from_ns`."""
        parts = [rows[rows["to_ns"] > from_ns] for rows in self._fresh]
        for slots, (width_ns, _) in zip(self._slots, _TIERS, strict=True):
            parts += [rows for start, rows in slots.items() if start + width_ns > from_ns]
        return Recent(from_ns, parts, self._latest.copy(), dict(self._told_ns))

    def as_of_now(self) -> "Usage":
        """A value, for a checkpoint."""
        same = Usage(self._retention_ns, self._most_rows)
        same._fresh, same._slots = list(self._fresh), [dict(slots) for slots in self._slots]
        same._latest, same._told_ns, same.dropped = self._latest.copy(), dict(self._told_ns), self.dropped
        return same

    def endpoints(self) -> Ints:
        """Of which there are rows."""
        parts = [*self._fresh, *(rows for slots in self._slots for rows in slots.values())]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *(rows["endpoint"] for rows in parts)]))

    def renumbered(self, endpoints: Ints, hosts: Ints) -> "Usage":
        """Both by those of before, in the same order: what has rows is kept; -1 for what is given back."""

        def of_now(rows: Table) -> Table:
            same = rows.copy()
            same["endpoint"] = endpoints[rows["endpoint"]]
            return same

        same = Usage(self._retention_ns, self._most_rows)
        same._fresh = [of_now(rows) for rows in self._fresh]
        same._slots = [{start: of_now(rows) for start, rows in slots.items()} for slots in self._slots]
        same._latest = self._latest[: len(endpoints)][endpoints[: len(self._latest)] >= 0]
        told = ((int(hosts[host]), told_ns) for host, told_ns in self._told_ns.items())
        same._told_ns, same.dropped = {host: told_ns for host, told_ns in told if host >= 0}, self.dropped
        return same

    def keep_for(self, retention_ns: int) -> None:
        """From now on: one that was kept is of a start that may have been told otherwise."""
        self._retention_ns = retention_ns

    def _note_latest(self, columns: Mapping[str, Ints]) -> None:
        endpoints = columns["endpoint"]
        more = int(endpoints.max()) + 1 - len(self._latest)
        if more > 0:
            self._latest = np.concatenate([self._latest, np.zeros(max(more, len(self._latest)), LATEST)])
        # The latest of a batch last, so that it is what stays.
        order = np.argsort(columns["to_ns"], kind="stable")
        order = order[(columns["known"][order] & _THERE) != 0]
        order = order[columns["to_ns"][order] >= self._latest["to_ns"][endpoints[order]]]
        for name in LATEST.names or ():
            self._latest[name][endpoints[order]] = columns[name][order]

    def _put(self, tier: int, parts: Sequence[Table], oldest_ns: int) -> None:
        width_ns, slots = _TIERS[tier][0], self._slots[tier]
        come: defaultdict[int, list[Table]] = defaultdict(list)
        for rows in parts:
            # A row ends where the next one begins: its own is the slot of its last moment.
            starts = (rows["to_ns"] - 1) // width_ns * width_ns
            for start in np.unique(starts[starts + width_ns >= oldest_ns]).tolist():
                come[start].append(rows[starts == start])
        for start, some in come.items():
            slots[start] = merged([*([slots[start]] if start in slots else []), *some])

    def _make_room(self) -> None:
        """The oldest slot leaves."""
        while len(self) > self._most_rows:
            slots = next((some for some in reversed(self._slots) if some), None)
            if slots is None:
                return
            self.dropped += len(slots.pop(min(slots)))


def merged(parts: Sequence[Table]) -> Table:
    """One row an endpoint, in order; of parts that have one each."""
    some = [rows for rows in parts if len(rows)]
    if not some:
        return np.zeros(0, ROW)
    sums = np.zeros(1 + max(int(rows["endpoint"].max()) for rows in some), ROW)
    sums["from_ns"] = NEVER_NS
    for rows in some:
        at = rows["endpoint"]
        sums["endpoint"][at] = at
        sums["known"][at] |= rows["known"]
        sums["from_ns"][at] = np.minimum(sums["from_ns"][at], rows["from_ns"])
        for name in ("to_ns", "memory_most_bytes"):
            sums[name][at] = np.maximum(sums[name][at], rows[name])
        for name in SUMS:
            sums[name][at] = np.minimum(sums[name][at] + rows[name], MOST)
    return sums[sums["from_ns"] < NEVER_NS]


def _one_each(rows: Table) -> Table:
    """A host's endpoints beyond all bounds are one, of which a batch may have several rows."""
    order = np.argsort(rows["endpoint"], kind="stable")
    ordered = rows[order]
    again = np.concatenate([[False], ordered["endpoint"][1:] == ordered["endpoint"][:-1]])
    if not again.any():
        return rows
    return merged([ordered[~again], *(ordered[at : at + 1] for at in np.flatnonzero(again).tolist())])
