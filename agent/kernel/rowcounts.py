"""Rows of requests, as `bpf/maps.c` has them: most in an array that is read where it lies, the others in a hash."""

from collections.abc import Mapping

import numpy as np

from agent.kernel.maps import HALVES, Map, Rows

# As in maps.c.
ROW_PLACES = 8192


class RowCounts:
    """Of both halves."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._hashes = [maps[f"request_rows_{half}"] for half in range(HALVES)]
        self._halves = maps["placed_rows"].shared(HALVES * ROW_PLACES).reshape(HALVES, ROW_PLACES)

    def take(self, half: int) -> tuple[Rows, Rows]:
        """Keys and counts, which are gone then. Only for the half that no program writes now.

        A row may be there twice: what two processors count at once for the first time.
        """
        keys, values = self._hashes[half].take_all()
        claimed = np.flatnonzero(self._halves["claims"][half])
        placed = self._halves[half, claimed]
        self._halves[half, claimed] = np.zeros(1, placed.dtype)
        placed = placed[placed["counts"]["count"] != 0]  # two who claim a place at once may both not get it
        return np.concatenate([keys, placed["key"]]), np.concatenate([values, placed["counts"]])
