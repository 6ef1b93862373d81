"""Latency from base-2 exponential buckets: the mean is exact, quantiles are a bucket's middle (within 5 %)."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1.columns import HISTOGRAM_SCALE

from aggregator.topology.tallies import numbered, total

Ints = npt.NDArray[np.int64]
Fields: TypeAlias = dict[str, float]
_MS = 1e6
_QUANTILES: Final = (0.5, 0.95, 0.99)
_MOST_TOGETHER: Final = 2**62
# The geometric middle: no value in the bucket is further off than half its width.
_MIDDLES_MS: Final = np.array([2.0 ** ((bucket + 0.5) / 2**HISTOGRAM_SCALE) / _MS for bucket in range(512)])


def latencies_ms(at: Ints, buckets: Ints, counts: Ints, sums_ns: Ints, size: int) -> list[Fields | None]:
    """For each group the fields of a Latency, None without a sample. `at`: each row's group; buckets may repeat."""
    totals = total(counts, at, size)
    if not totals.any():
        return [None] * size
    lowest, width = int(buckets.min()), int(np.ptp(buckets)) + 1
    cell, codes = numbered(at * width + (buckets - lowest))
    # What one edge was told too much of must not be felt by the others.
    held = np.minimum(total(counts, cell, len(codes)), _MOST_TOGETHER // len(codes))
    ranked = total(held, codes // width, size)
    reached, before = np.cumsum(held), np.cumsum(ranked) - ranked
    columns = [total(sums_ns, at, size) / np.maximum(totals, 1) / _MS]
    for quantile in _QUANTILES:
        wanted = before + np.ceil(quantile * ranked).astype(np.int64)
        found = np.minimum(np.searchsorted(reached, wanted), len(codes) - 1)
        columns.append(_MIDDLES_MS[codes[found] % width + lowest])
    return [
        {"mean": mean, "p50": p50, "p95": p95, "p99": p99} if some else None
        for some, mean, p50, p95, p99 in zip(totals.tolist(), *(column.tolist() for column in columns), strict=True)
    ]
