"""What clients call what is outside: the Host that they asked for, else what DNS had told them."""

from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

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
        self._addresses: dict[str, dict[bytes, int]] = {}  # by name, with how many endpoints were told so
        self.version = 0
        self.dropped = 0  # answers that had no room any more
        self._changed: set[bytes] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Without what the rest tells: agents wait for this."""
        return {name: value for name, value in self.__dict__.items() if name != "_addresses"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """One that was kept may be of before something was added here."""
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(state)
        for (_, address), names in self._told.items():
            for name in names:
                self._note(name, address)

    def renumbered(self, ids: npt.NDArray[np.int64]) -> "DnsMemory":
        """`ids`: endpoints of now, by those of before; -1 for what is given back."""
        now = zip(ids[[endpoint for endpoint, _ in self._told]].tolist(), self._told.items(), strict=True)
        told = OrderedDict(((endpoint, key[1]), names) for endpoint, (key, names) in now if endpoint >= 0)
        same = DnsMemory()
        same.__setstate__({**self.__getstate__(), "_told": told})
        return same

    def told_since(self, time_ns: int) -> set[int]:
        """Endpoints that were told anything since then."""
        return {endpoint for (endpoint, _), names in self._told.items() if max(names.values()) >= time_ns}

    def take_changed(self) -> set[bytes]:
        """Addresses that are called otherwise by somebody than when this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def __len__(self) -> int:
        return len(self._told)

    def add(self, told: Told) -> None:
        for address in told.addresses:
            key = (told.endpoint, address)
            names = self._told.setdefault(key, {})
            before = self.name_of(*key)
            if told.name not in names:
                self._note(told.name, address)
            names[told.name] = max(told.time_ns, names.pop(told.name, 0))
            if len(names) > _KEPT_NAMES:
                self._forget((oldest := next(iter(names))), address)
                del names[oldest]
                self.dropped += 1
            self._told.move_to_end(key)
            if self.name_of(*key) != before:
                self._change(address)
        while len(self._told) > _KEPT_PAIRS:
            (_, address), names = self._told.popitem(last=False)
            for name in names:
                self._forget(name, address)
            self._change(address)
            self.dropped += 1

    def _note(self, name: str, address: bytes) -> None:
        here = self._addresses.setdefault(name, {})
        here[address] = here.get(address, 0) + 1

    def _forget(self, name: str, address: bytes) -> None:
        here = self._addresses[name]
        here[address] -= 1
        if not here[address]:
            del here[address]
        if not here:
            del self._addresses[name]

    def _change(self, address: bytes) -> None:
        self.version += 1
        self._changed.add(address)

    def name_of(self, endpoint: int, address: bytes) -> OutsideName | None:
        """The last name that this client was told for this address."""
        names = self._told.get((endpoint, address))
        if not names:
            return None
        last = max(names, key=lambda name: names[name])
        return OutsideName(last, "dns", len(names) > 1)

    def names_of(self, endpoint: int, address: bytes) -> Iterable[str]:
        """All that this client was told for this address."""
        return self._told.get((endpoint, address), ())

    def names(self) -> Iterable[str]:
        """All that anybody was told of."""
        return self._addresses

    def addresses_of(self, name: str) -> Iterable[bytes]:
        """Whatever anybody was told that it is."""
        return self._addresses.get(name, ())

    def was_told(self, endpoint: int, address: bytes, name: str) -> bool:
        """Whether this client knows this address by that name. From any thread."""
        return name in self._told.get((endpoint, address), ())


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
