"""How TLS handshakes of every edge ended, as the client's end saw them. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import columns as wire
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import CLIENT
from aggregator.topology import latency
from aggregator.topology.columns import RequestRows
from aggregator.topology.placing import Edges
from aggregator.topology.protocols import CODE_BITS, SHAKING_HANDS, code_of
from aggregator.topology.tallies import numbered, total
from aggregator.topology.transport import sparse

Ints = npt.NDArray[np.int64]
_VERSIONS: Final = {0x0300: "SSL 3", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
_BROKEN_BY: Final = {"client": flow.OUTCOME_UNANSWERED_CLIENT, "server": flow.OUTCOME_UNANSWERED_SERVER}


def handshakes(rows: RequestRows, edges: Edges) -> Sequence[dict[str, object] | None]:
    """For each edge; None where none was seen."""
    found: list[dict[str, object] | None] = [None] * len(edges)
    placed = edges.requests
    chosen = _of_clients(rows, edges) & (rows.key("operation") != wire.CERTIFICATE)
    if not chosen.any():
        return found
    own, at = rows.take(chosen), placed.edge[chosen]
    outcome, size = own.key("outcome"), len(edges)
    is_done = outcome == flow.OUTCOME_ANSWERED
    broken = sparse({end: total(own.count[outcome == which], at[outcome == which], size)
                     for end, which in _BROKEN_BY.items()})  # fmt: skip
    done = total(own.count[is_done], at[is_done], size).tolist()
    times = latency.latencies_ms(
        at[is_done], own.key("latency_bucket")[is_done], own.count[is_done], own.sum_ns[is_done], size
    )
    alerts = _by_word(own.key("code"), own.count, at, ~is_done, lambda edge, code: code_of(int(edges.kind[edge]), code))
    versions = _by_word(own.key("kind"), own.count, at, is_done, lambda _, number: _VERSIONS.get(number, hex(number)))
    for edge in np.unique(at).tolist():
        found[edge] = {
            "done": done[edge],
            "broken": broken[edge],
            "alerts": alerts.get(edge),
            "versions": versions.get(edge),
            "latency_ms": times[edge],
        }
    return found


def certificates_expire(rows: RequestRows, edges: Edges) -> list[dict[str, int] | None]:
    """For each edge the time until which the certificate is valid that was shown last, of several the first to end."""
    found: list[dict[str, int] | None] = [None] * len(edges)
    chosen = _of_clients(rows, edges) & (rows.key("operation") == wire.CERTIFICATE)
    own, at = rows.take(chosen), edges.requests.edge[chosen]
    seconds = own.key("kind") << CODE_BITS | own.key("code")
    # The first of each edge is left.
    for row in np.lexsort((seconds, -own.to_ns))[::-1].tolist():
        found[at[row]] = {"seconds": int(seconds[row])}
    return found


def _of_clients(rows: RequestRows, edges: Edges) -> npt.NDArray[np.bool_]:
    placed = edges.requests
    found: npt.NDArray[np.bool_] = np.isin(rows.key("protocol"), SHAKING_HANDS) & (placed.edge >= 0)
    found &= placed.role == CLIENT
    return found


def _by_word(
    numbers: Ints, counts: Ints, at: Ints, chosen: npt.NDArray[np.bool_], word: Callable[[int, int], str]
) -> dict[int, dict[str, int]]:
    """By edge, how often each number above 0 was there, by its word."""
    which = np.flatnonzero(chosen & (numbers > 0))
    of_row, codes = numbered(at[which] << CODE_BITS | numbers[which])
    sums = total(counts[which], of_row, len(codes)).tolist()
    found: dict[int, dict[str, int]] = {}
    for code, count in zip(codes.tolist(), sums, strict=True):
        edge, number = code >> CODE_BITS, code & (1 << CODE_BITS) - 1
        found.setdefault(edge, {})[word(edge, number)] = count
    return found
