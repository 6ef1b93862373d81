"""How long one may hold what all share: the interpreter's lock, a core. Pure, but for the one setting."""

import sys
from typing import Final

# Until a thread that computes lets one go first that waits. Whoever calls numpy or waits for the disk gives the lock
# away many times, and has this wait for each: with Python's own 5 ms, what takes 10 ms alone took 200.
_TURN_SECONDS: Final = 0.0005


def take_short_turns() -> None:
    """For a process that computes in one thread while others should answer at once."""
    sys.setswitchinterval(_TURN_SECONDS)


class Share:
    """A share of a core, over time: what was not used is a credit, up to so many seconds."""

    def __init__(self, most: float, credit_seconds: float) -> None:
        self._most = most
        self._credit_seconds = credit_seconds
        self._debt_seconds = 0.0
        self._at = 0.0

    def pause(self, used_seconds: float, now: float) -> float:
        """How many seconds to wait, after so much was used until `now`."""
        paid = (now - self._at) * self._most
        self._debt_seconds = max(self._debt_seconds - paid, 0.0) + used_seconds
        self._at = now
        return max(self._debt_seconds - self._credit_seconds, 0.0) / self._most
