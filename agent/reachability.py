"""Whether the aggregator answers, for the log (each change once) and the metrics."""

from collections.abc import Callable

from telemetry.log import Log


class Reachability:
    """`clock`: monotonic seconds."""

    def __init__(self, aggregator: str, log: Log, clock: Callable[[], float]) -> None:
        self._aggregator = aggregator
        self._log = log
        self._clock = clock
        self._told_refused: bool | None = None
        self._away_since: float | None = None
        self._met = False
        self.connected = False
        self.clock_offset_seconds = 0.0
        self.streams_total = 0

    def welcome(
        self, version: str, contract: int, clock_offset_seconds: float, unacknowledged: int, waiting_rows: int
    ) -> None:
        self.connected = True
        self.streams_total += 1
        self.clock_offset_seconds = clock_offset_seconds
        if not self._met:
            self._met = True
            self._log.write(
                "aggregator_connected",
                aggregator=self._aggregator,
                aggregator_version=version,
                contract_version=contract,
                clock_offset_seconds=round(clock_offset_seconds, 6),
            )
        elif self._told_refused is not None and self._away_since is not None:
            self._log.write(
                "aggregator_back",
                aggregator=self._aggregator,
                away_seconds=round(self._clock() - self._away_since, 3),
                unacknowledged_batches=unacknowledged,
                waiting_rows=waiting_rows,
            )
        self._told_refused = self._away_since = None

    def broken(self) -> None:
        """The stream has ended, and nobody knows why yet."""
        self.connected = False
        if self._away_since is None:
            self._away_since = self._clock()

    def away(self, reason: str, remedy: str, refused: bool) -> None:
        self.broken()
        # A reason may hold addresses that differ at each attempt: told again only when it becomes another kind.
        if self._told_refused is not refused:
            self._told_refused = refused
            event = "aggregator_refuses" if refused else "aggregator_away"
            self._log.write(event, aggregator=self._aggregator, reason=reason, remedy=remedy)

    def forgot(self, acknowledged: int, remembered: int) -> None:
        self._log.write("aggregator_forgot", acknowledged=acknowledged, remembered=remembered)
