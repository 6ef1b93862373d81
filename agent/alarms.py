"""Each abnormal change once: a reason that begins, and that it has ended after ten quiet minutes. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

QUIET_SECONDS = 600.0


@dataclass(slots=True)
class _Going:
    count: int
    last_seconds: float


class Alarms:
    """One kind of trouble ("losing", "dropping"); `event` and `event`_ended are rows of telemetry.events."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._going: dict[str, _Going] = {}

    def look(self, counts: Mapping[str, int], now_seconds: float) -> Iterator[tuple[str, str, int]]:
        """(event, reason, count) for what begins or ends now; the count of an end is that of the whole time."""
        for reason, count in counts.items():
            if count <= 0:
                continue
            going = self._going.get(reason)
            if going is None:
                self._going[reason] = _Going(count, now_seconds)
                yield self._event, reason, count
            else:
                going.count += count
                going.last_seconds = now_seconds
        for reason, going in list(self._going.items()):
            if now_seconds - going.last_seconds >= QUIET_SECONDS:
                del self._going[reason]
                yield f"{self._event}_ended", reason, going.count
