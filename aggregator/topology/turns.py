"""What connections say by themselves: how long each turn of them took, and how long each connect. Pure.

They are of all protocols of a way: every edge that carries its connections shows them.
"""

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import CLIENT
from aggregator.topology import latency
from aggregator.topology.columns import RequestRows
from aggregator.topology.placing import Edges


def turns(rows: RequestRows, edges: Edges) -> list[latency.Fields | None]:
    """From the first byte of a client to the first byte back, on connections that no parser knows; by edge."""
    return _of_ways(rows, edges, edges.requests.counts & _is(rows, wire.TURN))


def connects(rows: RequestRows, edges: Edges) -> list[latency.Fields | None]:
    """From a connect to the connection, as the client's end saw it; by edge."""
    return _of_ways(rows, edges, (edges.requests.role == CLIENT) & _is(rows, wire.CONNECT))


def _is(rows: RequestRows, kind: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (rows.key("protocol") == flow.PROTOCOL_TCP) & (rows.key("kind") == kind)
    return found


def _of_ways(rows: RequestRows, edges: Edges, chosen: npt.NDArray[np.bool_]) -> list[latency.Fields | None]:
    of_way = latency.latencies_ms(
        edges.requests.way[chosen],
        rows.key("latency_bucket")[chosen],
        rows.count[chosen],
        rows.sum_ns[chosen],
        edges.ways,
    )
    return [
        of_way[way] if carries else None
        for way, carries in zip(edges.way.tolist(), edges.carries.tolist(), strict=True)
    ]
