"""What the containers and units of a host used since the last look, as rows of the contract.

Used from one thread; looks at the cgroup file system.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from plumbline.v1.columns import Columns
from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_POD,
    RESOURCE_KIND_CPU,
    RESOURCE_KIND_CPU_LIMIT,
    RESOURCE_KIND_MEMORY,
    RESOURCE_KIND_OOM,
)

from agent.coalescing import RESOURCES, Portion, Span
from agent.identity.cgroup import CgroupIdentity
from agent.identity.endpoints import EndpointBook
from agent.identity.naming import Naming
from agent.records import OomKill
from agent.resources.deltas import Deltas, Used, without_inner
from agent.resources.reading import Reader

# As often as a host that has nothing else to say speaks.
PERIOD_NS: Final = 2_000_000_000
# Drains drift; one that is nearly due does not wait for the next.
_NEARLY_NS: Final = PERIOD_NS * 9 // 10
_WALK_NS: Final = 5_000_000_000
MOST_CGROUPS: Final = 5000
# The kernel may choose a victim twice: by another of its threads, while it is about to end.
_REMEMBERED_KILLS: Final = 64
Row = dict[str, int]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cgroups that are read: their paths, and for one within another the nearest of those around it."""

    paths: Mapping[int, str]
    outer_of: Mapping[int, int]
    left_out: int


def choose(named: Iterable[tuple[int, str, CgroupIdentity]], most: int = MOST_CGROUPS) -> Chosen:
    """The outermost cgroup of each container and unit. A pod's own is not one: what is in its containers is theirs."""
    paths: dict[int, str] = {}
    outer_of: dict[int, int] = {}
    around: list[tuple[str, int, CgroupIdentity]] = []
    left_out = 0
    for cgroup, path, identity in sorted(named, key=lambda one: one[1].split("/")):
        while around and not path.startswith(f"{around[-1][0]}/"):
            around.pop()
        if (identity.kind == ENDPOINT_KIND_POD and not identity.container_id) or (around and around[-1][2] == identity):
            continue
        if len(paths) >= most:
            left_out += 1
            continue
        if around:
            outer_of[cgroup] = around[-1][1]
        paths[cgroup] = path
        around.append((path, cgroup, identity))
    return Chosen(paths, outer_of, left_out)


