"""Every protocol that flows can speak, a row each: what it is called, and what its codes mean. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from plumbline.v1 import flow_pb2 as flow

CODE_BITS: Final = 16


@dataclass(frozen=True, slots=True)
class Protocol:
    """`failures` are the codes by which the server says that it did wrong; any other one above 0 is the client's.

    `has_statuses`: codes are HTTP's, shown by class, and its operations have routes. `only_client_waits`: of a
    question without an answer the client's end alone knows.
    """

    number: int
    word: str
    codes: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    other_code: str = "{}"
    failures: frozenset[int] = frozenset()
    has_statuses: bool = False
    only_client_waits: bool = False


_RCODES: Final = dict(enumerate(("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")))

# The first one that was recognised on a connection without requests names it.
RECOGNISED: Final = (
    Protocol(flow.PROTOCOL_HTTP, "http", has_statuses=True),
    Protocol(flow.PROTOCOL_DNS, "dns", _RCODES, "RCODE{}", failures=frozenset([2]), only_client_waits=True),
    Protocol(flow.PROTOCOL_TLS, "tls"),
)
BARE: Final = (Protocol(flow.PROTOCOL_TCP, "tcp"), Protocol(flow.PROTOCOL_UDP, "udp"))

_BY_NUMBER: Final = {one.number: one for one in (*RECOGNISED, *BARE)}
WITH_STATUSES: Final = [one.number for one in RECOGNISED if one.has_statuses]
WAITED_FOR_BY_CLIENT: Final = [one.number for one in RECOGNISED if one.only_client_waits]
_FAILURES: Final = [one.number << CODE_BITS | code for one in RECOGNISED for code in one.failures]


def word_of(number: int) -> str:
    """A number that only a later version knows is shown as it is."""
    known = _BY_NUMBER.get(number)
    return known.word if known else f"protocol-{number}"


def code_of(number: int, code: int) -> str:
    known = _BY_NUMBER.get(number)
    return known.codes.get(code) or known.other_code.format(code) if known else str(code)


def is_failure(numbers: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return np.isin(numbers << CODE_BITS | codes, _FAILURES)
