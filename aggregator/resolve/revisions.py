"""What the pods of endpoints are marked with, as the cluster's API says. Pure."""

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final

import numpy as np

from aggregator.ingest.tables import Tables
from aggregator.records import Endpoint
from aggregator.topology.flows import Revisions

_NONE: Final = ""


class PodRevisions:
    """`revision_of` an endpoint's pod, "" for none; `node_of`: the vertex of an endpoint."""

    def __init__(self, tables: Tables, revision_of: Callable[[int], str], node_of: Callable[[int], int]) -> None:
        self._tables = tables
        self._revision_of = revision_of
        self._node_of = node_of
        self._names = [_NONE]
        self._ids = {_NONE: 0}
        self._endpoints: defaultdict[str, set[int]] = defaultdict(set)  # by pod
        self._values: list[Endpoint] = []  # as they were known then
        self._nodes: set[int] = set()
        # None where no pod has any. A value: what changes later does not show in it.
        self.value: Revisions | None = None

    def refresh(self, pods: Collection[str], are_better: bool) -> None:
        """`pods` are called otherwise than before; `are_better`: some endpoints are better known."""
        values, known = self._tables.endpoints.values, len(self._values)
        better = [one for one, was in enumerate(self._values) if values[one] is not was] if are_better else []
        self._values += values[known:]
        news = [*better, *range(known, len(values))]
        for one in news:
            self._values[one] = values[one]
            if values[one].pod_uid:
                self._endpoints[values[one].pod_uid].add(one)
        named = (one for uid in pods for one in self._endpoints.get(uid, ()))
        marked = {one: self._revision_of(one) for one in (*news, *named)}
        if marked and (self.value is not None or any(marked.values())):
            self._learn(marked)

    def _learn(self, marked: dict[int, str]) -> None:
        of_endpoint = np.zeros(len(self._values) + 1, np.int64)
        if self.value is not None:
            before = self.value.of_endpoint[:-1]
            of_endpoint[: len(before)] = before
        for one, revision in marked.items():
            of_endpoint[one] = self._id_of(revision)
            if revision:
                self._nodes.add(self._node_of(one))
        self.value = Revisions(self._names, of_endpoint, np.array(sorted(self._nodes), np.int64))

    def _id_of(self, revision: str) -> int:
        known = self._ids.get(revision)
        if known is None:
            known = self._ids[revision] = len(self._names)
            self._names.append(revision)
        return known
