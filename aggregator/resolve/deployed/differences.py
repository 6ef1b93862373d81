"""What differs between two states of a spec, and who did it. Pure.

By the API's own notes: who set a field last holds it. Whoever removed one holds nothing of it: there it was who wrote
meanwhile, and where nobody who is noted did, somebody who is not.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from aggregator.resolve.deployed.deployers import Deployers
from aggregator.resolve.deployed.fields import RESTARTED, above, is_of_template, kind_of, shown, told, unpacked
from aggregator.resolve.deployed.specs import Holder, Spec, pointers_of

# Who removes a field and sets none is not noted; of those who are, none wrote.
UNNOTED: Final = Holder("", "", "", 0, b"")


class Changed(NamedTuple):
    """One field; `old` and `new` as in its spec's fields, "" where it was not there. `kind` is as fields.kind_of has
    it, `by` who did it, None where the API did not note it."""

    pointer: str
    kind: str
    old: str
    new: str
    by: Holder | None

    @property
    def path(self) -> str:
        """As people write it."""
        return shown(self.pointer)

    @property
    def before(self) -> str:
        """ "" also where it is nobody's business."""
        return told(self.old)

    @property
    def after(self) -> str:
        return told(self.new)


def differences(before: Spec, after: Spec) -> list[Changed]:
    """In order of their pointers; parts of what came or went whole are not told by themselves."""
    if before.fields == after.fields:
        return []
    old, new = unpacked(before.fields), unpacked(after.fields)
    differing = {pointer for pointer in old.keys() | new.keys() if old.get(pointer) != new.get(pointer)}
    last = _last_writer(before, after)
    return [
        Changed(
            one,
            kind_of(one),
            old.get(one, ""),
            new.get(one, ""),
            _newest(after, one) or last if one in new else last or UNNOTED,
        )
        for one in whole(differing)
    ]


def held_by_hand(spec: Spec, deployers: Deployers) -> list[Changed]:
    """Fields that only others set than who deploys, or who made it. What they were before nobody knows any more."""
    known = {one for one in spec.holders if deployers.include(one.manager)}
    if len(known) == len(spec.holders):
        return []
    makers = makers_of(spec)
    known |= {one for one in spec.holders if one.manager in makers}
    if len(known) == len(spec.holders):
        return []
    fields = unpacked(spec.fields)
    found = {pointer for pointer in fields if (by := holders_of(spec, pointer)) and known.isdisjoint(by)}
    found.discard(RESTARTED)
    return [Changed(one, kind_of(one), "", fields[one], _newest(spec, one)) for one in whole(found)]


def is_by_hand(change: Changed, spec: Spec, deployers: Deployers) -> bool:
    """Whether nobody who deploys did it. `spec` is as it is after."""
    if change.by is None or change.pointer == RESTARTED or deployers.include(change.by.manager):
        return False
    # What an operator made for a resource of its own, it also changes.
    return spec.meta.owner is None or change.by.manager not in makers_of(spec)


def replaces_pods(changes: Iterable[Changed]) -> bool:
    return any(is_of_template(one.pointer) for one in changes)


def whole(pointers: Collection[str]) -> Iterator[str]:
    """Without those that lie in another of them, in order."""
    known = frozenset(pointers)
    return (one for one in sorted(known) if known.isdisjoint(above(one)))


def makers_of(spec: Spec) -> set[str]:
    """Who made it: the selector is set then, and never again."""
    return {one.manager for one in spec.holders if "/selector" in pointers_of(one.fields)[0]}


def holders_of(spec: Spec, pointer: str) -> Sequence[Holder]:
    """All that set it to what it is; else all that set what it lies in as one."""
    exact, around = [], []
    for one in spec.holders:
        every, whole = pointers_of(one.fields)
        if pointer in every:
            exact.append(one)
        elif not whole.isdisjoint(above(pointer)):
            around.append(one)
    return exact or around


def _newest(spec: Spec, pointer: str) -> Holder | None:
    return max(holders_of(spec, pointer), key=_time_ns, default=None)


def _last_writer(before: Spec, after: Spec) -> Holder | None:
    """Of those who wrote meanwhile and hold anything."""
    known = {one._replace(fields=b"") for one in before.holders}
    wrote = (one for one in after.holders if one._replace(fields=b"") not in known)
    return max(wrote, key=_time_ns, default=None)


def _time_ns(holder: Holder) -> int:
    return holder.time_ns
