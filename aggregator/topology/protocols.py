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
    question without an answer the client's end alone knows. `shakes_hands`: its rows are handshakes, and no requests.
    `is_sealed`: what it carries is encrypted.
    """

    number: int
    word: str
    codes: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    other_code: str = "{}"
    failures: frozenset[int] = frozenset()
    has_statuses: bool = False
    only_client_waits: bool = False
    shakes_hands: bool = False
    is_sealed: bool = False


_RCODES: Final = dict(enumerate(("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")))

# Of RFC 8446 and those before it, as far as they are of use: why somebody hung up.
_ALERTS: Final = {
    10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error",
    70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback",
    90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension",
    112: "unrecognized_name", 113: "bad_certificate_status_response", 115: "unknown_psk_identity",
    116: "certificate_required", 120: "no_application_protocol",
}  # fmt: skip

# The first one that was recognised on a connection without requests names it.
RECOGNISED: Final = (
    Protocol(flow.PROTOCOL_HTTP, "http", has_statuses=True),
    Protocol(flow.PROTOCOL_DNS, "dns", _RCODES, "RCODE{}", failures=frozenset([2]), only_client_waits=True),
    Protocol(flow.PROTOCOL_TLS, "tls", _ALERTS, "alert {}", shakes_hands=True, is_sealed=True),
    Protocol(flow.PROTOCOL_QUIC, "quic", is_sealed=True),
)
BARE: Final = (Protocol(flow.PROTOCOL_TCP, "tcp"), Protocol(flow.PROTOCOL_UDP, "udp"))

_BY_NUMBER: Final = {one.number: one for one in (*RECOGNISED, *BARE)}
WITH_STATUSES: Final = [one.number for one in RECOGNISED if one.has_statuses]
WAITED_FOR_BY_CLIENT: Final = [one.number for one in RECOGNISED if one.only_client_waits]
SEALED: Final = sum(1 << one.number for one in RECOGNISED if one.is_sealed)
SHAKING_HANDS: Final = [one.number for one in RECOGNISED if one.shakes_hands]
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
