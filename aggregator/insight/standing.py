"""How a third party is at the moment, as a question may look at it. A value."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from plumbline.v1.jsonform import to_json
from plumbline.v1.topology_pb2 import TimeWindow


class Word(Enum):
    """The values of those that are told are those of the contract's ThirdPartyState."""

    USUAL = 0
    NEW = 1
    FAILING = 2
    SLOW = 3
    GONE = 4
    BACK = 5

    @property
    def text(self) -> str:
        return self.name.lower()


def time_of(ns: int) -> str:
    """As JSON has times."""
    window = TimeWindow()
    window.to.FromNanoseconds(ns)
    return str(to_json(window)["to"])


@dataclass(frozen=True, slots=True)
class Standing:
    """`word` since `since_ns`; `doing` the same for those clients of which anything was ever told. `clients`: all."""

    third: str
    name: str
    word: Word
    since_ns: int
    first_ns: int
    last_ns: int
    doing: Mapping[str, tuple[Word, int]]
    clients: frozenset[str]
