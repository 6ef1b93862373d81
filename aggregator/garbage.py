"""When Python looks for cycles of garbage: a search walks all that is held, and a graph is much to walk."""

import gc
from typing import Final

# New objects until the young ones are searched, while which every thread waits; how many searches of one age go before
# one of the next, and before one of all.
_YOUNG: Final = 10_000
_SEARCHES: Final = 25
_SEARCHES_OF_ALL: Final = 125


def search_all() -> None:
    """Once, also among what was there at the start: much of it is garbage now."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def search_seldom() -> None:
    """For a process that holds much for long, and hardly makes cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _SEARCHES, _SEARCHES_OF_ALL)
