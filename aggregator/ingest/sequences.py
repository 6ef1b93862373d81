"""Which batch numbers of one epoch are on disk: ranges, so that order, repetition and gaps do not matter. Pure."""

from bisect import bisect_right

_MOST_RANGES = 256


class Sequences:
    """Disjoint closed ranges of numbers, ascending. Beyond a bound the oldest gap counts as seen."""

    def __init__(self, ranges: list[tuple[int, int]] | None = None) -> None:
        self.ranges = list(ranges or [])
        self.closed_gaps = 0

    @property
    def highest(self) -> int:
        return self.ranges[-1][1] if self.ranges else 0

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.ranges, (number, 2**64)) - 1
        return at >= 0 and self.ranges[at][0] <= number <= self.ranges[at][1]

    def add(self, number: int) -> bool:
        """False when it was there."""
        if number in self:
            return False
        at = bisect_right(self.ranges, (number, 2**64))
        low = high = number
        if at < len(self.ranges) and self.ranges[at][0] == number + 1:
            high = self.ranges.pop(at)[1]
        if at and self.ranges[at - 1][1] == number - 1:
            at -= 1
            low = self.ranges.pop(at)[0]
        self.ranges.insert(at, (low, high))
        if len(self.ranges) > _MOST_RANGES:
            first, second = self.ranges[:2]
            self.ranges[:2] = [(first[0], second[1])]
            self.closed_gaps += 1
        return True
