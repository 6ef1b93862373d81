"""What an agent leaves to its successor, as bytes: what its ids mean, and what it could not deliver. Pure.

Columns and messages of the contract only, so that agents of different versions understand each other.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from plumbline.v1.flow_pb2 import Batch

from agent.records import Stand

Rows: TypeAlias = npt.NDArray[np.void]

# Of the kernel's ids: the contract's id, the endpoint, when it counted last, connections that are open, whether the
# kernel has forgotten it. Names use the first two and the fourth.
ROW = np.dtype([("key", "u8"), ("value", "u4"), ("endpoint", "u4"), ("last_ns", "i8"), ("open", "i8"), ("struck", "?")])
MOST_BYTES = 1 << 29
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, DecodeError, zipfile.BadZipFile)


class BrokenLegacy(Exception):
    """What came cannot be read; the reason is for a person."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """`notes` defines every endpoint, flow and name that the rows refer to; `namespaces`: inodes by cookie."""

    flows: Rows
    names: Rows
    notes: Batch
    namespaces: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Legacy:
    stand: Stand
    meanings: Meanings


@dataclass(frozen=True, slots=True)
class Rest:
    """Batches that are on no disk, for whoever delivers them in the name of their epoch."""

    epoch: int
    acknowledged: int
    batches: Sequence[Batch] = ()
    everything: Batch = field(default_factory=Batch)
    # As in an Introduction: its agent may not have been able to say it.
    continues_epoch: int = 0
    gap_reason: str = ""


def pack_legacy(legacy: Legacy) -> bytes:
    stand, meanings = legacy.stand, legacy.meanings
    facts = {
        "drained_ns": stand.drained_ns,
        "reported": stand.reported,
        "namespaces": [[cookie, inode] for cookie, inode in meanings.namespaces.items()],
    }
    return _packed(facts, {"notes": _bytes(meanings.notes), "flows": meanings.flows, "names": meanings.names})


def unpack_legacy(raw: bytes) -> Legacy:
    """Raises BrokenLegacy."""
    try:
        facts, parts = _unpacked(raw)
        stand = Stand(int(facts["drained_ns"]), {str(name): int(count) for name, count in facts["reported"].items()})
        namespaces = {int(cookie): int(inode) for cookie, inode in facts["namespaces"]}
        notes = Batch.FromString(parts["notes"].tobytes())
        return Legacy(stand, Meanings(_rows(parts["flows"]), _rows(parts["names"]), notes, namespaces))
    except _BROKEN as error:
        raise BrokenLegacy(f"what was handed over cannot be read ({type(error).__name__})") from error


def pack_rests(rests: Sequence[Rest]) -> bytes:
    """Of several epochs: who hands over may not have delivered yet what was handed to it."""
    facts, raw = [], []
    for rest in rests:
        messages = [one.SerializeToString() for one in (rest.everything, *rest.batches)]
        raw += messages
        lengths = [len(one) for one in messages]
        words = {"continues": rest.continues_epoch, "gap": rest.gap_reason}
        facts.append({"epoch": rest.epoch, "acknowledged": rest.acknowledged, "lengths": lengths, **words})
    return _packed({"rests": facts}, {"batches": np.frombuffer(b"".join(raw), np.uint8)})


def unpack_rests(raw: bytes) -> list[Rest]:
    """Raises BrokenLegacy."""
    try:
        facts, parts = _unpacked(raw)
        joined, at, rests = parts["batches"].tobytes(), 0, []
        for one in facts["rests"]:
            ends = [at, *(np.cumsum(one["lengths"]) + at).tolist()]
            at = ends[-1]
            everything, *batches = [Batch.FromString(joined[a:b]) for a, b in pairwise(ends)]
            words = (int(one.get("continues", 0)), str(one.get("gap", "")))  # another version may not say them
            rests.append(Rest(int(one["epoch"]), int(one["acknowledged"]), batches, everything, *words))
        return rests
    except _BROKEN as error:
        raise BrokenLegacy(f"what was not delivered cannot be read ({type(error).__name__})") from error


def _packed(facts: Mapping[str, Any], parts: dict[str, Any]) -> bytes:
    with io.BytesIO() as file:
        np.savez(file, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **parts)
        return file.getvalue()


def _unpacked(raw: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    # Nothing in it is ever run: no pickles.
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        parts = {name: file[name] for name in file.files}
    facts: dict[str, Any] = json.loads(parts.pop("facts").tobytes())
    return facts, parts


def _rows(found: Rows) -> Rows:
    """By the names of their columns: another version may have more of them, or none of some."""
    rows = np.zeros(len(found), ROW)
    for name in ROW.names or ():
        if name in (found.dtype.names or ()):
            rows[name] = found[name]
    return rows


def _bytes(message: Batch) -> npt.NDArray[np.uint8]:
    return np.frombuffer(message.SerializeToString(), np.uint8)
