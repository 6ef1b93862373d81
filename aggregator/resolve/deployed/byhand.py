"""Fields of one spec that are as nobody who deploys made them. Pure.

The API's notes tell of those that others hold than who deploys or made it, also of changes that nobody saw; what was
seen to change tells of the rest, and of what a field was before.
"""

from collections.abc import Sequence
from typing import Final

from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.differences import Changed, held_by_hand, is_by_hand, whole
from aggregator.resolve.deployed.specs import Spec

MOST_SEEN: Final = 200


class ByHand:
    """`fields` are in order of their pointers."""

    def __init__(self, deployers: Deployers, spec: Spec) -> None:
        self._deployers = deployers
        self._seen: dict[str, Changed] = {}
        self._holders = spec.holders
        self.dropped = 0  # changes that were seen and are not kept
        self.fields = held_by_hand(spec, deployers)

    def change(self, spec: Spec, changes: Sequence[Changed]) -> None:
        for one in changes:
            self._see(one, spec)
        if spec.holders != self._holders or changes:
            self._holders = spec.holders
            known = {**self._seen, **{one.pointer: one for one in held_by_hand(spec, self._deployers)}}
            found = (self._with_before(known[pointer]) for pointer in whole(known))
            # Whoever put it back holds it, and it is as it was.
            self.fields = [one for one in found if one.old != one.new]

    def _see(self, one: Changed, spec: Spec) -> None:
        before = self._seen.pop(one.pointer, None)
        if not is_by_hand(one, spec, self._deployers):
            return
        if len(self._seen) >= MOST_SEEN:
            self.dropped += 1
            return
        self._seen[one.pointer] = one if before is None else one._replace(old=before.old)

    def _with_before(self, one: Changed) -> Changed:
        seen = self._seen.get(one.pointer)
        return one if seen is None else one._replace(old=seen.old)
