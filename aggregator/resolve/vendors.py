"""Whose a name outside is, and what it is for: the longest row of a table that fits it. What no row fits is nobody's,
and known by the domain that somebody registered.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# In a row: any one label.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Vendor:
    """`category` is what its names under one row are for: payments, database, ..."""

    name: str
    category: str


@dataclass(slots=True)
class _Node:
    """A label's place in the tree of all rows, which is read from the last label on."""

    below: dict[str, "_Node"] = field(default_factory=dict)
    vendor: Vendor | None = None


class Vendors:
    """`rows` by domain: each holds for the domain and all names below it. `registrable` gives the part of a name that
    somebody registered, None where there is none. `allowed` are vendors' names; without any, all are.
    """

    def __init__(
        self,
        rows: Mapping[str, Vendor] = MappingProxyType({}),
        registrable: Callable[[str], str | None] = lambda _name: None,
        allowed: Iterable[str] = (),
    ) -> None:
        self._root = _Node()
        self._registrable = registrable
        self._allowed = frozenset(name.casefold() for name in allowed)
        for domain, vendor in rows.items():
            node = self._root
            for label in reversed(domain.split(".")):
                node = node.below.setdefault(label, _Node())
            node.vendor = vendor

    def vendor_of(self, name: str) -> Vendor | None:
        """Of two rows of one length the one that says more of the end of the name."""
        found: Vendor | None = None
        fitting = [self._root]
        for label in reversed(_plain(name).split(".")):
            fitting = [below for node in fitting for one in (label, ANY) if (below := node.below.get(one))]
            if not fitting:
                break
            found = next((node.vendor for node in fitting if node.vendor), found)
        return found

    def domain_of(self, name: str) -> str:
        """The registrable domain of a name; the name where it has none, as an address has."""
        plain = _plain(name)
        is_address = plain.rpartition(".")[2].isdigit()
        return (None if is_address else self._registrable(plain)) or plain or name

    @property
    def limited(self) -> bool:
        """Whether somebody said which vendors are allowed."""
        return bool(self._allowed)

    def is_allowed(self, vendor: Vendor | None) -> bool:
        return not self._allowed or (vendor is not None and vendor.name.casefold() in self._allowed)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
