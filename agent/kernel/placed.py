"""The counters that lie in places of an array, as `bpf/maps.c` has them: read where they are, without a call."""

from collections.abc import Iterable

import numpy as np

from agent.kernel.maps import Map, Rows

# As in maps.c.
FLOW_PLACES = 8192
_HALVES = 2


class PlacedCounts:
    """What flows counted at their places, and whose places they are."""

    def __init__(self, counts: Map, places: Map) -> None:
        self._places = places
        self._halves = counts.shared(_HALVES * FLOW_PLACES).reshape(_HALVES, FLOW_PLACES)
        words = counts.value.fields["counts"][0].itemsize // 8
        self._words = self._halves.view("<u8").reshape(_HALVES, FLOW_PLACES, -1)[:, :, -words:]
        # place -> whose it was, and how many drains are to come before it is free. An old agent may have left some.
        self._leaving = {
            int(place): [int(flow), _HALVES]
            for place, flow in zip(*places.read_all(), strict=True)
            if self._halves["flow"][0, place] != flow
        }

    def take(self, half: int) -> tuple[Rows, Rows]:
        """Flows with what they counted there, which is zero then. Only for the half that no program writes now."""
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
                self._leaving[place] = [flow, _HALVES]

    def _free(self) -> None:
        for place, waits in [*self._leaving.items()]:
            waits[1] -= 1
            if not waits[1]:
                del self._leaving[place]
                self._places.remove(place)
