"""What clients call what is outside: the Host that they asked for, else what DNS had told them."""

from collections import OrderedDict
from ipaddress import ip_address
from typing import Final, NamedTuple

from aggregator.records import Told

_KEPT_PAIRS: Final = 200_000
_KEPT_NAMES: Final = 16


class OutsideName(NamedTuple):
    """`source` is "host" or "dns"; `ambiguous`: the client knew several names for this address."""

    name: str
    source: str
    ambiguous: bool


def host_name(text: str) -> str:
    """A Host header as a DNS name: lower case, no port, no final dot; "" for an address or nonsense."""
    name = text.strip().lower().rsplit("]", 1)[-1] if text.startswith("[") else text.strip().lower()
    name = name.partition(":")[0].rstrip(".")
    if not name or name.startswith("(") or not _is_dns_name(name) or _is_address(name):
        return ""
    return name


class DnsMemory:
    """For each (endpoint, address) the names that the endpoint was told, with the last time of each."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[int, bytes], dict[str, int]] = OrderedDict()
        self.version = 0
        self.dropped = 0  # answers that had no room any more

    def __len__(self) -> int:
        return len(self._told)

    def add(self, told: Told) -> None:
        for address in told.addresses:
            key = (told.endpoint, address)
            names = self._told.setdefault(key, {})
            before = self.name_of(*key)
            names[told.name] = max(told.time_ns, names.pop(told.name, 0))
            if len(names) > _KEPT_NAMES:
                del names[next(iter(names))]
                self.dropped += 1
            self._told.move_to_end(key)
            self.version += self.name_of(*key) != before
        while len(self._told) > _KEPT_PAIRS:
            self._told.popitem(last=False)
            self.dropped += 1

    def name_of(self, endpoint: int, address: bytes) -> OutsideName | None:
        """The last name that this client was told for this address."""
        names = self._told.get((endpoint, address))
        if not names:
            return None
        last = max(names, key=lambda name: names[name])
        return OutsideName(last, "dns", len(names) > 1)


def _is_dns_name(name: str) -> bool:
    return (
        len(name) <= 253 and "." in name and all(0 < len(label) <= 63 and _is_label(label) for label in name.split("."))
    )


def _is_label(label: str) -> bool:
    return all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in label)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
