"""From the kernel's 64-bit ids to the contract's 32-bit ones, and the definitions that make those mean something.

Contract ids are given once and never used again. Rows are translated as columns; Python runs for new ids only.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from plumbline.v1.columns import FIRST_NAME_ID, NO_NAME, OTHER_NAME, UNNAMED, Columns
from plumbline.v1.flow_pb2 import FlowDefinition, NameDefinition, NameKind

from agent.records import NO_ADDRESS, KernelFlow
from agent.succession.legacy import ROW, Meanings, Rows

Ids: TypeAlias = npt.NDArray[np.uint64]

_SECOND_NS = 1_000_000_000
# A flow without an open connection is struck from the kernel's table after so long without a count. What it
# meant is known for longer: a datagram socket counts under the old id when it wakes up.
_KERNEL_IDLE_NS = 600 * _SECOND_NS
# While others find no room: what is used less than once a minute makes place.
_PRESSED_IDLE_NS = 60 * _SECOND_NS
_MEANING_IDLE_NS = 24 * 3600 * _SECOND_NS
# Definitions that are kept at most, also while nobody takes them. What is new then counts as (other).
MOST_FLOWS = 65_536
MOST_NAMES = 65_536
_COLUMNS = ROW.names or ()
_MOST_UNNAMED = 1_024


class IdTable:
    """Rows sorted by key, found by binary search for a whole column at once."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, ROW)
        self._new: dict[int, tuple[Any, ...]] = {}

    def add(self, key: int, value: int, endpoint: int, now_ns: int) -> None:
        """The row of this key, from the next `find` on."""
        self._new[key] = (key, value, endpoint, now_ns, 0, False)

    def find(self, keys: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
        """Positions in `rows`; -1 for what is not there."""
        self._settle()
        if not len(self.rows):
            return np.full(len(keys), -1)
        positions = np.minimum(np.searchsorted(self.rows["key"], keys), len(self.rows) - 1)
        return np.where(self.rows["key"][positions] == keys, positions, -1)

    def endpoint(self, key: int) -> int:
        """0 when the key is not there."""
        return self._one(key, "endpoint")

    def value(self, key: int) -> int:
        """0 when the key is not there."""
        return self._one(key, "value")

    def _one(self, key: int, column: str) -> int:
        if key in self._new:
            return int(self._new[key][_COLUMNS.index(column)])
        at = int(np.searchsorted(self.rows["key"], np.uint64(key)))
        return int(self.rows[column][at]) if at < len(self.rows) and self.rows["key"][at] == key else 0

    def settled(self) -> Rows:
        """Every row."""
        self._settle()
        return self.rows

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        self._settle()
        self.rows = self.rows[which]

    def _settle(self) -> None:
        if not self._new:
            return
        new = np.array(list(self._new.values()), ROW)
        self._new.clear()
        # Told again, a flow keeps its open connections.
        _, before, again = np.intersect1d(self.rows["key"], new["key"], return_indices=True)
        new["open"][again] = self.rows["open"][before]
        rows = np.concatenate([np.delete(self.rows, before), new])
        self.rows = rows[np.argsort(rows["key"])]


class Dictionary:
    """What the kernel's ids mean. One epoch."""

    def __init__(self) -> None:
        self._flows = IdTable()
        self._names = IdTable()
        self._flow_ids: dict[bytes, int] = {}
        self._name_ids: dict[tuple[NameKind, str], int] = {}
        self._texts: dict[int, str] = {}  # of the same
        # By the kernel's id of a name whose announcement was lost: flows that are called so, by theirs.
        self._unnamed: dict[int, dict[int, tuple[KernelFlow, int]]] = {}
        self._next_flow = 1
        self._next_name = FIRST_NAME_ID
        self._new_flows: list[FlowDefinition] = []
        self._new_names: list[NameDefinition] = []
        self.names_refused = 0
        # Kernel ids of flows whose cgroup is gone.
        self._left: set[int] = set()

    @property
    def full(self) -> bool:
        return len(self._flow_ids) >= MOST_FLOWS

    @property
    def flows(self) -> int:
        return len(self._flow_ids)

    @property
    def names(self) -> int:
        return len(self._name_ids)

    def learn_flow(self, flow: KernelFlow, endpoint: int, now_ns: int) -> int:
        """The contract's id. Flows of the kernel that differ in nothing that leaves the host share one."""
        server_name = self._text_of(flow.server_name)
        if flow.server_name and not server_name and len(self._unnamed) < _MOST_UNNAMED:
            self._unnamed.setdefault(flow.server_name, {})[flow.id] = flow, endpoint
        definition = _definition(flow, endpoint, server_name)
        key = definition.SerializeToString(deterministic=True)
        flow_id = self._flow_ids.get(key)
        if flow_id is None:
            flow_id, self._next_flow = self._next_flow, self._next_flow + 1
            self._flow_ids[key] = definition.id = flow_id
            self._new_flows.append(definition)
        self._flows.add(flow.id, flow_id, endpoint, now_ns)
        return flow_id

    def learn_name(self, name_id: int, kind: NameKind, text: str, now_ns: int) -> int:
        """The contract's id; one for each text."""
        known = self._name_ids.get((kind, text))
        if known is None and len(self._name_ids) >= MOST_NAMES:
            known = OTHER_NAME
            self.names_refused += 1
        elif known is None:
            known, self._next_name = self._next_name, self._next_name + 1
            self._name_ids[kind, text], self._texts[known] = known, text
            self._new_names.append(NameDefinition(id=known, kind=kind, text=text))
        self._names.add(name_id, known, 0, now_ns)
        for flow, endpoint in self._unnamed.pop(name_id, {}).values():
            self.learn_flow(flow, endpoint, now_ns)
        return known

    def _text_of(self, name_id: int) -> str:
        """Of a kernel's name, "" where that is not known: it is announced before what is called so, or again later."""
        return self._texts.get(self._names.value(name_id), "") if name_id else ""

    def endpoint_of(self, flow_id: int) -> int:
        """Of a kernel's flow; 0 when that is not known."""
        return self._flows.endpoint(flow_id)

    def unknown_flows(self, flows: Columns, requests: Columns) -> list[int]:
        """Kernel ids that occur and were not learned."""
        unknown = [part["flow"][self._flows.find(part["flow"]) < 0] for part in (flows, requests)]
        return [int(one) for one in np.unique(np.concatenate(unknown))]

    def translate(self, flows: Columns, requests: Columns, now_ns: int) -> tuple[Columns, Columns, int]:
        """Both with the contract's ids, and how many rows meant an unknown flow: those are left out."""
        at = self._flows.find(flows["flow"])
        known = at >= 0
        flows = {name: column[known] for name, column in flows.items()}
        at = at[known]
        rows = self._flows.rows
        rows["last_ns"][at] = now_ns
        rows["struck"][at] = False
        for name, sign in (("connections", 1), ("adopted", 1), ("closed", -1)):
            np.add.at(rows["open"], at, sign * flows[name].astype(np.int64))
        flows["flow"] = rows["value"][at]
        lost = int(len(known) - known.sum())

        at = self._flows.find(requests["flow"])
        known = at >= 0
        requests = {name: column[known] for name, column in requests.items()}
        rows["last_ns"][at[known]] = now_ns
        requests["flow"] = rows["value"][at[known]]
        for column in ("name", "host"):
            requests[column] = self._named(requests[column], now_ns)
        return flows, requests, lost + int(len(known) - known.sum())

    def take_new(self) -> tuple[list[FlowDefinition], list[NameDefinition]]:
        flows, self._new_flows = self._new_flows, []
        names, self._new_names = self._new_names, []
        return flows, names

    def everything(self) -> tuple[list[FlowDefinition], list[NameDefinition]]:
        """Every definition that rows may still refer to."""
        flows = []
        for raw, flow_id in self._flow_ids.items():
            definition = FlowDefinition.FromString(raw)
            definition.id = flow_id
            flows.append(definition)
        names = [NameDefinition(id=known, kind=kind, text=text) for (kind, text), known in self._name_ids.items()]
        return flows, names

    def rows(self) -> tuple[Rows, Rows]:
        """What the kernel's ids of flows and names are here."""
        return self._flows.settled(), self._names.settled()

    def inherit(self, meanings: Meanings, endpoints: Mapping[int, int]) -> None:
        """Before anything was learned: what an agent before us knew, all of it to be told again. `endpoints`: our ids
        by its ids. What it did not define is learned when it counts."""
        ours = np.zeros(max((one.id for one in meanings.notes.flow_definitions), default=0) + 1, np.uint32)
        for told in meanings.notes.flow_definitions:
            definition = FlowDefinition()
            definition.CopyFrom(told)
            definition.ClearField("id")
            definition.endpoint = endpoints.get(told.endpoint, 0)
            key = definition.SerializeToString(deterministic=True)
            ours[told.id] = definition.id = self._flow_ids.setdefault(key, told.id)
            if definition.id == told.id:
                self._new_flows.append(definition)
        self._next_flow = len(ours)
        flows = meanings.flows[meanings.flows["value"] < len(ours)]
        translated = np.zeros(max(endpoints, default=0) + 1, np.uint32)
        translated[list(endpoints)] = list(endpoints.values())
        flows["value"] = ours[flows["value"]]
        flows["endpoint"] = translated[np.where(flows["endpoint"] < len(translated), flows["endpoint"], 0)]
        self._flows.rows = np.sort(flows[flows["value"] > 0], order="key")
        self._new_names += meanings.notes.names
        self._name_ids = {(one.kind, one.text): one.id for one in meanings.notes.names}
        self._texts = {one.id: one.text for one in meanings.notes.names}
        self._next_name = max([FIRST_NAME_ID, *(known + 1 for known in self._name_ids.values())])
        defined = np.array([OTHER_NAME, *self._name_ids.values()], np.uint32)
        self._names.rows = np.sort(meanings.names[np.isin(meanings.names["value"], defined)], order="key")

    def strike_idle(self, now_ns: int, pressed: bool = False) -> tuple[list[int], list[int]]:
        """Kernel ids of flows and names that it need not keep. Names lose their meaning at once, flows later."""
        idle_ns = _PRESSED_IDLE_NS if pressed else _KERNEL_IDLE_NS
        rows = self._flows.settled()
        idle = (now_ns - rows["last_ns"] > idle_ns) & (rows["open"] <= 0) & ~rows["struck"]
        rows["struck"] |= idle
        old = now_ns - self._names.settled()["last_ns"] > idle_ns
        names = self._names.rows["key"][old]
        self._names.keep(~old)
        return rows["key"][idle].tolist(), names.tolist()

    def strike(self, flows: Iterable[int]) -> list[int]:
        """Those of them that have no open connection: their cgroup is gone, so that nobody will count under them."""
        rows = self._flows.settled()
        left = np.isin(rows["key"], np.array(list(flows), np.uint64)) & (rows["open"] <= 0)
        rows["struck"] |= left
        self._left |= (keys := set(rows["key"][left].tolist()))
        return list(keys)

    def forget(self, now_ns: int, delivered: bool) -> None:
        """Drops meanings that nothing will refer to. `delivered`: nor does anything that waits."""
        rows = self._flows.settled()
        old = now_ns - rows["last_ns"] > _MEANING_IDLE_NS
        old |= np.isin(rows["key"], np.array(list(self._left), np.uint64)) & (
            now_ns - rows["last_ns"] > _PRESSED_IDLE_NS
        )
        if 2 * len(rows) > MOST_FLOWS:
            old |= True
        self._flows.keep(~(old & rows["struck"]))
        self._left.intersection_update(self._flows.rows["key"].tolist())
        if not delivered:
            return
        used = set(self._flows.rows["value"].tolist())
        self._flow_ids = {key: known for key, known in self._flow_ids.items() if known in used}
        used = set(self._names.rows["value"].tolist())
        self._name_ids = {key: known for key, known in self._name_ids.items() if known in used}
        self._texts = {known: text for (_, text), known in self._name_ids.items()}

    def endpoints(self) -> Iterable[int]:
        """Ids of endpoints that flows belong to."""
        used: list[int] = np.unique(self._flows.rows["endpoint"]).tolist()
        return used

    def _named(self, kernel_ids: npt.NDArray[np.generic], now_ns: int) -> npt.NDArray[np.generic]:
        at = self._names.find(kernel_ids)
        rows = self._names.rows
        rows["last_ns"][at[at >= 0]] = now_ns
        named: npt.NDArray[np.generic] = np.full(len(at), UNNAMED, np.uint32)
        if len(rows):
            named = np.where(at >= 0, rows["value"][at], named)
        return np.where(kernel_ids == NO_NAME, NO_NAME, np.where(kernel_ids == OTHER_NAME, OTHER_NAME, named))


def _definition(flow: KernelFlow, endpoint: int, server_name: str) -> FlowDefinition:
    asked = flow.asked_address != NO_ADDRESS or flow.asked_port != 0
    return FlowDefinition(
        endpoint=endpoint,
        local_address=flow.local_address,
        peer_address=flow.peer_address,
        port=flow.port,
        role=flow.role,  # type: ignore[arg-type]
        transport=flow.transport,  # type: ignore[arg-type]
        asked_address=flow.asked_address if asked else b"",
        asked_port=flow.asked_port,
        server_name=server_name,
    )
