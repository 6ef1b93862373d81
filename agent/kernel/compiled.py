"""What the compiler yields, as plain data: the kernel makes maps and programs of it, today's or, kept on disk, a later
agent's. Pure.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

_LOAD_OF_64_BITS, _OF_A_MAP = 0x18, 1
_INSTRUCTION = np.dtype([("code", "u1"), ("registers", "u1"), ("offset", "<i2"), ("number", "<i4")])


class MapSpec(NamedTuple):
    """What the kernel is told when it makes a map. The last two: its types in the BTF, 0 for none."""

    kind: int
    key_bytes: int
    value_bytes: int
    most_entries: int
    flags: int
    btf_key: int
    btf_value: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """`functions`: their code, with the place of a map among `maps` where its descriptor will be. `shapes`: of keys and
    values, `structs`: of announcements, as numpy.dtype accepts them. `layout`: the word for what the maps hold."""

    maps: dict[str, MapSpec]
    functions: dict[str, bytes]
    btf: bytes
    shapes: dict[str, list[Any]]
    structs: dict[str, Any]
    layout: str


def unbound(code: bytes, places: Mapping[int, int]) -> bytes:
    """`places`: by descriptors. Raises KeyError for a map that is none of ours."""
    return _renumbered(code, places)


def bound(code: bytes, descriptors: list[int]) -> bytes:
    """`descriptors`: by the maps' places."""
    return _renumbered(code, dict(enumerate(descriptors)))


def _renumbered(code: bytes, numbers: Mapping[int, int]) -> bytes:
    rows = np.frombuffer(code, _INSTRUCTION).copy()
    of_maps = (rows["code"] == _LOAD_OF_64_BITS) & (rows["registers"] >> 4 == _OF_A_MAP)
    rows["number"][of_maps] = [numbers[number] for number in rows["number"][of_maps].tolist()]
    return rows.tobytes()


def packed(compiled: Compiled) -> bytes:
    fields = asdict(compiled)
    fields["functions"] = {name: _text(code) for name, code in compiled.functions.items()}
    fields["btf"] = _text(compiled.btf)
    body = json.dumps(fields).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpacked(content: bytes) -> Compiled | None:
    """None for anything but what `packed` gave, whole."""
    digest, _, body = content.partition(b"\n")
    if digest != hashlib.sha256(body).hexdigest().encode():
        return None
    fields = json.loads(body)
    return Compiled(
        maps={name: MapSpec(*spec) for name, spec in fields["maps"].items()},
        functions={name: base64.b64decode(code) for name, code in fields["functions"].items()},
        btf=base64.b64decode(fields["btf"]),
        shapes=fields["shapes"],
        structs=fields["structs"],
        layout=fields["layout"],
    )


def key_of(source: str, *circumstances: str) -> str:
    """Another one for all that may change what the compiler yields, or what a kernel makes of it."""
    return hashlib.sha256(json.dumps([source, *circumstances]).encode()).hexdigest()[:32]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
