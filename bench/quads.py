"""Two things measured in turn, in fours: A, B, B, A, and the other way round in the next round."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.common import quantile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quad(Generic[T]):
    """Two traced ones, around or between two plain ones."""

    on: tuple[T, T]
    off: tuple[T, T]


def quads(traced: Callable[[], T], plain: Callable[[], T], count: int) -> list[Quad[T]]:
    return [_quad(traced, plain, number % 2 == 1) for number in range(count)]


def _quad(traced: Callable[[], T], plain: Callable[[], T], traced_first: bool) -> Quad[T]:
    outer, inner = (traced, plain) if traced_first else (plain, traced)
    first, second, third, fourth = outer(), inner(), inner(), outer()
    ends, middle = (first, fourth), (second, third)
    return Quad(ends, middle) if traced_first else Quad(middle, ends)


def spread(shares: list[float]) -> str:
    return f"half of {len(shares)} within {quantile(shares, 0.25):.1%} and {quantile(shares, 0.75):.1%}"
