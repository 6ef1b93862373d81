"""What ids mean: hosts, endpoints, addresses, names and flows of the whole estate, dense from 0. Pure.

Ids are the aggregator's own. Those of an agent hold for one epoch and are translated by WireIds.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from plumbline.v1.columns import FIRST_NAME_ID

from aggregator.records import Endpoint, Flow, HostKey, Name

Ints = npt.NDArray[np.int64]
T = TypeVar("T")
UNKNOWN = -1
NO_ADDRESS = bytes(16)


class Interned(Generic[T]):
    """Values, each with one id."""

    def __init__(self, values: Iterable[T] = ()) -> None:
        self.values: list[T] = list(values)
        self._ids = {value: known for known, value in enumerate(self.values)}

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, known: int) -> T:
        return self.values[known]

    def id(self, value: T) -> int:
        known = self._ids.get(value)
        if known is None:
            known = self._ids[value] = len(self.values)
            self.values.append(value)
        return known

    def find(self, value: T) -> int:
        """UNKNOWN when it is not there."""
        return self._ids.get(value, UNKNOWN)


class WireIds:
    """From one agent's ids to dense ones, a whole column at once."""

    def __init__(self, keys: Ints | None = None, values: Ints | None = None) -> None:
        self._keys = np.empty(0, np.int64) if keys is None else keys
        self._values = np.empty(0, np.int64) if values is None else values
        self._new: dict[int, int] = {}

    def put(self, key: int, value: int) -> None:
        self._new[key] = value

    def get(self, key: int) -> int:
        """UNKNOWN when it is not there."""
        if key in self._new:
            return self._new[key]
        at = int(np.searchsorted(self._keys, key))
        return int(self._values[at]) if at < len(self._keys) and self._keys[at] == key else UNKNOWN

    def translate(self, keys: npt.NDArray[np.generic]) -> Ints:
        """UNKNOWN where a key is not there."""
        known, values = self.arrays()
        if not len(known):
            return np.full(len(keys), UNKNOWN, np.int64)
        wanted = keys.astype(np.int64)
        # Ids are dense in practice: then a lookup is an index.
        if known[0] <= 8 and known[-1] == known[0] + len(known) - 1:
            at = wanted - known[0]
            inside = (at >= 0) & (at < len(known))
            return np.where(inside, values[np.where(inside, at, 0)], UNKNOWN)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[at] == wanted, values[at], UNKNOWN)

    def arrays(self) -> tuple[Ints, Ints]:
        """(keys ascending, values)."""
        if self._new:
            new_keys = np.fromiter(self._new.keys(), np.int64, len(self._new))
            new_values = np.fromiter(self._new.values(), np.int64, len(self._new))
            kept = ~np.isin(self._keys, new_keys)
            keys = np.concatenate([self._keys[kept], new_keys])
            order = np.argsort(keys, kind="stable")
            self._keys = keys[order]
            self._values = np.concatenate([self._values[kept], new_values])[order]
            self._new.clear()
        return self._keys, self._values

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Drops the rest; `which` is parallel to `arrays()`."""
        keys, values = self.arrays()
        self._keys, self._values = keys[which], values[which]


class FlowTable:
    """One row a flow. `active` are its open connections, `protocols` the bits it ever showed.

    A row that nothing refers to any more is freed and given to a later flow.
    """

    COLUMNS = (
        *("endpoint", "local", "peer", "port", "role", "transport", "asked", "asked_port"),
        *("epoch", "created_ns", "last_ns", "active", "protocols"),
    )

    def __init__(self, columns: dict[str, Ints] | None = None, free: Iterable[int] = ()) -> None:
        self._rows = {name: np.zeros(1024, np.int64) for name in self.COLUMNS} if columns is None else dict(columns)
        self.size = 0 if columns is None else len(columns["endpoint"])
        self.free = list(free)

    def __getattr__(self, name: str) -> Ints:
        """A column: a view, written to in place."""
        try:
            return self.__dict__["_rows"][name][: self.__dict__["size"]]
        except KeyError:
            raise AttributeError(name) from None

    def __len__(self) -> int:
        return self.size - len(self.free)

    def add(self, row: Sequence[int]) -> int:
        """`row` is in the order of COLUMNS."""
        if self.free:
            at = self.free.pop()
        else:
            at = self.size
            if at == len(self._rows["endpoint"]):
                self._rows = {
                    name: np.concatenate([column, np.zeros_like(column)]) for name, column in self._rows.items()
                }
            self.size += 1
        self.set(at, row)
        return at

    def set(self, at: int, row: Sequence[int]) -> None:
        for name, value in zip(self.COLUMNS, row, strict=True):
            self._rows[name][at] = value

    def columns(self) -> dict[str, Ints]:
        return {name: column[: self.size] for name, column in self._rows.items()}


class Tables:
    """Everything that rows refer to."""

    def __init__(self) -> None:
        self.hosts: Interned[HostKey] = Interned()
        self.addresses: Interned[bytes] = Interned([NO_ADDRESS])
        # The first three names of the contract keep their numbers.
        self.names: Interned[Name] = Interned([Name(0, ""), Name(0, "(other)"), Name(0, "(unnamed)")])
        # A list, not interned: an agent may say later what an endpoint's network namespace is.
        self.endpoints: list[Endpoint] = []
        self.flows = FlowTable()
        assert len(self.names) == FIRST_NAME_ID

    def flow(self, flow: int) -> Flow:
        row = self.flows
        asked = int(row.asked[flow])
        return Flow(
            endpoint=int(row.endpoint[flow]),
            local_address=self.addresses[int(row.local[flow])],
            peer_address=self.addresses[int(row.peer[flow])],
            port=int(row.port[flow]),
            role=int(row.role[flow]),
            transport=int(row.transport[flow]),
            asked_address=self.addresses[asked] if asked else b"",
            asked_port=int(row.asked_port[flow]),
        )
