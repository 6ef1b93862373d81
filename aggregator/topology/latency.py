"""Latency from base-2 exponential buckets: the mean is exact, quantiles are a bucket's middle (within 5 %)."""

import numpy as np
import numpy.typing as npt
from plumbline.v1 import topology_pb2 as pb
from plumbline.v1.columns import HISTOGRAM_SCALE

Ints = npt.NDArray[np.int64]
_MS = 1e6


def latency_ms(buckets: Ints, counts: Ints, sum_ns: int) -> pb.Latency | None:
    """None without a sample. `buckets` may repeat and need no order."""
    total = int(counts.sum())
    if not total:
        return None
    order = np.argsort(buckets, kind="stable")
    reached = np.cumsum(counts[order])
    p50, p95, p99 = (_middle_ms(int(buckets[order][np.searchsorted(reached, q * total)])) for q in (0.5, 0.95, 0.99))
    return pb.Latency(mean=sum_ns / total / _MS, p50=p50, p95=p95, p99=p99)


def _middle_ms(bucket: int) -> float:
    """The geometric middle: no value in the bucket is further off than half its width."""
    return float(2.0 ** ((bucket + 0.5) / 2**HISTOGRAM_SCALE)) / _MS