class Usage:
    """`begun_ns`: nothing of before is told. `counts_kills`: the kernel tells of OOM kills; else the files do."""

    def __init__(self, naming: Naming, book: EndpointBook, reader: Reader, counts_kills: bool, begun_ns: int) -> None:
        self._naming = naming
        self._book = book
        self._reader = reader
        self._counts_kills = counts_kills
        self._deltas = Deltas()
        self._taken_ns = begun_ns
        self._walked_ns = 0
        self._kills: Counter[int] = Counter()  # by endpoint
        self._last_kills: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED_KILLS)
        self._is_first = True
        self._chosen, self._chosen_ns = Chosen({}, {}, 0), 0
        self._ids: dict[int, int] = {}  # endpoints by cgroup
        self._sandboxes: set[int] = set()
        self._dropped: Counter[str] = Counter()
        self.endpoints: frozenset[int] = frozenset()
        self.cgroups = 0

    def killed(self, kill: OomKill) -> None:
        """A process that the kernel ended for want of memory; who it was is looked up now, or it is too late."""
        if any(kill.process_id == known and kill.time_ns - at_ns < PERIOD_NS for known, at_ns in self._last_kills):
            return
        identity, path = self._naming.find(kill.cgroup_id, kill.process_id, kill.time_ns)
        self._last_kills.append((kill.process_id, kill.time_ns))
        if identity.named:
            self._kills[self._book.named(identity, path, 0).id] += 1
        else:
            # Of no container or unit, or of one that was gone before anybody had seen it.
            self._dropped["oom_kills_of_unknown"] += 1

    def take_dropped(self) -> Counter[str]:
        """What was left out since this was asked last, by reason."""
        dropped, self._dropped = self._dropped, Counter()
        return +dropped

    def take(self, now_ns: int) -> list[Portion]:
        """None at all where it is not time yet. What is new was begun since the last walk before the last look."""
        if not self._is_first and now_ns - self._taken_ns < _NEARLY_NS:
            return []
        walked_ns = self._walked_ns
        self._naming.walk_if_older(_WALK_NS, now_ns)
        self._walked_ns = self._naming.walked_ns
        if self._walked_ns != self._chosen_ns:
            self._chosen, self._chosen_ns = choose(self._own()), self._walked_ns
            self._ids = {one: self._endpoint(one, path) for one, path in self._chosen.paths.items()}
        chosen = self._chosen
        self._dropped["resources_beyond_budget"] += chosen.left_out
        self._reader.begin()
        readings = {one: found for one, path in chosen.paths.items() if (found := self._reader.read(path))}
        used = without_inner(self._deltas.take(readings, self._naming.living()), chosen.outer_of)
        since_ns, self._taken_ns, self._is_first = self._taken_ns, now_ns, False
        rows, new = (self._rows(used, is_new) for is_new in (False, True))
        self._add_kills(rows)
        self.endpoints, self.cgroups = frozenset((*rows, *new)), len(used)
        spans = (Span(since_ns, now_ns), rows), (Span(min(since_ns, walked_ns or since_ns), now_ns), new)
        return [Portion(span, resources=_columns(some.values())) for span, some in spans if some]

    def _own(self) -> Iterator[tuple[int, str, CgroupIdentity]]:
        """Without the sandboxes of pods: nobody asks what those use, and they have no limits."""
        # What is none may still become one: a runtime begins it as itself.
        known, self._sandboxes = self._sandboxes, set()
        for cgroup, path, identity in self._naming.living_named():
            is_container = identity.kind == ENDPOINT_KIND_POD and identity.container_id
            if is_container and (cgroup in known or self._naming.is_sandbox(path)):
                self._sandboxes.add(cgroup)
                continue
            yield cgroup, path, identity

    def _endpoint(self, cgroup: int, path: str) -> int:
        """An id that is defined once: with its network namespace, if that can be known."""
        identity = self._naming.identity(cgroup)
        endpoint = self._book.named(identity, path, 0)
        if not endpoint.network_namespace:
            endpoint = self._book.named(identity, path, self._naming.namespace_in(path))
        return endpoint.id

    def _rows(self, used: Mapping[int, Used], is_new: bool) -> dict[int, Row]:
        rows: dict[int, Row] = {}
        for cgroup, one in used.items():
            if one.is_new is not is_new:
                continue
            endpoint = self._ids[cgroup]
            row = _row(endpoint, one, self._counts_kills)
            # A container may have two cgroups for a moment, when one is made anew.
            rows[endpoint] = _together(rows[endpoint], row) if endpoint in rows else row
        return rows

    def _add_kills(self, rows: dict[int, Row]) -> None:
        for endpoint, kills in self._kills.items():
            row = rows.setdefault(endpoint, {"endpoint": endpoint, "known": 1 << RESOURCE_KIND_OOM})
            row["oom_kills"] = row.get("oom_kills", 0) + kills
        self._kills.clear()


def _columns(rows: Iterable[Row]) -> Columns:
    some = list(rows)
    return {name: np.array([row.get(name, 0) for row in some], kind) for name, kind in RESOURCES.types.items()}


def _row(endpoint: int, used: Used, counts_kills: bool) -> Row:
    now = used.reading
    known = (
        (RESOURCE_KIND_CPU, now.cpu_ns is not None),
        (RESOURCE_KIND_CPU_LIMIT, now.cpu_limit_millicores is not None),
        (RESOURCE_KIND_MEMORY, now.memory_bytes is not None),
        (RESOURCE_KIND_OOM, counts_kills or now.oom_kills is not None),
    )
    return {
        "endpoint": endpoint,
        "known": sum(is_known << kind for kind, is_known in known),
        "cpu_ns": used.cpu_ns,
        "cpu_periods": used.held.periods,
        "cpu_throttled_periods": used.held.throttled_periods,
        "cpu_throttled_ns": used.held.throttled_ns,
        "oom_kills": used.oom_kills,
        "memory_bytes": now.memory_bytes or 0,
        "memory_most_bytes": now.memory_bytes or 0,
        "memory_limit_bytes": now.memory_limit_bytes or 0,
        "cpu_limit_millicores": now.cpu_limit_millicores or 0,
    }


def _together(one: Row, other: Row) -> Row:
    both = {name: one[name] + other[name] for name in one}
    kept = {"endpoint": one["endpoint"], "known": one["known"] | other["known"]}
    limits = {name: max(one[name], other[name]) for name in ("memory_limit_bytes", "cpu_limit_millicores")}
    return {**both, **kept, **limits}
