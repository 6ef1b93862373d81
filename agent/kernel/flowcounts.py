"""The counters of flows, as `bpf/maps.c` has them: in a hash, most in an array that is read where it lies."""

from collections.abc import Iterable, Mapping

import numpy as np

from agent.kernel.maps import HALVES, Map, Rows
from agent.records import FLOW_OTHER

# As in maps.c.
FLOW_PLACES = 8192


class FlowCounts:
    """Of both halves; and whose places they are."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._hashes = [maps[f"flow_counts_{half}"] for half in range(HALVES)]
        self._places = places = maps["places"]
        self._halves = maps["placed_counts"].shared(HALVES * FLOW_PLACES).reshape(HALVES, FLOW_PLACES)
        words = self._hashes[0].value.itemsize // 8
        self._words = self._halves.view("<u8").reshape(HALVES, FLOW_PLACES, -1)[:, :, -words:]
        # place -> whose it was, and how many drains are to come before it is free. An old agent may have left some.
        self._leaving = {
            int(place): [int(flow), HALVES]
            for place, flow in zip(*places.read_all(), strict=True)
            if self._halves["flow"][0, place] != flow
        }

    def take(self, half: int) -> tuple[Rows, Rows]:
        """Flows with what they counted, which is zero then. Only for the half that no program writes now."""
        table = self._hashes[half]
        keys, values = table.take_all()
        # The kernel counts there what finds no room of its own, so this row has its place before all others.
        table.put(FLOW_OTHER, np.zeros(1, table.value)[0])
        flows, counts = self._take_placed(half)
        return np.concatenate([keys, flows]), np.concatenate([values, counts])

    def _take_placed(self, half: int) -> tuple[Rows, Rows]:
        owners = self._halves["flow"][half]
        taken = np.flatnonzero(owners)
        left = np.array([*self._leaving], np.int64)
        at = np.concatenate([taken, left])
        flows = np.concatenate([owners[taken], np.array([flow for flow, _ in self._leaving.values()], owners.dtype)])
        counted = self._words[half, at].any(axis=1)
        at, flows = at[counted], flows[counted]
        counts = self._halves["counts"][half, at]
        self._words[half, at] = 0
        self._free()
        return flows, counts

    def forget(self, flows: Iterable[int]) -> None:
        """They count in the hash from now on, should they count again. What a program run still adds here is theirs: a
        place is another's only when both halves have been drained once more."""
        for flow in flows:
            place = flow % FLOW_PLACES
            if self._halves["flow"][0, place] == flow:
                self._halves["flow"][:, place] = 0
                self._leaving[place] = [flow, HALVES]

    def _free(self) -> None:
        for place, waits in [*self._leaving.items()]:
            waits[1] -= 1
            if not waits[1]:
                del self._leaving[place]
                self._places.remove(place)
