"""Names that clients could not look up, as their own end saw it. Pure.

That there is no such name is a failure only where there was one: search domains make many names that never were.
"""

from collections import defaultdict
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow

from aggregator.records import CLIENT
from aggregator.topology.columns import NAME_BITS, RequestRows
from aggregator.topology.flows import Texts
from aggregator.topology.placing import Edges
from aggregator.topology.tallies import earliest, has, numbered, total

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# A name, and how often each of _WAYS.
Failed: TypeAlias = tuple[str, int, int, int]

MOST_FAILED_NAMES: Final = 100  # of one edge
OTHER: Final = "(other)"
IPV4, IPV6 = 1, 28  # what is asked for: A, AAAA
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_WAYS: Final = ("refused", "unanswered", "gone")
_GIVEN_UP: Final = (flow.OUTCOME_UNANSWERED_CLIENT, flow.OUTCOME_UNANSWERED_SERVER)
_TEXT_BITS: Final = NAME_BITS["name"][1]


def failed_lookups(rows: RequestRows, edges: Edges, texts: Texts) -> list[list[dict[str, object]]]:
    """For each edge its names, the most failures first; beyond the bound they are one."""
    by_edge: defaultdict[int, list[Failed]] = defaultdict(list)
    chosen = _lookups(rows, edges)
    if chosen.any():
        own, at = rows.take(chosen), edges.requests.edge[chosen]
        of_row, names = numbered(at << _TEXT_BITS | own.key("name"))
        failed = _failures(own, of_row, len(names), texts.were_there)
        sums = [total(own.count[which], of_row[which], len(names)).tolist() for which in failed]
        for code, refused, unanswered, gone in zip(names.tolist(), *sums, strict=True):
            if refused or unanswered or gone:
                text = texts.names[code & (1 << _TEXT_BITS) - 1].text
                by_edge[code >> _TEXT_BITS].append((text or OTHER, refused, unanswered, gone))
    return [_shown(by_edge[edge]) if edge in by_edge else [] for edge in range(len(edges))]


def _lookups(rows: RequestRows, edges: Edges) -> Bools:
    """Clients' questions for IPv4 addresses, or for IPv6 ones where nobody asks for others: whoever can use both asks
    for both, and not every server has an answer to the second."""
    placed, kind = edges.requests, rows.key("kind")
    asked = (rows.key("protocol") == flow.PROTOCOL_DNS) & (placed.edge >= 0) & (placed.role == CLIENT)
    four, six = asked & (kind == IPV4), asked & (kind == IPV6)
    six[six] = ~has(placed.edge[four], len(edges))[placed.edge[six]]
    chosen: Bools = four | six
    return chosen


def asked(rows: RequestRows) -> Ints:
    """The flow and the name of each row in one number."""
    return rows.flow << _TEXT_BITS | rows.key("name")


def answered(rows: RequestRows) -> Bools:
    """Which rows say that a name is there."""
    is_answer = (rows.key("protocol") == flow.PROTOCOL_DNS) & ~np.isin(rows.key("outcome"), _GIVEN_UP)
    found: Bools = is_answer & (rows.key("code") == _NO_ERROR) & np.isin(rows.key("kind"), (IPV4, IPV6))
    return found


def is_among(codes: Ints, ascending: Ints) -> Bools:
    """Which of them are there."""
    if not len(ascending):
        return np.zeros(len(codes), np.bool_)
    at = np.minimum(np.searchsorted(ascending, codes), len(ascending) - 1)
    found: Bools = ascending[at] == codes
    return found


def _failures(rows: RequestRows, question: Ints, questions: int, were_there: Ints) -> tuple[Bools, Bools, Bools]:
    """Which rows are each of _WAYS."""
    code, unanswered = rows.key("code"), np.isin(rows.key("outcome"), _GIVEN_UP)
    there, none = ~unanswered & (code == _NO_ERROR), ~unanswered & (code == _NO_SUCH_NAME)
    since_ns = earliest(rows.from_ns[there], question[there], questions)
    is_later = rows.to_ns > since_ns[question]
    return ~(unanswered | there | none), unanswered, none & (is_later | is_among(asked(rows), were_there))


def _shown(failed: list[Failed]) -> list[dict[str, object]]:
    failed.sort(key=lambda one: (one[0] == OTHER, -sum(one[1:]), one[0]))
    kept, rest = failed[:MOST_FAILED_NAMES], failed[MOST_FAILED_NAMES:]
    if rest:
        refused, unanswered, gone = (sum(counts) for counts in zip(*(one[1:] for one in rest), strict=True))
        kept.append((OTHER, refused, unanswered, gone))
    return [{"name": name, **dict(zip(_WAYS, counts, strict=True))} for name, *counts in kept]
