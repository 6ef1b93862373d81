"""Work in steps: those that touch what agents change, in the store's thread; those that cost, beside it. Pure."""

from collections.abc import Generator
from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Step(Enum):
    """What the next step needs: nobody else at the estate, or nothing but what it has."""

    ALONE = 1
    BESIDE = 2


def at_once(steps: Generator[Step, None, T]) -> T:
    """All of them, for one who is alone anyway."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
