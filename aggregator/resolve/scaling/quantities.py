"""Quantities of the Kubernetes API ("100m", "128Mi", "1e3") as numbers. Pure."""

import re
from decimal import Decimal
from typing import Any, Final

# Of a number and a suffix; longer ones are nobody's.
_QUANTITY: Final = re.compile(
    r"([+-]?[0-9]{1,20}(?:\.[0-9]{0,20})?|[+-]?\.[0-9]{1,20})(?:([eE][+-]?[0-9]{1,2})|([a-zA-Z]{0,2}))"
)
_SUFFIXES: Final = {
    "": Decimal(1),
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Decimal(1000) ** -power for power, suffix in enumerate(("m", "u", "n"), 1)},
}
_MOST: Final = 2**60


def quantity(raw: Any) -> Decimal | None:
    """None for what is none."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Decimal(raw)
    found = _QUANTITY.fullmatch(raw) if isinstance(raw, str) else None
    if found is None or (found[3] or "") not in _SUFFIXES:
        return None
    return Decimal(found[1]) * (Decimal(f"1{found[2]}") if found[2] else _SUFFIXES[found[3] or ""])


def whole(raw: Any, unit: int = 1) -> int:
    """In parts of which `unit` are one, rounded up as the API does; 0 for what is none, or below zero."""
    found = quantity(raw)
    if found is None or found <= 0:
        return 0
    return min(int((found * unit).to_integral_value("ROUND_CEILING")), _MOST)
