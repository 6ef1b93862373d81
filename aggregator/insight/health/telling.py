"""What became of third parties as events of the contract, and back. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, cast

from plumbline.v1 import topology_pb2 as pb

from aggregator.insight.health.states import Became
from aggregator.insight.standing import Word

MOST_AFFECTED: Final = 50


def event_of(one: Became, now_ns: int) -> pb.Event:
    change = pb.ThirdPartyChange(
        state=cast(pb.ThirdPartyState, one.word.value),
        affected=one.affected[:MOST_AFFECTED],
        more_affected=len(one.affected[MOST_AFFECTED:]),
        attempts=one.attempts,
        failures=one.failures,
        reasons=one.reasons,
    )
    change.since.FromNanoseconds(one.since_ns)
    if one.usual_ms is not None and one.now_ms is not None:
        change.usual_ms, change.now_ms = one.usual_ms, one.now_ms
    event = pb.Event(
        id=f"third-party-{one.third}-{one.word.text}-{now_ns}",
        kind=pb.EVENT_KIND_THIRD_PARTY,
        node=one.third,
        third_party=change,
    )
    event.time.FromNanoseconds(now_ns)
    return event


def became(events: Iterable[pb.Event]) -> Iterator[Became]:
    """Of those that are about third parties; what a later version tells otherwise is left out."""
    for event in events:
        change = event.third_party
        if event.kind != pb.EVENT_KIND_THIRD_PARTY or change.state not in _WORDS:
            continue
        usual_ms = change.usual_ms if change.HasField("usual_ms") else None
        since_ns = change.since.ToNanoseconds()
        yield Became(event.node, _WORDS[change.state], since_ns, tuple(change.affected), usual_ms=usual_ms)


_WORDS: Final = {one.value: one for one in Word if one is not Word.USUAL}
