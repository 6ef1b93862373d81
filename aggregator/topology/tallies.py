"""Sums, extremes and ranks by group, for all groups at once: a loop over edges costs a hundred times more.

`at` is the group of each row, from 0; what comes back has one value a group. Sums are exact: int64, never floats;
at MOST, which nobody reaches who tells the truth, they stand still.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NEVER_NS: Final = 2**62
# The sum of a few of these is still a number of 64 bits.
MOST: Final = 2**60
_LARGEST_TABLE: Final = 1 << 24


def numbered(codes: Ints) -> tuple[Ints, Ints]:
    """(group of each row, code of each group in ascending order). Sorting is avoided where a table is affordable."""
    if not len(codes):
        return codes, codes
    lowest = int(codes.min())
    span = int(codes.max()) - lowest + 1
    if span > _LARGEST_TABLE:
        ordered = np.sort(codes)
        distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
        return np.searchsorted(distinct, codes), distinct
    present = np.zeros(span, np.bool_)
    present[codes - lowest] = True
    offsets = np.flatnonzero(present)
    place = np.empty(span, np.int32)
    place[offsets] = np.arange(len(offsets), dtype=np.int32)
    return place[codes - lowest].astype(np.int64), offsets + lowest


def total(values: Ints, at: Ints, size: int) -> Ints:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, at, values)
    if not _adds_up(values):
        _saturate(sums, np.bincount(at, values.astype(np.float64), size).astype(np.float64))
    return sums


def added(values: Ints, starts: Ints) -> Ints:
    """Sums of the rows from each start to the next one; of one column or of several."""
    sums: Ints = np.add.reduceat(values, starts, axis=0)
    if not _adds_up(values):
        _saturate(sums, np.add.reduceat(values.astype(np.float64), starts, axis=0))
    return sums


def _adds_up(values: Ints) -> bool:
    """Whether no sum of these can be beyond MOST."""
    return not values.size or max(int(values.max()), -int(values.min())) * len(values) <= MOST


def _saturate(sums: Ints, roughly: npt.NDArray[np.float64]) -> None:
    sums[roughly > MOST], sums[roughly < -MOST] = MOST, -MOST


def union(bits: Ints, at: Ints, size: int) -> Ints:
    """Every bit that a row of the group has."""
    found = np.zeros(size, np.int64)
    np.bitwise_or.at(found, at, bits)
    return found


def has(at: Ints, size: int) -> Bools:
    """Whether the group has a row."""
    found = np.zeros(size, np.bool_)
    found[at] = True
    return found


def earliest(times_ns: Ints, at: Ints, size: int) -> Ints:
    """NEVER_NS for a group without a row."""
    found = np.full(size, NEVER_NS, np.int64)
    np.minimum.at(found, at, times_ns)
    return found


def latest(times_ns: Ints, at: Ints, size: int) -> Ints:
    """-1 for a group without a row."""
    found = np.full(size, -1, np.int64)
    np.maximum.at(found, at, times_ns)
    return found


def largest_first(at: Ints, weights: Ints, *ties: Ints) -> tuple[Ints, Ints]:
    """(order, rank): the rows by group, the heaviest of each first; `rank` is by the place in that order, from 0."""
    order = np.lexsort((*reversed(ties), -weights, at))
    ordered = at[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(order) else order
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    return order, rank
